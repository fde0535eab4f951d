"""Environment variables as typed settings: the runtime's own, and the form for those of a service.

A setting is read each time it is used, so tests and stages can change the environment. ``check()`` reads all of the
runtime's settings and refuses a wrong value by name; `stream_handler` calls it at import.

    INCOMPLETE_AFTER_S = Setting("INCOMPLETE_AFTER_SECONDS", whole_number(1, 86_400), REQUIRED, "seconds ...")
    handler = stream_handler(RULES, from_kinesis, needs=[INCOMPLETE_AFTER_S])
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from .errors import InvalidSetting
from .payload.compression import MOST_BYTES

T = TypeVar("T")


class _Required:
    """A type of its own, so that the type of a setting follows from its parser."""


REQUIRED: Final = _Required()
"""The default of a setting that has none: reading it unset raises `InvalidSetting`."""

_WHERE = "set it in serverless.yml, in the environment of the function or of the provider"


class Setting(Generic[T]):
    """One environment variable.

    Args:
        name: of the variable.
        parse: makes the value of the variable's text; a ValueError says what was expected.
        default: the value where the variable is unset or empty, or `REQUIRED`.
        meaning: what it is for, with its unit; part of the error message.
        others: variables that are read where this one is unset or empty, in this order.
    """

    __slots__ = ("default", "meaning", "name", "others", "parse")

    def __init__(
        self, name: str, parse: Callable[[str], T], default: T | _Required, meaning: str, others: tuple[str, ...] = ()
    ) -> None:
        self.name = name
        self.parse = parse
        self.default = default
        self.meaning = meaning
        self.others = others

    def read(self) -> T:
        """The value now.

        Raises:
            InvalidSetting: the variable holds something that cannot be used, or is required and not set.
        """
        raw, name = os.environ.get(self.name, ""), self.name
        for other in self.others if raw == "" else ():
            raw, name = os.environ.get(other, ""), other
            if raw != "":
                break
        if raw == "":
            if isinstance(self.default, _Required):
                raise InvalidSetting(f"environment variable {self.name} is not set: {self.meaning}; {_WHERE}")
            return self.default
        try:
            return self.parse(raw)
        except ValueError as error:
            raise InvalidSetting(f"environment variable {name}={raw!r}: {error}; {self.meaning}") from None


def text(raw: str) -> str:
    """Any text."""
    return raw


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """A whole number from ``least`` to ``most``."""

    def parse(raw: str) -> int:
        try:
            number = int(raw)
        except ValueError:
            raise ValueError("expected a whole number") from None
        if not least <= number <= most:
            limits = f"of at least {least}" if most == sys.maxsize else f"from {least} to {most}"
            raise ValueError(f"expected a whole number {limits}")
        return number

    return parse


def at_most(most: int, least: int = 1) -> Callable[[str], int]:
    """A whole number of at least ``least``; one above ``most`` counts as ``most``."""
    parse = whole_number(least, sys.maxsize)
    return lambda raw: min(parse(raw), most)


def log_level(raw: str) -> str:
    """A level of `logging`, or Lambda's name of one."""
    name = _LAMBDA_LEVELS.get(raw.upper(), raw.upper())
    if name not in _LEVELS:
        raise ValueError(f"expected {', '.join(_LEVELS)}")
    return name


_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_LAMBDA_LEVELS = {"TRACE": "DEBUG", "WARN": "WARNING", "FATAL": "CRITICAL"}


def flag(raw: str) -> bool:
    """``true``, ``1``, ``yes``, ``on``, or ``false``, ``0``, ``no``, ``off``."""
    value = raw.strip().lower()
    if value in ("1", "true", "yes", "on"):
        return True
    if value in ("0", "false", "no", "off"):
        return False
    raise ValueError("expected true or false")


def names(raw: str) -> frozenset[str]:
    """Names separated by commas."""
    return frozenset(name.strip() for name in raw.split(",") if name.strip())


def master_keys(raw: str) -> tuple[tuple[str, str], ...]:
    """KMS keys or aliases with their regions, in the order given; the region of one without an ARN is empty."""
    found: dict[str, str] = {}
    for key in filter(None, (each.strip() for each in raw.split(","))):
        parts = key.split(":", 5)
        if len(parts) == 1:
            region = ""
        elif len(parts) == 6 and parts[0] == "arn" and parts[2] == "kms" and parts[5].startswith(("key/", "alias/")):
            region = parts[3]
        else:
            raise ValueError("expected ARNs of KMS keys or aliases, or a key's id or alias/<name>")
        if region in found:
            raise ValueError("expected one key for each region")
        found[region] = key
    return tuple(found.items())


def one_of(*choices: str) -> Callable[[str], str]:
    """One of some words."""

    def parse(raw: str) -> str:
        if raw not in choices:
            raise ValueError(f"expected {', '.join(choices)}")
        return raw

    return parse


