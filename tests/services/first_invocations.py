"""Runs functions of the services in fresh processes: ``python first_invocations.py SERVICE/FIXTURE=MODULE ...``.

Prints for each a line of JSON: ``[name, modules after its import, modules after its first invocation]``.
"""

import json
import os
import sys
from importlib import import_module
from pathlib import Path

SERVICES = Path(__file__).resolve().parents[2] / "services"


class OneMinute:
    """A Lambda context with a minute left."""

    aws_request_id = "request-1"
    function_name = "testing"
    invoked_function_arn = "arn:aws:lambda:us-east-1:000000000000:function:testing"
    memory_limit_in_mb = 512

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


def run(name: str, module: str) -> None:
    """Import a function and give it a fixture."""
    service, _, fixture = name.partition("/")
    event = json.loads((SERVICES / service / "tests" / "fixtures" / f"{fixture}.json").read_text())
    sys.path.insert(0, str(SERVICES / service))
    handler = import_module(module).handler
    imported = sorted(sys.modules)
    handler(event, OneMinute())
    print(json.dumps([name, imported, sorted(sys.modules)]), flush=True)


def main() -> None:
    """Run each function in a child of this process, which has imported next to nothing."""
    for argument in sys.argv[1:]:
        name, _, module = argument.partition("=")
        child = os.fork()
        if child == 0:
            run(name, module)
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            sys.exit(f"{name} failed")


if __name__ == "__main__":
    main()
