"""Log lines are JSON with service, function, request and unit of work, whoever logs, in whatever thread."""

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from aws_lambda_powertools import Logger
from reactivex import operators as ops
from stream_runtime import (
    DEFAULT_OPTIONS,
    StreamPipeline,
    clients,
    flavors,
    initialize_from,
    rx_filter,
    rx_map,
    stream_handler,
)
from stream_runtime.events import (
    from_dynamodb,
    from_eventbridge,
    from_firehose,
    from_kinesis,
    from_s3,
    from_sns,
    from_sqs,
    to_dynamodb_records,
    to_eventbridge_event,
    to_firehose_records,
    to_kinesis_records,
    to_s3_records,
    to_sns_records,
    to_sqs_records,
)
from stream_runtime.flavors import collect, correlate, task
from stream_runtime.logs import logged
from stream_runtime.operators import multitask, rx_parallel
from stream_runtime.settings import InvalidSetting

CONTEXT = SimpleNamespace(aws_request_id="request-1", get_remaining_time_in_millis=lambda: 60_000)
THINGS = [{"id": f"e{n}", "type": "thing", "timestamp": 1, "partition_key": f"k{n}", "n": n} for n in range(4)]


class LambdaLoggerHandler(logging.Handler):
    """Stands for the handler that Lambda's runtime gives the root logger before it imports a function."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stdout.write(f"[{record.levelname}]\t{record.getMessage()}\n")


@pytest.fixture(autouse=True)
def environment_of_lambda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE", "things")
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "things-dev-listener")


@contextmanager
def root_with(*handlers: logging.Handler) -> Iterator[logging.Logger]:
    """The root logger with these handlers only; pytest puts its own there again for each phase of a test."""
    root = logging.getLogger()
    before, level, factory = root.handlers[:], root.level, logging.getLogRecordFactory()
    root.handlers[:] = handlers
    root.setLevel(logging.WARNING)
    yield root
    root.handlers[:] = before
    root.setLevel(level)
    logging.setLogRecordFactory(factory)


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[dict[str, Any]]]:
    """The lines that were written since the last call."""
    return lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def rule(**fields: Any) -> dict[str, Any]:
    return {"id": "note", "flavor": task, "event_type": "thing", **fields}


def handle(rule: Mapping[str, Any], event: Any = None, source: Any = from_kinesis) -> Any:
    with root_with(LambdaLoggerHandler()):
        return stream_handler([rule], source)(to_kinesis_records(THINGS) if event is None else event, CONTEXT)


def names_of(line: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    return line["pipeline"], line["record_id"], line["event_id"]


def test_a_rule_s_lines_say_what_they_are_about(lines: Any) -> None:
    logger = logging.getLogger("shop.rules")

    handle(rule(execute=lambda uow: logger.info("priced %s", uow["event"]["n"])))

    written = lines()
    assert [(line["level"], line["message"], line["name"]) for line in written] == [
        ("INFO", f"priced {n}", "shop.rules") for n in range(4)
    ]
    assert {(line["service"], line["function_name"], line["function_request_id"]) for line in written} == {
        ("things", "things-dev-listener", "request-1")
    }
    assert list(map(names_of, written)) == [("note", str(n), f"e{n}") for n in range(4)]
    assert all(line["timestamp"][10] == "T" and line["location"].startswith("<lambda>:") for line in written)


@pytest.mark.parametrize("own", [True, False], ids=["the rule's logger", "a logger of its module"])
@pytest.mark.parametrize("name", ["powertools", "logging"])
def test_every_logger_s_lines_do(name: str, own: bool, lines: Any) -> None:
    def execute(uow: Any, rule: Any) -> None:
        (rule["logger"] if own else logger).warning("seen")

    with root_with(LambdaLoggerHandler()):
        logger: Any = logging.getLogger("own") if name == "logging" else Logger(service=f"{name}-{own}")
        fields = {"logger": logger} if own else {}
        stream_handler([rule(execute=execute, **fields)], from_kinesis)(to_kinesis_records(THINGS), CONTEXT)

    written = lines()
    assert [line["message"] for line in written] == ["seen"] * 4
    assert {line["service"] for line in written} == {"things" if name == "logging" else f"{name}-{own}"}
    assert {line["function_name"] for line in written} == {"things-dev-listener"}
    assert list(map(names_of, written)) == [("note", str(n), f"e{n}") for n in range(4)]


def test_a_logger_of_powertools_without_a_service_names_that_of_the_function(lines: Any) -> None:
    with root_with(LambdaLoggerHandler()):
        logger = Logger()
        stream_handler([rule(execute=lambda uow: logger.info("m"))], from_kinesis)(to_kinesis_records(THINGS), CONTEXT)

    assert [line["service"] for line in lines()] == ["things"] * 4


@pytest.mark.parametrize("first", ["logger", "handler"])
def test_a_logger_of_powertools_takes_no_lines_from_those_named_alike(first: str, lines: Any) -> None:
    def execute(uow: Any) -> None:
        logging.getLogger(f"{first}s.rules").info("of logging")
        logger.info("of powertools")

    with root_with(LambdaLoggerHandler()):
        if first == "logger":
            logger = Logger(service=f"{first}s")
        handler = stream_handler([rule(execute=execute)], from_kinesis)
        if first == "handler":
            logger = Logger(service=f"{first}s")
        handler(to_kinesis_records(THINGS[:1]), CONTEXT)

    assert [line["message"] for line in lines()] == ["of logging", "of powertools"]


@pytest.mark.parametrize("kind", ["execute", "operator"])
def test_lines_of_parallel_calls_are_not_mixed_up(kind: str, lines: Any) -> None:
    together = threading.Barrier(4)

    def work(uow: Any) -> Any:
        together.wait(timeout=30)
        logging.getLogger("own").info("n %s in %s", uow["event"]["n"], threading.get_ident())
        together.wait(timeout=30)
        return uow

    parallel: dict[str, Any] = {"execute": work, "parallel": 4}
    if kind == "operator":
        parallel = {"execute_operators": lambda rule: rx_parallel(lambda run, uow: work(uow), parallel=4)}
    handle(rule(**parallel))

    written = lines()
    assert len({line["message"].split()[-1] for line in written}) == 4
    assert {line["function_request_id"] for line in written} == {"request-1"}
    assert sorted((line["message"][:3], *names_of(line)) for line in written) == [
        (f"n {n}", "note", str(n), f"e{n}") for n in range(4)
    ]


def test_lines_of_the_tasks_of_a_unit_of_work_say_what_they_are_about(lines: Any) -> None:
    together = threading.Barrier(4)

    def work(number: int) -> None:
        together.wait(timeout=30)
        logging.getLogger("own").info("task %s", number)

    fields = {
        "execute": lambda uow: [{"task": work, "params": [n]} for n in range(4)],
        "result_key": "tasks",
        "execute_operators": lambda rule: multitask(parallel=4),
    }
    handle(rule(**fields), to_kinesis_records(THINGS[:1]))

    assert sorted((line["message"], *names_of(line)) for line in lines()) == [
        (f"task {n}", "note", "0", "e0") for n in range(4)
    ]


def say(_: Any) -> bool:
    logging.getLogger("own").info("asked")
    return True


@pytest.mark.parametrize(
    "fields",
    [
        {"event_type": say},
        {"filters": [say]},
        {"group": lambda uow: say(uow) and uow["event"]["id"]},
        {"compact": lambda uow: say(uow) and uow["event"]["id"]},
        {"emit": lambda uow, rule, template: say(uow) and None},
        {"flavor": flavors.s3, "to_s3": lambda uow: say(uow) and None},
        {"flavor": flavors.materialize, "to_update_request": lambda uow: say(uow) and None},
        {"flavor": flavors.materialize, "split_on": lambda uow: say(uow) and [], "to_update_request": say},
        {"flavor": flavors.sqs, "to_sqs": lambda uow: say(uow) and None},
        {"flavor": collect, "correlation_key": lambda uow: say(uow) and None},
        {"execute_operators": lambda rule: rx_map(say)},
        {"execute_operators": lambda rule: rx_filter(say)},
        {"execute_operators": lambda rule: ops.map(say)},
        {"flavor": lambda rule: ops.map(say)},
        {"flavor": lambda rule: lambda source: source.pipe(ops.map(lambda uow: uow), rx_map(say))},
    ],
    ids=lambda fields: "-".join(fields),
)
def test_lines_of_every_function_of_a_rule_have_its_unit_of_work(fields: dict[str, Any], bus: Any, lines: Any) -> None:
    handle(rule(**fields))

    asked = [line for line in lines() if line["message"] == "asked"]
    assert list(map(names_of, asked)) == [("note", str(n), f"e{n}") for n in range(4)]


def test_a_rule_that_reads_stored_events_logs_the_id_of_the_stored_event(lines: Any) -> None:
    clients.use("dynamodb", SimpleNamespace(batch_write_item=lambda **_: {}))
    row = {"pk": "e0", "sk": "EVENT", "data": "d", "event": THINGS[0]}
    changes = to_dynamodb_records([{"timestamp": 2, "keys": {"pk": "e0", "sk": "EVENT"}, "newImage": row}])

    handle(rule(flavor=correlate, correlation_key=lambda uow: say(uow) and "k", table_name="t"), changes, from_dynamodb)

    assert [line["event_id"] for line in lines()] == ["e0"]


@pytest.mark.parametrize(
    ("source", "event", "record_id"),
    [
        (from_sqs, to_sqs_records(THINGS[:1]), to_sqs_records(THINGS[:1])["Records"][0]["messageId"]),
        (from_sns, to_sns_records(THINGS[:1]), to_sns_records(THINGS[:1])["Records"][0]["Sns"]["MessageId"]),
        (from_eventbridge, to_eventbridge_event(THINGS[0]), to_eventbridge_event(THINGS[0])["id"]),
        (from_firehose, to_firehose_records(THINGS[:1]), to_firehose_records(THINGS[:1])["records"][0]["recordId"]),
    ],
    ids=["sqs", "sns", "eventbridge", "firehose"],
)
def test_a_record_is_named_as_its_source_names_it(source: Any, event: Any, record_id: str, lines: Any) -> None:
    handle(rule(execute=say), event, source)

    (line,) = lines()
    assert names_of(line) == ("note", record_id, "e0")


def test_an_object_is_named_by_its_event(lines: Any) -> None:
    event = to_s3_records([{"bucket": {"name": "b"}, "object": {"key": "k"}}])
    (uow,) = from_s3(event)

    handle(rule(execute=say, event_type="object-created"), event, from_s3)

    (line,) = lines()
    assert (line["pipeline"], line["event_id"]) == ("note", uow["event"]["id"])


def test_the_runtime_s_own_lines_say_it_too(bus: Any, lines: Any) -> None:
    def fail(uow: Any) -> None:
        raise TimeoutError("later") if uow["event"]["n"] == 3 else ValueError("never")

    handle(rule(execute=fail))

    written = lines()
    assert [line["message"].partition(":")[0].split()[0] for line in written] == ["left", "fault", "fault", "fault"]
    assert list(map(names_of, written)) == [("note", str(n), f"e{n}") for n in (3, 0, 1, 2)]


def test_a_line_s_own_fields_win_and_are_never_refused(lines: Any) -> None:
    handle(
        rule(execute=lambda uow: logging.getLogger("own").info("m", extra={"pipeline": "mine", "event_id": 5, "x": 1}))
    )

    assert [(line["pipeline"], line["event_id"], line["x"]) for line in lines()] == [("mine", 5, 1)] * 4


def test_lines_about_nothing_name_the_function_alone(lines: Any) -> None:
    def handler(event: Any, context: Any) -> str:
        logging.getLogger("own").info("hello")
        return "answer"

    with root_with(LambdaLoggerHandler()):
        assert logged(handler)({}, CONTEXT) == "answer"
        logging.getLogger("own").info("outside")

    first, second = lines()
    assert (first["function_name"], first["function_request_id"]) == ("things-dev-listener", "request-1")
    assert "pipeline" not in first
    assert second["function_name"] == "things-dev-listener"


def test_a_pipeline_without_stream_handler_logs_alike(lines: Any) -> None:
    def handler(event: Any, context: Any) -> Any:
        return StreamPipeline(initialize_from([rule(execute=say)]), DEFAULT_OPTIONS).assemble(
            from_kinesis(event), context=context
        )

    with root_with(LambdaLoggerHandler()):
        logging.setLogRecordFactory(logging.LogRecord)
        handler(to_kinesis_records(THINGS), CONTEXT)

    written = lines()
    assert list(map(names_of, written)) == [("note", str(n), f"e{n}") for n in range(4)]
    assert {line["function_request_id"] for line in written} == {"request-1"}


@pytest.mark.parametrize(("alc", "level"), [("", "DEBUG"), ("ERROR", "ERROR")], ids=["code", "lambda"])
def test_a_level_that_the_code_sets_counts_before_the_environment(
    alc: str, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOG_LEVEL", "CRITICAL")
    monkeypatch.setenv("AWS_LAMBDA_LOG_LEVEL", alc)

    with root_with(LambdaLoggerHandler()) as root:
        root.setLevel(logging.DEBUG)
        stream_handler([], from_kinesis)

        assert root.level == logging.getLevelName(level)


@pytest.mark.parametrize(
    ("variables", "level"),
    [
        ({}, "INFO"),
        ({"LOG_LEVEL": "DEBUG"}, "DEBUG"),
        ({"LOG_LEVEL": "warning"}, "WARNING"),
        ({"LOG_LEVEL": "DEBUG", "POWERTOOLS_LOG_LEVEL": "ERROR"}, "ERROR"),
        ({"POWERTOOLS_LOG_LEVEL": "CRITICAL"}, "CRITICAL"),
        ({"LOG_LEVEL": "DEBUG", "POWERTOOLS_LOG_LEVEL": "DEBUG", "AWS_LAMBDA_LOG_LEVEL": "WARN"}, "WARNING"),
        ({"LOG_LEVEL": "ERROR", "AWS_LAMBDA_LOG_LEVEL": "TRACE"}, "DEBUG"),
        ({"AWS_LAMBDA_LOG_LEVEL": "FATAL"}, "CRITICAL"),
    ],
    ids=str,
)
def test_a_level_counts_in_the_order_of_powertools(
    variables: dict[str, str], level: str, lines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    every = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

    levels = []

    def execute(uow: Any) -> None:
        levels.append(logging.getLogger().level)
        for each in every:
            logging.getLogger("own").log(logging.getLevelName(each), "m")

    handle(rule(execute=execute), to_kinesis_records(THINGS[:1]))

    assert [line["level"] for line in lines() if line["name"] == "own"] == list(every[every.index(level) :])
    assert levels == [logging.getLevelName(level)]
    if "AWS_LAMBDA_LOG_LEVEL" not in variables:
        assert Logger(service=f"compared-{variables}").log_level == levels[0]


def test_a_level_that_does_not_exist_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "loud")

    with pytest.raises(InvalidSetting, match="LOG_LEVEL='loud': expected DEBUG, INFO, WARNING"):
        stream_handler([], from_kinesis)


def test_at_debug_the_libraries_below_stay_quiet(lines: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")

    handle(rule(execute=lambda uow: logging.getLogger("botocore.endpoint").debug("secret")))

    written = lines()
    assert {line["message"].split(":")[0] for line in written} == {"start pipeline", "end pipeline"}
    assert list(map(names_of, written)) == [("note", str(n), f"e{n}") for n in range(4) for _ in range(2)]


def test_the_service_may_have_another_name_for_powertools(lines: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "other")

    handle(rule(execute=say))

    assert {line["service"] for line in lines()} == {"other"}


def test_the_lines_of_invoke_local_are_json_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with root_with():
        logging.basicConfig()  # as the Serverless CLI's Python does
        stream_handler([rule(execute=say)], from_kinesis)(to_kinesis_records(THINGS), CONTEXT)

    written = capsys.readouterr()
    assert written.out == ""
    assert [json.loads(line)["event_id"] for line in written.err.splitlines()] == ["e0", "e1", "e2", "e3"]


HOSTILE = "a\n[INFO] all good\r\x1b]0;owned\x07\x9b31m\u202e\u2028\ud800"


def assert_visible(written: str, number: int) -> None:
    """Each line is JSON, and what would act on a terminal, or make a line, is escaped in it."""
    assert written.count("\n") == len(written.splitlines()) == number
    assert [character for character in written.replace("\n", "") if not character.isprintable()] == []


@pytest.mark.parametrize("name", ["powertools", "logging"])
def test_data_can_neither_make_a_line_nor_act_on_a_terminal(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with root_with(LambdaLoggerHandler()):
        logger: Any = logging.getLogger("own") if name == "logging" else Logger(service=f"hostile-{name}")
        own = rule(execute=lambda uow: logger.warning("seen %s", HOSTILE, extra={HOSTILE: HOSTILE}))
        stream_handler([own], from_kinesis)(to_kinesis_records(THINGS[:1]), CONTEXT)

    written = capsys.readouterr().out
    assert_visible(written, 1)
    assert (json.loads(written)["message"], json.loads(written)[HOSTILE]) == (f"seen {HOSTILE}", HOSTILE)


@pytest.mark.parametrize("error", [ValueError, ConnectionError], ids=["poison", "left for retry"])
def test_the_runtime_s_own_line_about_an_error_is_one_line_for_every_handler(
    error: type[Exception], bus: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    class Plain(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            sys.stdout.write(f"[{record.levelname}] {record.getMessage()}\n")

    def execute(uow: Any) -> None:
        raise error(HOSTILE)

    with root_with(Plain()):
        stream_handler([rule(execute=execute)], from_kinesis)(to_kinesis_records(THINGS[:1]), CONTEXT)

    written = capsys.readouterr().out
    assert "all good" in written
    assert_visible(written, len(written.splitlines()))
    assert [line for line in written.splitlines() if line.startswith("[INFO] all good")] == []


def test_a_handler_of_another_kind_stays_alone(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[logging.LogRecord] = []
    own = logging.Handler()
    own.emit = seen.append  # type: ignore[method-assign]
    with root_with(own) as root:
        stream_handler([rule(execute=say)], from_kinesis)(to_kinesis_records(THINGS), CONTEXT)
        assert root.handlers == [own]

    assert [record.__dict__["event_id"] for record in seen] == ["e0", "e1", "e2", "e3"]
    assert capsys.readouterr() == ("", "")


def test_powertools_is_imported_with_the_first_line() -> None:
    code = """
import logging, sys
from stream_runtime import stream_handler
from stream_runtime.events import from_kinesis, to_kinesis_records
from stream_runtime.flavors import task

def execute(uow):
    if uow["event"]["id"] == "loud":
        logging.getLogger("own").info("said")
    print("aws_lambda_powertools" in sys.modules)

rule = {"id": "r", "flavor": task, "event_type": "x", "execute": execute}
handler = stream_handler([rule], from_kinesis)
for name in ("quiet", "loud"):
    handler(to_kinesis_records([{"id": name, "type": "x"}]), None)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert done.stdout.split() == ["False", "True"]
    assert json.loads(done.stderr)["message"] == "said"