BUS_NAME = Setting("BUS_NAME", text, "", "name or ARN of the event bus that events and faults are published to")
BUS_SRC = Setting("BUS_SRC", text, "custom", "the Source of published EventBridge entries")
ENTITY_TABLE_NAME = Setting("ENTITY_TABLE_NAME", text, "", "table of entities and materialized views")
EVENT_TABLE_NAME = Setting("EVENT_TABLE_NAME", text, "", "table of collected and correlated events")
BUCKET_NAME = Setting("BUCKET_NAME", text, "", "bucket of the s3 flavors and queries")
TOPIC_ARN = Setting("TOPIC_ARN", text, "", "topic of the sns flavor")
QUEUE_URL = Setting("QUEUE_URL", text, "", "queue of the sqs flavor")
STREAM_NAME = Setting("STREAM_NAME", text, "", "Kinesis stream of the kinesis flavor")
DELIVERY_STREAM_NAME = Setting("DELIVERY_STREAM_NAME", text, "", "Firehose delivery stream of the firehose flavor")
ES_DOMAIN_HOST = Setting("ES_DOMAIN_HOST", text, "", "host of the OpenSearch domain of the elasticsearch flavor")
CLAIMCHECK_BUCKET_NAME = Setting(
    "CLAIMCHECK_BUCKET_NAME",
    text,
    "",
    "bucket for the bodies of entries larger than MAX_REQUEST_SIZE; the only one that claim checks are read from",
)
SERVICE = Setting(
    "SERVICE",
    text,
    "undefined",
    "name of the service: tags.source of what it publishes; where it is not set, PROJECT or SERVERLESS_PROJECT",
    others=("PROJECT", "SERVERLESS_PROJECT"),
)
APP_NAME = Setting("APP_NAME", text, "undefined", "name of the application: tags.app of what is published")
STAGE = Setting("STAGE", text, "undefined", "stage: tags.stage of what is published")
ACCOUNT_NAME = Setting("ACCOUNT_NAME", text, "undefined", "name of the account: tags.account of what is published")
AWS_REGION = Setting(
    "AWS_REGION", text, "undefined", "set by Lambda: tags.region; replicas from other regions are skipped"
)
FUNCTION_NAME = Setting("AWS_LAMBDA_FUNCTION_NAME", text, "undefined", "set by Lambda: tags.functionname")
TTL_DAYS = Setting("TTL", whole_number(1, 3650), 33, "days (from the event's timestamp) that collected events are kept")
PARALLEL = Setting("PARALLEL", whole_number(1, 64), 16, "calls of a pipeline in flight at once, 1 to 64")
PUBLISH_BATCH_SIZE = Setting(
    "PUBLISH_BATCH_SIZE", at_most(10), 10, "entries in one PutEvents call; more than 10 count as 10"
)
MAX_REQUEST_SIZE = Setting(
    "MAX_REQUEST_SIZE",
    at_most(1_048_576, least=1024),
    1_048_576,
    "bytes of one PutEvents call; more than 1 MiB count as 1 MiB",
)
RETRY_ATTEMPTS = Setting("RETRY_ATTEMPTS", whole_number(1, 100), 6, "attempts of a call that fails transiently")
RETRY_BASE_MS = Setting("RETRY_BASE_MS", whole_number(0, 60_000), 50, "ms: first step of the full-jitter backoff")
RETRY_MAX_MS = Setting("RETRY_MAX_MS", whole_number(0, 300_000), 5_000, "ms: longest wait between two attempts")
DEADLINE_MARGIN_MS = Setting(
    "DEADLINE_MARGIN_MS",
    whole_number(0, 900_000),
    2_000,
    "ms before the end of the invocation at which no more work is started",
)
ENABLED_PIPELINES: Setting[frozenset[str]] = Setting(
    "ENABLED_PIPELINES", names, frozenset(), "comma-separated ids: run only these pipelines"
)
DISABLED_PIPELINES: Setting[frozenset[str]] = Setting(
    "DISABLED_PIPELINES", names, frozenset(), "comma-separated ids: do not run these"
)
TOPIC_PREFIX = Setting("AWS_SNS_TOPIC_PREFIX", text, "", "what the outbox flavor puts before the names of topics")
OUTBOX_TABLE_NAME = Setting("DYNAMODB_OUTBOX_TABLE_NAME", text, "", "table of the outbox flavor's messages")
OUTBOX_SKIP_MARK = Setting(
    "OUTBOX_SKIP_MARK_MESSAGES_AS_DISPATCHED",
    flag,
    False,
    "true: the outbox flavor does not mark messages as dispatched (for local clouds and tests)",
)
COMPRESSION_THRESHOLD: Setting[int | None] = Setting(
    "COMPRESSION_THRESHOLD",
    whole_number(1, 1_048_576),
    None,
    "bytes of JSON above which a field of a published or stored event is compressed; nothing is by default",
)
MAX_EXPANDED_SIZE = Setting(
    "MAX_EXPANDED_SIZE",
    whole_number(1024, 1_073_741_824),
    MOST_BYTES,
    "bytes to which the compressed fields of an event may expand together, and of the body of a claim check; once the "
    "events that are open come to it, they are worked off before another is opened",
)
BATCH_SIZE: Setting[int | None] = Setting(
    "BATCH_SIZE", whole_number(1, 10_000), None, "the mapping's batch size, for the metric BatchUtilization"
)
LOG_LEVEL = Setting("LOG_LEVEL", log_level, "INFO", "level of the root logger; its lines are JSON")
POWERTOOLS_LOG_LEVEL = Setting(
    "POWERTOOLS_LOG_LEVEL", log_level, "", "counts before LOG_LEVEL, also for Powertools' Logger"
)
AWS_LAMBDA_LOG_LEVEL = Setting(
    "AWS_LAMBDA_LOG_LEVEL", log_level, "", "set by Lambda's advanced logging controls; counts before both"
)
POWERTOOLS_SERVICE_NAME = Setting(
    "POWERTOOLS_SERVICE_NAME", text, "", "the service in log lines, also of Powertools' Logger; SERVICE by default"
)
REDACT: Setting[frozenset[str]] = Setting(
    "REDACT",
    names,
    frozenset(),
    "comma-separated names or paths of secret fields, masked in faults and log lines; added to the option `redact`",
)
ENCRYPTION_KEYS: Setting[tuple[tuple[str, str], ...]] = Setting(
    "ENCRYPTION_KEYS",
    master_keys,
    (),
    "comma-separated KMS keys for the fields of events and rows: ARNs of keys or aliases, one for each region, or "
    "a key's id or alias/<name> for the function's own",
)
DATA_KEY_SECONDS = Setting(
    "DATA_KEY_SECONDS",
    whole_number(0, 86_400),
    300,
    "s: how long a data key is kept for what is encrypted or decrypted",
)
DATA_KEY_USES = Setting(
    "DATA_KEY_USES", whole_number(1, 1_000_000), 1_000, "events or rows that are encrypted with one data key, at most"
)
METRICS = Setting("METRICS", flag, False, "true: one line of CloudWatch embedded metrics an invocation")
METRICS_NAMESPACE = Setting("METRICS_NAMESPACE", text, "StreamRuntime", "CloudWatch namespace of those metrics")
TRACING = Setting("TRACING", flag, False, "true: X-Ray subsegments through Powertools' Tracer (needs aws-xray-sdk)")
AWS_CLIENT = Setting(
    "AWS_CLIENT",
    one_of("auto", "boto3", "lean"),
    "auto",
    "client of services with AWS's JSON protocols: boto3, the runtime's own (lean), or the latter in functions (auto)",
)
FREEZE = Setting("FREEZE", flag, False, "true: events are frozen, so that a rule that mutates one raises (for tests)")

