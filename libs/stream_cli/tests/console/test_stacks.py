"""A stack has the source of the function's own code, as it is deployed now, and says where that is another by now."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import pytest
from stream_cli.console.stacks import DeployedSource, in_package
from stream_cli.errors import CommandError
from stream_cli.trace.deployed import Deployed

FUNCTION = "control-local-trigger"
RULES = """import os


def to_ready(uow, rule, template):
    event = uow["event"]
    return {**template, "thing": event["evnt"]}
"""
STACK = """Traceback (most recent call last):
  File "/var/task/stream_runtime/rules/emitting.py", line 3, in emit
    made = make(uow)
           ^^^^^^^^^
  File "/var/task/control/rules/trigger.py", line 6, in to_ready
    return {**template, "thing": event["evnt"]}
                                 ~~~~~^^^^^^^^
  File "/var/lang/lib/python3.14/json/__init__.py", line 346, in loads
    return _default_decoder.decode(s)
KeyError: 'evnt'
"""


class Apis:
    """What is deployed: one function; counts how often its code is asked for."""

    def __init__(self, **files: str) -> None:
        self.files = {"control/rules/trigger.py": RULES, "stream_runtime/rules/emitting.py": "1\n2\n3\n", **files}
        self.asked = 0
        self.problem: Exception | None = None

    def functions(self) -> list[Mapping[str, Any]]:
        return [
            {"FunctionName": FUNCTION, "Handler": "control/handlers/trigger.handler", "CodeSha256": str(self.files)}
        ]

    def code(self, function: str) -> bytes:
        assert function == FUNCTION
        self.asked += 1
        if self.problem is not None:
            raise self.problem
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as package:
            for name, text in self.files.items():
                package.writestr(name, text)
        return packed.getvalue()


def looked_at(apis: Apis, stack: str = STACK, function: str = FUNCTION) -> dict[str, Any]:
    return DeployedSource().stack(Deployed(apis), function, stack)  # type: ignore[arg-type]


def test_places_in_the_functions_own_code_have_the_lines_around_them() -> None:
    found = looked_at(Apis())
    library, own, python = found["frames"]
    assert (own["file"], own["line"], own["name"], own["own"]) == ("control/rules/trigger.py", 6, "to_ready", True)
    assert (own["first"], own["source"]) == (2, RULES.splitlines()[1:])
    assert (own["changed"], found["changed"], found["problem"]) == (False, False, None)
    assert (library["file"], library["own"], "source" in library) == ("stream_runtime/rules/emitting.py", False, False)
    assert (python["own"], python["quoted"]) == (False, "return _default_decoder.decode(s)")


@pytest.mark.parametrize("now", [RULES.replace("evnt", "event"), "import os\n", f"# one more line\n{RULES}"])
def test_source_that_is_another_by_now_is_said_with_the_line_as_it_was(now: str) -> None:
    found = looked_at(Apis(**{"control/rules/trigger.py": now}))
    assert found["changed"]
    assert found["frames"][1]["quoted"] == 'return {**template, "thing": event["evnt"]}'


def test_a_line_of_which_a_part_is_masked_is_not_taken_for_another() -> None:
    masked = STACK.replace('event["evnt"]', "[redacted]")
    assert looked_at(Apis(), masked)["changed"] is False


def test_in_the_local_cloud_packages_are_unpacked_elsewhere() -> None:
    place = "/home/a/.streamctl/tmp/streamctl-functions-x1y2/" + "0a" * 32 + "/control/rules/trigger.py"
    assert in_package(place) == "control/rules/trigger.py"
    assert in_package("/home/a/streamctl-functions-x1y2/control") is None
    assert in_package("/usr/lib/python3.14/json/__init__.py") is None
    assert looked_at(Apis(), STACK.replace("/var/task/control/rules/trigger.py", place))["frames"][1]["source"]


def test_secrets_in_source_are_hidden() -> None:
    code = RULES.replace("import os", 'password = "correct-horse-9"')
    stack = STACK.replace("line 6, in to_ready", "line 1, in to_ready")
    assert "correct-horse-9" not in str(looked_at(Apis(**{"control/rules/trigger.py": code}), stack))


def test_a_package_is_read_once_for_its_content() -> None:
    apis, source = Apis(), DeployedSource()
    for _ in range(3):
        source.stack(Deployed(apis), FUNCTION, STACK)  # type: ignore[arg-type]
    assert apis.asked == 1
    apis.files["control/rules/trigger.py"] = "another"
    assert source.stack(Deployed(apis), FUNCTION, STACK)["changed"]  # type: ignore[arg-type]
    assert apis.asked == 2


@pytest.mark.parametrize(
    "problem", [CommandError("the cloud is gone"), OSError("the network is gone"), zipfile.BadZipFile("no zip file")]
)
def test_code_that_cannot_be_read_is_said_and_places_stay(problem: Exception) -> None:
    apis = Apis()
    apis.problem = problem
    found = looked_at(apis)
    assert str(problem) in found["problem"]
    assert [each["line"] for each in found["frames"]] == [3, 6, 346]


def test_a_function_that_is_not_deployed_is_never_asked_for() -> None:
    apis = Apis()
    found = looked_at(apis, function="another-of-the-account")
    assert found["problem"] == "another-of-the-account is not deployed now: its source is not known."
    assert (apis.asked, len(found["frames"])) == (0, 3)


@pytest.mark.parametrize(
    "file",
    ["/var/task/../../etc/passwd", "/var/task/control/../../../etc/passwd", "/var/task//etc/passwd", "/etc/passwd",
     "/var/task/control/rules/missing.py", "/var/task/control", "/var/task/"],
)  # fmt: skip
def test_no_path_of_a_stack_leads_out_of_the_package(file: str) -> None:
    (frame,) = looked_at(Apis(), f'  File "{file}", line 1, in x\n')["frames"]
    assert not frame.get("source")


@pytest.mark.parametrize(
    "stack",
    ["", "\n" * 10_000, 'File "', 'File "x", line ', 'File "x", line ²', 'File "x", line 1e9, in y',
     'File "x", line 99999999999999999999, in y', '  File "/var/task/control/a.py", line 0, in y'],
)  # fmt: skip
def test_what_is_no_stack_has_no_source(stack: str) -> None:
    assert not any(each.get("source") for each in looked_at(Apis(), stack)["frames"])


def test_of_very_many_places_the_last_are_shown() -> None:
    assert len(looked_at(Apis(), STACK * 1000)["frames"]) == 60
