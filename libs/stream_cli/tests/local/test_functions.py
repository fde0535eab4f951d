"""Processes of functions: started fast, with AWS's environment, and ended when they are free."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import stream_runtime
from stream_cli.local.emulator.functions.bootstrap import framed
from stream_cli.local.emulator.functions.packages import Packages
from stream_cli.local.emulator.functions.pipes import LOG_BYTES, LOG_LINES, Pipes

Made = Callable[..., Any]
Package = Callable[[dict[str, str]], bytes]


def invoked(functions: Any, name: str, event: Any = None) -> Any:
    return json.loads(functions.invoke(FunctionName=name, Payload=json.dumps(event).encode())["Payload"].read())


def test_a_function_has_the_context_and_the_environment_of_aws(made: Made, name: str) -> None:
    functions = made(
        """
import os, time
def handler(event, context):
    names = ["AWS_EXECUTION_ENV", "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_LOG_GROUP_NAME", "_HANDLER", "OWN", "TZ"]
    return {
        **{name: os.environ[name] for name in names},
        "same": context.log_stream_name == os.environ["AWS_LAMBDA_LOG_STREAM_NAME"],
        "memory": context.memory_limit_in_mb,
        "arn": context.invoked_function_arn,
        "utc": time.timezone,
        "folder": os.getcwd() == os.environ["LAMBDA_TASK_ROOT"] == os.path.dirname(__file__),
    }
""",
        MemorySize=512,
        Environment={"Variables": {"OWN": "own", "AWS_LAMBDA_FUNCTION_NAME": "another"}},
    )
    arn = functions.get_function_configuration(FunctionName=name)["FunctionArn"]
    assert invoked(functions, name) == {
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
        "_HANDLER": "code.handler",
        "OWN": "own",
        "TZ": ":UTC",
        "same": True,
        "memory": "512",
        "arn": arn,
        "utc": 0,
        "folder": True,
    }


def test_what_children_of_an_ended_process_write_for_ever_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []

    def written(_descriptor: int, size: int) -> bytes:
        reads.append(size)
        assert len(reads) < 1000
        return b"y\n" * (size // 2)

    pipes = Pipes()
    pipes.close_theirs()
    with monkeypatch.context() as patched:
        patched.setattr(os, "read", written)
        assert set(pipes.take_log()) == {"y"}
    pipes.close()


CUT = f"The local cloud keeps the last {LOG_BYTES >> 20} MB and {LOG_LINES} lines of an invocation's log."

CHILD = """
import os, subprocess, sys
def handler(event, context):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with open(event["path"], "w") as file:
        print(child.pid, file=file)
    END