SETTINGS: tuple[Setting[object], ...] = tuple(value for value in list(globals().values()) if isinstance(value, Setting))


OF_A_BATCH: tuple[Setting[Any], ...] = (
    PARALLEL,
    PUBLISH_BATCH_SIZE,
    MAX_REQUEST_SIZE,
    COMPRESSION_THRESHOLD,
    BUS_NAME,
    BUS_SRC,
    SERVICE,
    APP_NAME,
    STAGE,
    ACCOUNT_NAME,
    AWS_REGION,
    FUNCTION_NAME,
    TTL_DAYS,
    OUTBOX_SKIP_MARK,
    OUTBOX_TABLE_NAME,
    ENTITY_TABLE_NAME,
    EVENT_TABLE_NAME,
)
"""The settings that operators read when they are made, or once for a batch."""

_NAMES_OF_A_BATCH = tuple(name for setting in OF_A_BATCH for name in (setting.name, *setting.others))


def of_a_batch() -> tuple[str | None, ...]:
    """The texts of `OF_A_BATCH`: operators that were made while they were the same are as good as new ones."""
    return tuple(map(os.environ.get, _NAMES_OF_A_BATCH))


def check(*needed: Setting[Any]) -> None:
    """Read every setting of the runtime once, and those that a function of a service needs.

    Raises:
        InvalidSetting: naming every variable whose value cannot be used, or that is required and not set.
    """
    wrong = []
    for setting in (*SETTINGS, *needed):
        try:
            setting.read()
        except InvalidSetting as error:
            wrong.append(str(error))
    if wrong:
        raise InvalidSetting("; ".join(wrong))


def table_name() -> str:
    """The table of the function: ENTITY_TABLE_NAME, or else EVENT_TABLE_NAME.

    Raises:
        InvalidSetting: neither is set.
    """
    return required(ENTITY_TABLE_NAME, EVENT_TABLE_NAME)


def required(*settings: Setting[str]) -> str:
    """The first of the settings that is set.

    Raises:
        InvalidSetting: none is, with their names.
    """
    for setting in settings:
        value = setting.read()
        if value and value != "undefined":
            return value
    wanted = " or ".join(setting.name for setting in settings)
    raise InvalidSetting(f"environment variable {wanted} is not set: {settings[0].meaning}; {_WHERE}")
