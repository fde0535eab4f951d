"""How large each function's package is. Services are packaged as for a deployment, without an account."""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from stream_cli.deployment.cold_starts import compiles_at_start
from stream_cli.deployment.packages import functions_in
from stream_cli.deployment.packaging import package
from stream_cli.deployment.services import choose_services
from stream_cli.terminal.commands import run_command
from stream_cli.terminal.options import LOCAL, SERVICES, AsJson, Fresh, Names, Params, Services, Stage, params_of
from stream_cli.terminal.output import say, say_json, unchanged_since

LIMIT_BYTES = 3 * 1024 * 1024
"""The limit for packages of these services, zipped. AWS takes 50 MB zipped and 250 MB unzipped."""
_AT_ONCE = 2  # each is a process of the Serverless CLI, which uses one processor
# Stand-ins for outputs of other stacks; sizes do not depend on them.
_ELSEWHERE = {
    "alarmTopicArn": "arn:aws:sns:us-east-1:123456789012:alarms",
    "busArn": "arn:aws:events:us-east-1:123456789012:event-bus/bus",
    "busName": "bus",
    "claimsBucketName": "claims",
    "stream1Arn": "arn:aws:kinesis:us-east-1:123456789012:stream/s1",
    "stream1Name": "s1",
}


@dataclass(frozen=True, slots=True)
class Size:
    """The package of one function, in bytes."""

    service: str
    function: str
    zipped: int
    unzipped: int


def sizes_of(
    service: Path, stage: str, params: Mapping[str, str], *, fresh: bool = False
) -> tuple[list[Size], datetime | None, str | None]:
    """The size of each function of a service, in the order of its names; none for a service without functions.

    Also since when the service has not changed, if it was packaged before, and a line on functions on AWS that compile
    what they import.

    Raises:
        ServerlessError: the service does not package.
    """
    with tempfile.TemporaryDirectory(prefix="sizes-") as folder:
        made = package(service, stage, {**_ELSEWHERE, **params}, Path(folder), fresh=fresh)
        template = json.loads(made.template.read_text(encoding="utf-8"))
        found = []
        for function, path in functions_in(template, made.template.parent).items():
            with zipfile.ZipFile(path) as zipped:
                unzipped = sum(each.file_size for each in zipped.infolist())
            found.append(Size(service.name, function, path.stat().st_size, unzipped))
        slow = None if stage == LOCAL else compiles_at_start(made.template.parent)
    return sorted(found, key=lambda size: size.function), made.since, slow


def sizes(
    names: Names = None,
    *,
    stage: Stage = LOCAL,
    param: Params = None,
    services: Services = SERVICES,
    as_json: AsJson = False,
    fresh: Fresh = False,
) -> None:
    """Show the size of each function's package; exit code 1 when one for AWS is not below 3 MB (3 x 1024 x 1024 bytes).

    The stage decides which wheels are packaged. local takes this machine's, whose sizes differ: they are not compared
    with the limit. dev and prod take Lambda's.
    """
    run_command(lambda: _show_sizes(choose_services(names or [], services), stage, params_of(param), as_json, fresh))


def _show_sizes(services: Sequence[Path], stage: str, params: Mapping[str, str], as_json: bool, fresh: bool) -> int:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        of_services = list(pool.map(lambda service: sizes_of(service, stage, params, fresh=fresh), services))
    found = [size for sizes, _, _ in of_services for size in sizes]
    too_large = [size for size in found if size.zipped >= LIMIT_BYTES and stage != LOCAL]
    unchanged = {service.name: since for service, (_, since, _) in zip(services, of_services, strict=True) if since}
    if as_json:
        say_json([asdict(size) for size in found], indent=2)
    else:
        for size in found:
            mark = "  too large" if size in too_large else ""
            say(f"{size.function:<42} {size.zipped:>10,} zipped  {size.unzipped:>11,} unzipped{mark}")
        if stage == LOCAL and found:
            say(f"With this machine's wheels; what is deployed to AWS must be below {LIMIT_BYTES:,}: see --stage dev.")
        if unchanged:
            say(unchanged_since(unchanged))
        for line in sorted({line for _, _, line in of_services if line}):
            say(line)
    return 1 if too_large else 0