"""


@pytest.mark.parametrize("end", ["while True: pass", "os._exit(0)", "os.kill(os.getpid(), 9)"])
def test_what_a_process_has_started_ends_with_it(made: Made, name: str, tmp_path: Path, end: str) -> None:
    functions = made(CHILD.replace("END", end), Timeout=1)
    assert "errorType" in invoked(functions, name, {"path": str(tmp_path / "child")})
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 15
    while runs(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_process_that_prints_without_end_has_the_last_lines_of_its_log(made: Made, name: str) -> None:
    source = "import subprocess\ndef handler(event, context): subprocess.run(['yes'])"
    functions = made(source, Timeout=1)
    for _ in range(2):
        assert invoked(functions, name)["errorType"] == "Sandbox.Timedout"


@pytest.mark.parametrize(
    ("written", "lines"),
    [
        (b"a\n" * LOG_LINES, ["a"] * LOG_LINES),
        (b"first\n" + b"a\n" * LOG_LINES, [CUT, *["a"] * LOG_LINES]),
        (b"a" * LOG_BYTES, ["a" * LOG_BYTES]),
        (b"first\n" + b"a" * LOG_BYTES, [CUT, "a" * LOG_BYTES]),
        (b"first\n" + b"a" * (3 * LOG_BYTES) + b"\nlast", [CUT, "a" * (LOG_BYTES - 5), "last"]),
    ],
)
def test_the_end_of_a_long_log_is_kept(written: bytes, lines: list[str]) -> None:
    mark, after = b"\0id\0", b"b" * (3 * LOG_BYTES)
    pipes = Pipes()
    _request, response, log = pipes.theirs

    def write() -> None:
        rest = memoryview(written + mark + after)
        while rest:
            rest = rest[os.write(log, rest) :]
        os.write(response, framed({}, b"answer"))

    writing = threading.Thread(target=write)
    writing.start()
    assert pipes.exchange(b"", lambda: True, time.monotonic() + 60, mark) == ({}, b"answer")
    writing.join()
    assert pipes.take_log(mark) == lines
    assert set("".join(pipes.take_log()).removeprefix(CUT)) == {"b"}
    pipes.close_theirs()
    pipes.close()


def test_a_function_gets_any_event_as_it_was_sent(made: Made, name: str) -> None:
    functions = made("def handler(event, context): return event")
    for event in (None, 0, "text", [], {"name": "é\u2028\n", "many": "x" * 3_000_000}):
        assert invoked(functions, name, event) == event


def test_a_function_that_does_not_import_boto3_starts_without_it(made: Made, name: str) -> None:
    functions = made("import sys\ndef handler(event, context): return [*sys.modules]")
    assert not {"boto3", "botocore", "urllib3", "traceback", "subprocess"} & set(invoked(functions, name))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has batch processes")
def test_a_function_that_wakes_up_interrupts_nobody(made: Made, name: str) -> None:
    functions = made("import os\n\ndef handler(event, context):\n    return os.sched_getscheduler(0)\n")
    own = os.sched_getscheduler(0)
    assert invoked(functions, name) == (os.SCHED_BATCH if own == os.SCHED_OTHER else own)


def test_a_function_that_invokes_itself_says_how_deep_it_is(made: Made, name: str) -> None:
    functions = made(
        f"""
import json, os
def handler(event, context):
    if event:
        import boto3
        return json.loads(boto3.client("lambda").invoke(FunctionName="{name}", Payload=b"0")["Payload"].read())
    return os.environ["_MINISTACK_INVOKE_DEPTH"]
"""
    )
    assert invoked(functions, name, 1) == "2"
    assert invoked(functions, name, 0) == "1"


def test_an_update_lets_an_invocation_end_and_the_next_one_runs_the_new_code(
    made: Made, package: Package, name: str, tmp_path: Path
) -> None:
    functions = made(
        f"""
import os, pathlib, time
def handler(event, context):
    pathlib.Path({str(tmp_path / "runs")!r}).touch()
    while event and not pathlib.Path({str(tmp_path / "go")!r}).exists():
        time.sleep(0.01)
    return ["old", os.getpid()]
"""
    )
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(invoked, functions, name, 1)
        wait_for((tmp_path / "runs").exists)
        source = "def handler(event, context): return 'new'"
        functions.update_function_code(FunctionName=name, ZipFile=package({"code.py": source}))
        assert invoked(functions, name) == "new"
        (tmp_path / "go").touch()
        old, process = running.result()
    assert old == "old"
    wait_for(lambda: not runs(process))


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def packages() -> Iterator[Packages]:
    packages = Packages()
    yield packages
    packages.clear()


def test_a_package_is_unpacked_once(packages: Packages, package: Package) -> None:
    content = package({"a.py": "1", "folder/b.txt": "2"})
    first = packages.take(content, of="f")
    inode = (first / "a.py").stat().st_ino

    assert packages.take(content, of="g") == first
    assert (first / "a.py").stat().st_ino == inode
    assert (first / "folder/b.txt").read_text() == "2"


def test_what_a_package_has_in_common_with_the_one_before_is_still_compiled(
    packages: Packages, package: Package
) -> None:
    before = packages.take(package({"same.py": "1", "other.py": "2", "size.py": "3"}), of="f")
    (before / "__pycache__").mkdir()
    for module in ("same", "other", "size"):
        (before / f"__pycache__/{module}.cpython-313.pyc").write_text("compiled")

    now = packages.take(package({"same.py": "1", "other.py": "20", "size.py": "4"}), of="f")

    assert [path.name for path in (now / "__pycache__").iterdir()] == ["same.cpython-313.pyc"]
    assert (now / "same.py").samefile(before / "same.py")
    assert [(now / f"{module}.py").read_text() for module in ("same", "other", "size")] == ["1", "20", "4"]


def test_nothing_is_unpacked_outside_of_the_folder(packages: Packages, package: Package) -> None:
    folder = packages.take(package({"../../a.py": "1", "/b.py": "2"}), of="f")
    assert sorted(path.name for path in folder.iterdir()) == ["a.py", "b.py"]


def test_folders_that_no_process_runs_on_are_removed_except_the_latest(packages: Packages, package: Package) -> None:
    used = packages.take(package({"used.py": ""}), of="f")
    unused = [packages.take(package({"a.py": str(number)}), of="f") for number in range(20)]

    for folder in unused:
        packages.release(folder)

    assert used.exists()
    assert [folder for folder in unused if folder.exists()] == unused[-16:]


def test_a_function_calls_the_services_through_the_lean_client(made: Made, name: str) -> None:
    functions = made(
        """
