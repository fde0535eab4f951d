"""Debug lines at both ends of a pipeline, with any logger."""

import logging
from typing import Any

import pytest
from aws_lambda_powertools import Logger
from stream_runtime import DEFAULT_OPTIONS, StreamPipeline, initialize_from
from stream_runtime.events import from_kinesis, to_kinesis_records
from stream_runtime.flavors import task


def process(logger: Any) -> Any:
    rules = [{"id": "a", "flavor": task, "event_type": "x", "execute": lambda uow: 1, "logger": logger}]
    batch = to_kinesis_records([{"id": "e0", "type": "x"}])
    return StreamPipeline(initialize_from(rules), DEFAULT_OPTIONS).assemble(from_kinesis(batch))


def test_a_standard_logger_gets_a_line_at_the_start_and_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("of.the.test")
    caplog.set_level(logging.DEBUG, logger="of.the.test")

    process(logger)

    assert [record.getMessage() for record in caplog.records if record.name == "of.the.test"] == [
        "start pipeline: a, type: x, eid: e0",
        "end pipeline: a, type: x, eid: e0, uow: ['event', 'pipeline', 'record', 'result']",
    ]


def test_nothing_is_printed_above_debug(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("of.the.test")
    caplog.set_level(logging.INFO, logger="of.the.test")

    process(logger)

    assert not [record for record in caplog.records if record.name == "of.the.test"]


@pytest.mark.parametrize(("level", "lines"), [("DEBUG", 2), ("INFO", 0)])
def test_a_powertools_logger_works_too(level: str, lines: int, capsys: pytest.CaptureFixture[str]) -> None:
    logger = Logger(service=f"tested-{level}", level=level)

    assert process(logger) == {"batchItemFailures": []}
    assert capsys.readouterr().out.count("pipeline: a") == lines
