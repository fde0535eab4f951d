"""State that only some requests change: stacks, functions, rules, roles, and all that is not in ``moving``.

After such a request everything of its kind is compared with what was kept of it, one resource after the other. What
changes all the time (items, records, messages, objects, lines of logs) is left out of the resources that it is part of.
Services of which this cloud knows nothing particular are kept as ministack's own snapshots are, each as a whole.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from stream_cli.local.kept_file import Change, Row, written

INTERNALS = {
    "ministack.app": ("_state_map",),
    "ministack.core.persistence": ("_json_default", "_json_object_hook"),
    "ministack.core.responses": ("AccountScopedDict", "AccountRegionScopedDict"),
    "ministack.services.cloudformation": ("_stacks",),
    "ministack.services.eventbridge": ("_replays", "_now_ts"),
    "ministack.services.dynamodb": ("_INDEX_MEMBERS",),
}

RESOURCE, CODE, OTHERS = "resource", "code", "others"

_CODE_BYTES = 4096
_ENDED = "The local cloud was ended while this was in progress"

Resource = dict[str, Any]


def _without(*names: str) -> Callable[[Resource], Resource]:
    empty: dict[str, Any] = {"messages": [], "dedup_cache": {}, "objects": {}, "Events": []}
    return lambda resource: {name: empty[name] if name in names else each for name, each in resource.items()}


def _table(table: Resource) -> Resource:
    from ministack.services import dynamodb

    return {n: {} if n == "items" else each for n, each in table.items() if n != dynamodb._INDEX_MEMBERS}


def _stream(stream: Resource) -> Resource:
    return {**stream, "shards": {name: {**shard, "records": []} for name, shard in list(stream["shards"].items())}}


def _delivery_stream(stream: Resource) -> Resource:
    return {**stream, "destinations": [{**each, "records": []} for each in stream["destinations"]]}


def _log_group(group: Resource) -> Resource:
    return {**group, "streams": {}}


STORES: dict[str, tuple[str, ...]] = {
    "apigateway": (
        *("_apis", "_routes", "_integrations", "_stages", "_deployments", "_authorizers", "_api_tags"),
        *("_route_responses", "_integration_responses"),
    ),
    "cloudformation": ("_stacks", "_stack_events", "_exports", "_change_sets"),
    "cloudwatch": (
        *("_alarms", "_composite_alarms", "_composite_triggers", "_alarm_history", "_resource_tags", "_dashboards"),
    ),
    "cloudwatch_logs": (
        *("_log_groups", "_destinations", "_resource_policies", "_log_group_policies", "_metric_filters"),
        *("_delivery_sources", "_delivery_destinations", "_deliveries"),
    ),
    "dynamodb": (
        *("_tables", "_tags", "_ttl_settings", "_pitr_settings", "_kinesis_destinations", "_contributor_insights"),
        *("_backups", "_resource_policies", "_exports", "_imports", "_closed_streams", "_stream_trimmed"),
    ),
    "eventbridge": (
        *("_archives", "_event_buses", "_rules", "_targets", "_tags", "_event_bus_policies", "_connections"),
        *("_api_destinations", "_replays", "_endpoints", "_partner_event_sources"),
    ),
    "firehose": ("_streams",),
    "iam": (
        *("_users", "_roles", "_policies", "_access_keys", "_instance_profiles", "_groups", "_account_aliases"),
        *("_user_inline_policies", "_group_inline_policies", "_oidc_providers", "_saml_providers", "_mfa_devices"),
        *("_login_profiles", "_account_password_policy", "_service_linked_role_deletion_tasks"),
        "_aws_managed_attachment_counts",
    ),
    "kinesis": ("_streams", "_consumers", "_resource_policies"),
    "lambda_svc": ("_functions", "_layers", "_esms", "_function_urls"),
    "s3": (
        *("_buckets", "_bucket_policies", "_bucket_notifications", "_bucket_tags", "_bucket_versioning"),
        *("_bucket_encryption", "_bucket_lifecycle", "_bucket_cors", "_bucket_acl", "_bucket_websites"),
        *("_bucket_logging_config", "_bucket_accelerate_config", "_bucket_request_payment_config"),
        *("_bucket_object_lock", "_bucket_replication", "_mraps", "_mrap_operations", "_access_points"),
        "_object_lambda_access_points",
    ),
    "scheduler": ("_schedules", "_schedule_groups", "_tags"),
    "sns": ("_topics", "_sub_arn_to_topic", "_platform_applications", "_platform_endpoints"),
    "sqs": ("_queues", "_queue_name_to_url"),
}
"""The stores of each service."""

_FORMS: dict[tuple[str, str], Callable[[Resource], Resource]] = {
    ("cloudwatch_logs", "_log_groups"): _log_group,
    ("dynamodb", "_tables"): _table,
    ("eventbridge", "_archives"): _without("Events"),
    ("firehose", "_streams"): _delivery_stream,
    ("kinesis", "_streams"): _stream,
    ("s3", "_buckets"): _without("objects"),
    ("sns", "_topics"): _without("dedup_cache"),
    ("sqs", "_queues"): _without("messages", "dedup_cache"),
}
"""What is kept of a resource that has moving state in it."""

for _service, _stores in STORES.items():
    _module = f"ministack.services.{_service}"
    INTERNALS[_module] = tuple({*INTERNALS.get(_module, ()), *_stores})


class Settled:
    """What was kept of settled state."""

    def __init__(self) -> None:
        self._kept: defaultdict[tuple[str, str], dict[Any, bytes]] = defaultdict(dict)
        self._codes: dict[bytes, bytes] = {}

    def changes(self, services: set[str] | None) -> Iterator[Change]:
        """What has changed since in these services, or in all."""
        live = set[bytes]()
        for service in STORES if services is None else services & STORES.keys():
            module = sys.modules.get(f"ministack.services.{service}")
            for name in STORES[service] if module else ():
                yield from self._changes_of(service, name, getattr(module, name)._data, live)
        if services is None or "lambda_svc" in services:
            for unused in self._codes.keys() - live:
                del self._codes[unused]
                yield Change((CODE,), unused, None)
        if services is None or services - STORES.keys():
            yield from self._changes_of_others()

    def change(self, service: str, name: str, key: Any) -> Iterator[Change]:
        """What has changed of one resource."""
        store = getattr(sys.modules[f"ministack.services.{service}"], name)._data
        if key in store:
            yield from self._change_of(service, name, key, store[key], set())

    def _changes_of(self, service: str, name: str, store: dict[Any, Any], live: set[bytes]) -> Iterator[Change]:
        for key, resource in list(store.items()):
            yield from self._change_of(service, name, key, resource, live)
        kept = self._kept[service, name]
        for gone in kept.keys() - store.keys():
            del kept[gone]
            yield Change((RESOURCE, service, name), gone, None)

    def _change_of(self, service: str, name: str, key: Any, resource: Any, live: set[bytes]) -> Iterator[Change]:
        codes = dict[bytes, bytes]()
        if (form := _FORMS.get((service, name))) is not None:
            resource = form(resource)
        if service == "lambda_svc" and name in {"_functions", "_layers"}:
            resource = self._without_code(resource, codes)
            live.update(codes)
            for digest, code in codes.items():
                if digest not in self._codes:
                    self._codes[digest] = code
                    yield Change((CODE,), digest, written(code))
        value = written(resource)
        if self._is_new((service, name), key, value):
            yield Change((RESOURCE, service, name), key, value)

    def _is_new(self, store: tuple[str, str], key: Any, value: bytes) -> bool:
        digest = hashlib.blake2b(value, digest_size=16).digest()
        if self._kept[store].get(key) == digest:
            return False
        self._kept[store][key] = digest
        return True

    def _without_code(self, value: Any, codes: dict[bytes, bytes]) -> Any:
        """A value with a digest in the place of each zip file."""
        if isinstance(value, dict):
            return {name: self._without_code(each, codes) for name, each in list(value.items())}
        if isinstance(value, list):
            return [self._without_code(each, codes) for each in value]
        if isinstance(value, bytes) and len(value) >= _CODE_BYTES:
            digest = next((known for known, code in self._codes.items() if code is value), None)
            digest = digest or hashlib.sha256(value).digest()
            codes[digest] = value
            return (CODE, digest)
        return value

    def _with_code(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._with_code(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self._with_code(each) for each in value]
        return self._codes[value[1]] if isinstance(value, tuple) and value[:1] == (CODE,) else value

    def _changes_of_others(self) -> Iterator[Change]:
        from ministack import app
        from ministack.core import persistence

        for name, service in app._state_map.items():
            module = sys.modules.get(f"ministack.services.{service}")
            if service in STORES or service == "sts" or module is None or not hasattr(module, "get_state"):
                continue
            value = json.dumps(module.get_state(), default=persistence._json_default).encode()
            if self._is_new((OTHERS, name), service, value):
                yield Change((OTHERS,), service, written(value))

    def take(self, rows: list[Row]) -> None:
        """Take what was kept into the services, which are empty."""
        import importlib

        for row in rows:
            if row.place == (CODE,):
                self._codes[row.key] = row.value
        for row in rows:
            if row.place[0] == RESOURCE:
                _, service, name = row.place
                module = importlib.import_module(f"ministack.services.{service}")
                self._is_new((service, name), row.key, written(row.value))
                getattr(module, name)._data[row.key] = (
                    self._with_code(row.value) if service == "lambda_svc" else row.value
                )
            elif row.place == (OTHERS,):
                self._take_other(row.key, row.value)

    def _take_other(self, service: str, value: bytes) -> None:
        import importlib

        from ministack.core import persistence

        module: Any = importlib.import_module(f"ministack.services.{service}")
        module.load_persisted_state(json.loads(value, object_hook=persistence._json_object_hook))


def end_what_was_in_progress() -> None:
    """Say of stacks and replays that were in progress that they have failed: nobody goes on with them."""
    from ministack.services import cloudformation, eventbridge

    for stack in cloudformation._stacks._data.values():
        status = str(stack.get("StackStatus", ""))
        if status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
            stack["StackStatus"] = status.removesuffix("_CLEANUP_IN_PROGRESS").removesuffix("_IN_PROGRESS") + (
                "" if status.endswith("_CLEANUP_IN_PROGRESS") else "_FAILED"
            )
            stack["StackStatusReason"] = _ENDED
    for replay in eventbridge._replays._data.values():
        if replay.get("State") in {"STARTING", "RUNNING"}:
            replay.update(State="FAILED", StateReason=_ENDED, ReplayEndTime=eventbridge._now_ts())