import os, sys
sys.path.append(os.environ["RUNTIME"])
from stream_runtime.clients import client
CALLS = {"dynamodb": "list_tables", "events": "list_event_buses", "kinesis": "list_streams", "sqs": "list_queues"}
def handler(event, context):
    clients = [client(service) for service in CALLS]
    answers = [getattr(each, operation)() for each, operation in zip(clients, CALLS.values())]
    return {
        "clients": [type(each).__name__ for each in clients],
        "statuses": [answer["ResponseMetadata"]["HTTPStatusCode"] for answer in answers],
        "botocore": "botocore" in sys.modules,
    }
""",
        Environment={"Variables": {"RUNTIME": str(Path(stream_runtime.__file__).parents[1])}},
    )
    assert invoked(functions, name) == {"clients": ["LeanClient"] * 4, "statuses": [200] * 4, "botocore": False}


def test_calls_stay_with_the_lean_client_when_another_client_has_imported_botocore(made: Made, name: str) -> None:
    functions = made(
        """
import logging, os, sys
sys.path.append(os.environ["RUNTIME"])
from stream_runtime.clients import client
def handler(event, context):
    said = []
    logging.getLogger("stream_runtime").setLevel(logging.DEBUG)
    logging.getLogger("stream_runtime.aws.lean").addFilter(lambda record: said.append(record.getMessage()))
    client("s3").list_buckets()
    client("dynamodb").list_tables()
    return [type(client("dynamodb")).__name__, "botocore.handlers" in sys.modules, said]
""",
        Environment={"Variables": {"RUNTIME": str(Path(stream_runtime.__file__).parents[1])}},
    )
    assert invoked(functions, name) == ["LeanClient", True, []]


def test_a_function_imports_what_is_in_its_layers(made: Made, package: Package, name: str) -> None:
    source = "import of_layer, of_site\ndef handler(event, context): return [of_layer.FROM, of_site.FROM]"
    functions = made("")
    layers = [
        functions.publish_layer_version(LayerName=f"{name}-{place}", Content={"ZipFile": package({path: "FROM = 1"})})
        for place, path in (
            ("top", "python/of_layer.py"),
            ("site", "python/lib/python3.13/site-packages/of_site.py"),
        )
    ]
    functions.update_function_configuration(
        FunctionName=name, Layers=[layer["LayerVersionArn"] for layer in layers], MemorySize=256
    )
    functions.update_function_code(FunctionName=name, ZipFile=package({"code.py": source}))
    assert invoked(functions, name) == [1, 1]


def test_a_version_with_snapstart_is_started_when_it_is_published(made: Made, name: str, tmp_path: Path) -> None:
    source = (
        f"import pathlib\npathlib.Path({str(tmp_path / 'started')!r}).touch()\ndef handler(event, context): return 1"
    )
    functions = made(source, SnapStart={"ApplyOn": "PublishedVersions"})
    assert not (tmp_path / "started").exists()
    version = functions.publish_version(FunctionName=name)["Version"]
    wait_for((tmp_path / "started").exists)
    wait_for(lambda: functions.get_function_configuration(FunctionName=name, Qualifier=version)["State"] == "Active")
    assert json.loads(functions.invoke(FunctionName=name, Qualifier=version)["Payload"].read()) == 1
