"""Finds a deployed function, and what triggers it: by its mappings and by the permissions of its policy."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_args

from stream_cli.deployment.services import is_service, service_name
from stream_cli.errors import CommandError
from stream_cli.stored.connection import Connection
from stream_cli.terminal.options import LOCAL

Kind = Literal["kinesis", "dynamodb", "sqs", "sns", "s3", "rule", "http", "direct"]
KINDS: tuple[Kind, ...] = get_args(Kind)

# The principals that a function's policy names, where what triggers it is no mapping.
_PRINCIPALS: Mapping[str, Kind] = {
    "s3.amazonaws.com": "s3",
    "sns.amazonaws.com": "sns",
    "events.amazonaws.com": "rule",
    "apigateway.amazonaws.com": "http",
}


@dataclass(frozen=True)
class Trigger:
    """What triggers a function; ``direct`` is a caller, who gives it the event itself.

    Attributes:
        arn: of the stream, queue, topic, bucket, rule or API; empty for ``direct``.
        patterns: the filter patterns of a mapping, or the pattern of a rule.
        batch_size: records in an invocation, at most.
        keys: the key attributes of the table whose stream it is.
        routes: the routes of the API that call the function, such as ``POST /orders``.
    """

    kind: Kind
    arn: str = ""
    patterns: tuple[str, ...] = ()
    batch_size: int = 1
    keys: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What it is, for people."""
        words = {
            "kinesis": f"the stream {self.arn.partition('/')[2].partition('/')[0]}",
            "dynamodb": f"the stream of the table {_table_of(self.arn)}",
            "sqs": f"the queue {self.arn.rpartition(':')[2]}",
            "sns": f"the topic {self.arn.rpartition(':')[2]}",
            "s3": f"the bucket {self.arn.rpartition(':')[2]}",
            "rule": f"the rule {self.arn.rpartition('/')[2]}",
            "http": "its HTTP API",
            "direct": "a caller",
        }
        return words[self.kind]


def find_function(connection: Connection, named: str) -> str:
    """The whole name of a function of the stage.

    Args:
        named: the whole name, the name in serverless.yml, or that after the service's: ``control-service/listener``.

    Raises:
        CommandError: the stage has no such function, or several.
    """
    stage = connection.stage
    names = sorted(_all_functions(connection) if stage == LOCAL else connection.functions())
    service, _, function = named.rpartition("/")
    wanted = f"{service}-{stage}-{function}" if service else named
    found = [name for name in names if name == wanted] or [name for name in names if name.endswith(f"-{stage}-{named}")]
    if len(found) > 1 and is_service(Path.cwd()):
        found = [name for name in found if name == f"{service_name(Path.cwd())}-{stage}-{named}"] or found
    if len(found) == 1:
        return found[0]
    if found:
        each = ", ".join(name.replace(f"-{stage}-", "/") for name in found)
        raise CommandError(f"Several services have a function {named}: name one of {each}.")
    near = get_close_matches(wanted, names, n=1, cutoff=0.5)
    raise CommandError(
        f"Stage {stage} has no function {named}. "
        + (f"Did you mean {near[0]}? " if near else "")
        + f"It has {', '.join(names) or 'none'}."
    )


def _all_functions(connection: Connection) -> Iterator[str]:
    for page in connection.client("lambda").get_paginator("list_functions").paginate():
        yield from (each["FunctionName"] for each in page["Functions"])


def trigger_of(connection: Connection, function: str, kind: Kind | None) -> Trigger:
    """What triggers a function: the only thing that does, or the one of a kind that a user names.

    Raises:
        CommandError: several things of different kinds trigger it, and the user names none.
    """
    if kind == "direct":
        return Trigger("direct")
    found = [each for each in triggers_of(connection, function) if kind in (None, each.kind)]
    if not found:
        return Trigger(kind) if kind else Trigger("direct")
    if len({each.kind for each in found}) > 1:
        kinds = " and ".join(sorted({each.kind for each in found}))
        raise CommandError(f"{function} is triggered by {kinds}: choose with --as which of them delivers the events.")
    return found[0]


def triggers_of(connection: Connection, function: str) -> list[Trigger]:
    """All that triggers a function, its mappings first."""
    return [*_mappings(connection, function), *_permissions(connection, function)]


def _mappings(connection: Connection, function: str) -> Iterator[Trigger]:
    pages = connection.client("lambda").get_paginator("list_event_source_mappings").paginate(FunctionName=function)
    for mapping in (each for page in pages for each in page["EventSourceMappings"]):
        arn = str(mapping.get("EventSourceArn") or "")
        kind = arn.split(":")[2] if arn.count(":") > 4 else ""
        if kind not in ("kinesis", "dynamodb", "sqs"):
            continue
        filters = (mapping.get("FilterCriteria") or {}).get("Filters") or []
        yield Trigger(
            kind,  # type: ignore[arg-type]
            arn,
            patterns=tuple(each["Pattern"] for each in filters),
            batch_size=int(mapping.get("BatchSize") or 100),
            keys=_keys(connection, arn) if kind == "dynamodb" else (),
        )


def _keys(connection: Connection, stream_arn: str) -> tuple[str, ...]:
    table = connection.client("dynamodb").describe_table(TableName=_table_of(stream_arn))["Table"]
    return tuple(each["AttributeName"] for each in table["KeySchema"])


def _table_of(stream_arn: str) -> str:
    return stream_arn.partition("/")[2].partition("/")[0]


def _permissions(connection: Connection, function: str) -> Iterator[Trigger]:
    client = connection.client("lambda")
    try:
        policy = json.loads(client.get_policy(FunctionName=function)["Policy"])
    except client.exceptions.ResourceNotFoundException:
        return
    for statement in policy["Statement"]:
        principal = statement.get("Principal")
        service = principal.get("Service") if isinstance(principal, Mapping) else None
        kind = _PRINCIPALS.get(str(service))
        condition = (statement.get("Condition") or {}).get("ArnLike") or {}
        arn = str(next(iter(condition.values()), ""))
        if kind == "rule":
            yield _rule(connection, arn)
        elif kind == "http":
            yield Trigger("http", arn, routes=tuple(_routes(connection, arn, function)))
        elif kind:
            yield Trigger(kind, arn)


def _rule(connection: Connection, arn: str) -> Trigger:
    """A rule with a pattern; one with a schedule gives the function the event that the schedule holds."""
    bus, _, name = arn.partition(":rule/")[2].rpartition("/")
    rule = connection.client("events").describe_rule(Name=name, **({"EventBusName": bus} if bus else {}))
    pattern = rule.get("EventPattern")
    return Trigger("rule", arn, patterns=(pattern,)) if pattern else Trigger("direct")


def _routes(connection: Connection, arn: str, function: str) -> Iterator[str]:
    """The routes of an HTTP API that call a function, by the ARN that the policy has: ``...:<api>/*``."""
    client, api = connection.client("apigatewayv2"), arn.rpartition(":")[2].partition("/")[0]
    try:
        integrations: Sequence[Any] = client.get_integrations(ApiId=api)["Items"]
    except client.exceptions.NotFoundException:
        return  # a REST API, of the first version
    targets = {
        f"integrations/{each['IntegrationId']}"
        for each in integrations
        if f":function:{function}" in str(each.get("IntegrationUri"))
    }
    for page in client.get_paginator("get_routes").paginate(ApiId=api):
        yield from (each["RouteKey"] for each in page["Items"] if each.get("Target") in targets)
