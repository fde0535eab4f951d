"""What services deliver needs permissions, as on AWS: of a role, or of the policy of what they deliver to.

Rules and schedules to their targets, topics and buckets to functions, APIs to their functions, Firehose to its bucket,
failed invocations to their destination. ministack asks queues and topics alone, and for buckets and topics alone.
"""

from __future__ import annotations

import functools
import json
import logging
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from stream_cli.local.emulator.authorization.services import NotTrusted, assumed, lets_in, refusal_in_role

INTERNALS = {
    "ministack.core.arn": ("parse_arn",),
    "ministack.core.responses": ("get_account_id", "get_region", "set_request_account_id", "set_request_region"),
    "ministack.services.apigateway": ("_invoke_lambda_proxy", "_extract_lambda_ref_from_integration_uri"),
    "ministack.services.apigateway_v1": ("_invoke_lambda_proxy_v1",),
    "ministack.services.eventbridge": ("_invoke_target", "_dispatch_to_sqs", "_pattern_event_view", "_put_events"),
    "ministack.services.firehose": ("_deliver_to_s3", "_put_s3_object"),
    "ministack.services.lambda_svc": ("_route_async_failure", "_functions"),
    "ministack.services.s3": ("_deliver_event_to_lambda",),
    "ministack.services.sns": ("_deliver_to_lambda",),
    "ministack.services.sqs": ("_queue_by_arn",),
}

# What a service calls to deliver.
_ACTIONS = {
    "lambda": "lambda:InvokeFunction",
    "sqs": "sqs:SendMessage",
    "sns": "sns:Publish",
    "events": "events:PutEvents",
    "states": "states:StartExecution",
}
_BY_POLICY = frozenset({"lambda", "sqs", "sns"})
_FIREHOSE_RETRY_S = 1.0

logger = logging.getLogger("stream_cli.authorization")

_delivering: ContextVar[tuple[str, str] | None] = ContextVar("delivering", default=None)
"""Role and ARN of the delivery stream whose records are written."""


class _Request(threading.local):
    """What was found for the targets of rules while the events of a request are delivered; None between requests."""

    found: dict[tuple[Any, Any, Any], str | None] | None = None


def patch() -> None:
    """Deliver what is permitted."""
    from ministack.services import apigateway, apigateway_v1, eventbridge, firehose, lambda_svc, s3, sns

    invoke, notify, fan_out = eventbridge._invoke_target, s3._deliver_event_to_lambda, sns._deliver_to_lambda
    route, deliver, put = lambda_svc._route_async_failure, firehose._deliver_to_s3, firehose._put_s3_object
    put_events, current = eventbridge._put_events, _Request()
    call, call_v1 = apigateway._invoke_lambda_proxy, apigateway_v1._invoke_lambda_proxy_v1

    def put_all(*request: Any, **options: Any) -> Any:
        before, current.found = current.found, {}
        try:
            return put_events(*request, **options)
        finally:
            current.found = before

    def problem_of(target: dict[str, Any], rule: dict[str, Any]) -> str | None:
        about, found = (target.get("Arn"), target.get("RoleArn"), rule.get("Arn")), current.found
        if found is None:
            return _problem_of_target(target, rule)
        if about not in found:
            found[about] = _problem_of_target(target, rule)
        return found[about]

    def invoke_target(target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], view: Any = None) -> None:
        problem = problem_of(target, rule) if _action_on(str(target.get("Arn", ""))) else None
        if problem is None:
            invoke(target, event, rule, view)
        else:
            _give_up(target, event, rule, view, problem)

    def notify_function(function: str, payload: dict[str, Any], region: str) -> None:
        bucket = payload["Records"][0]["s3"]["bucket"]["name"]
        if _may_invoke("s3.amazonaws.com", function, f"arn:aws:s3:::{bucket}"):
            notify(function, payload, region)

    def fan_out_to_function(function: str, envelope: str, topic: str, *more: Any) -> None:
        if _may_invoke("sns.amazonaws.com", function, topic):
            fan_out(function, envelope, topic, *more)

    def route_failure(target: str, function: str, event: Any, result: Any) -> None:
        config = (lambda_svc._functions.get(function) or {}).get("config") or {}
        action = _ACTIONS.get(target.split(":")[2], "")
        if _in_role_of_function(config, target.split(":")[2], action, target) is None:
            route(target, function, event, result)

    def deliver_to_bucket(stream: dict[str, Any], dest: dict[str, Any], *record: Any) -> None:
        token = _delivering.set((dest["config"].get("RoleARN", ""), stream["arn"]))
        try:
            deliver(stream, dest, *record)
        finally:
            _delivering.reset(token)

    async def call_function(
        integration: dict[str, Any], api: str, stage: str, path: str, *more: Any, **given: Any
    ) -> Any:
        _, _, _, _, route_key = more[:5]
        place = route_key.replace(" ", "", 1) if " " in route_key else f"/{route_key}"
        if not _api_may_call(integration.get("integrationUri", ""), integration, f"{api}/{stage}/{place}", given):
            return 500, {"Content-Type": "application/json"}, b'{"message":"Internal Server Error"}'
        return await call(integration, api, stage, path, *more, **given)

    async def call_function_v1(
        integration: dict[str, Any], api: str, name: str, stage: Any, resource: Any, *more: Any, **given: Any
    ) -> Any:
        place = f"{api}/{name}/{more[1]}{resource.get('path', '')}"
        if not _api_may_call(integration.get("uri", ""), integration, place, given):
            return 500, {"Content-Type": "application/json"}, b'{"message": "Internal server error"}'
        return await call_v1(integration, api, name, stage, resource, *more, **given)

    eventbridge._put_events, eventbridge._invoke_target = put_all, invoke_target
    s3._deliver_event_to_lambda = notify_function
    sns._deliver_to_lambda, lambda_svc._route_async_failure = fan_out_to_function, route_failure
    firehose._deliver_to_s3, firehose._put_s3_object = deliver_to_bucket, _Waiting(put).put
    apigateway._invoke_lambda_proxy, apigateway_v1._invoke_lambda_proxy_v1 = call_function, call_function_v1


def _may_invoke(service: str, function: str, source: str) -> bool:
    if lets_in(service, "lambda:InvokeFunction", function, source):
        return True
    logger.warning("%s", _not_let_in(service, function, source))
    return False


def _not_let_in(service: str, resource: str, source: str) -> str:
    kind = resource.split(":")[2]
    where = {"lambda": "AWS::Lambda::Permission", "sqs": "AWS::SQS::QueuePolicy", "sns": "AWS::SNS::TopicPolicy"}
    return (
        f"{service} may not {_ACTIONS[kind]} on {resource} for {source}: no resource-based policy allows it. "
        f"An {where[kind]} for this Principal and SourceArn is missing"
    )


def _service_in(arn: str) -> str:
    return [*arn.split(":"), "", ""][2]


@functools.lru_cache(1024)
def _action_on(arn: str) -> str:
    """What delivering to a target asks for; an empty text for what `deliveries` serves, with sessions of its own."""
    service = _service_in(arn)
    if ":event-bus/" not in arn and service == "events":
        return "events:InvokeApiDestination"
    return _ACTIONS.get(service, "")


def _problem_of_target(target: dict[str, Any], rule: dict[str, Any]) -> str | None:
    """Why a rule or a schedule may not deliver to a target; None if it may."""
    from ministack.core.responses import get_account_id

    arn, source = str(target.get("Arn", "")), str(rule.get("Arn", ""))
    service, action = _service_in(arn), _action_on(arn)
    scheduled = source.split(":")[2:3] == ["scheduler"]
    principal = "scheduler.amazonaws.com" if scheduled else "events.amazonaws.com"
    if not action:
        return None
    if service in _BY_POLICY and not scheduled:
        return None if lets_in(principal, action, arn, source) else _not_let_in(principal, arn, source)
    role = target.get("RoleArn")
    if not role:
        return None
    if scheduled:  # its group stands for it (EventBridge Scheduler user guide, "Confused deputy prevention")
        group = str(rule.get("GroupName") or source.rpartition(":schedule/")[2].partition("/")[0] or "default")
        source = f"{':'.join(source.split(':')[:5])}:schedule-group/{group}"
    try:
        caller = assumed(role, principal, "target", {"aws:SourceArn": source, "aws:SourceAccount": get_account_id()})
    except NotTrusted as problem:
        return str(problem)
    refused = refusal_in_role(caller, service, action, arn)
    return None if refused is None else str(refused)


def _give_up(target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], view: Any, problem: str) -> None:
    """Send an event to the dead-letter queue of its target: no retry mends a missing permission."""
    from ministack.core.arn import parse_arn
    from ministack.services import eventbridge, sqs

    queue = (target.get("DeadLetterConfig") or {}).get("Arn")
    taken = queue and sqs._queue_by_arn(queue) is not None
    taken = taken and _problem_of_target({**target, "Arn": queue}, rule) is None
    fate = (
        f"sent to {queue}" if taken else f"lost: {queue} does not let it in" if queue else "it has no dead-letter queue"
    )
    logger.error(
        "%s: event %s given up (NO_PERMISSIONS): %s; %s", *(rule.get("Arn"), event.get("EventId")), problem, fate
    )
    if not taken:
        return
    envelope = (view or eventbridge._pattern_event_view(event)).event_with_detail()
    eventbridge._dispatch_to_sqs(parse_arn(queue), json.dumps(envelope))
    attributes = {"RULE_ARN": rule.get("Arn", ""), "TARGET_ARN": target["Arn"], "ERROR_CODE": "NO_PERMISSIONS"}
    attributes["ERROR_MESSAGE"] = problem
    sqs._queue_by_arn(queue)["messages"][-1]["message_attributes"] = {
        name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
    }


def _in_role_of_function(config: dict[str, Any], service: str, action: str, resource: str) -> str | None:
    """Why Lambda may not do something with the role of a function; None if it may."""
    from ministack.core.responses import get_account_id

    arn = str(config.get("FunctionArn", ""))
    keys = {"aws:SourceArn": arn, "aws:SourceAccount": get_account_id()}
    try:
        caller = assumed(str(config.get("Role", "")), "lambda.amazonaws.com", str(config.get("FunctionName", "")), keys)
    except NotTrusted as problem:
        logger.warning("%s: %s", arn, problem)
        return str(problem)
    refused = refusal_in_role(caller, service, action, resource, arn)
    return None if refused is None else str(refused)


def _api_may_call(uri: str, integration: dict[str, Any], place: str, given: dict[str, Any]) -> bool:
    """Whether an API may call the function of an integration, by its policy or by the integration's own role."""
    from ministack.core.responses import get_account_id, get_region
    from ministack.services import apigateway

    account, region = given.get("owner_account_id") or get_account_id(), given.get("owner_region") or get_region()
    function = str(apigateway._extract_lambda_ref_from_integration_uri(uri) or "")
    if not function.startswith("arn:"):
        return True  # ministack says what is wrong with it
    source = f"arn:aws:execute-api:{region}:{account}:{place}"
    role = integration.get("credentialsArn") or integration.get("credentials")
    if not role:
        return _may_invoke("apigateway.amazonaws.com", function, source)
    keys = {"aws:SourceArn": source, "aws:SourceAccount": account}
    try:
        caller = assumed(role, "apigateway.amazonaws.com", "integration", keys)
    except NotTrusted as problem:
        logger.warning("%s: %s", source, problem)
        return False
    return refusal_in_role(caller, "lambda", "lambda:InvokeFunction", function) is None


class _Waiting:
    """Writes what Firehose delivers; objects that its role may not write wait until it may, as on AWS for 24 hours."""

    def __init__(self, put: Callable[[str, str, bytes], None]) -> None:
        self._put = put
        self.objects: list[tuple[str, str, str, str, str, str, bytes]] = []
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()

    def put(self, bucket: str, key: str, body: bytes) -> None:
        from ministack.core.responses import get_account_id, get_region

        delivering = _delivering.get()
        if delivering is None or self._may(*delivering, bucket, key):
            self._put(bucket, key, body)
            return
        with self._lock:
            self.objects.append((get_account_id(), get_region(), *delivering, bucket, key, body))
            self.wait()

    def _may(self, role: str, stream: str, bucket: str, key: str) -> bool:
        from ministack.core.responses import get_account_id

        account = get_account_id()
        keys = {"sts:ExternalId": account, "aws:SourceAccount": account, "aws:SourceArn": stream}
        try:
            caller = assumed(role, "firehose.amazonaws.com", stream.rpartition("/")[2], keys)
        except NotTrusted as problem:
            logger.warning("%s: an object for %s waits: %s", stream, bucket, problem)
            return False
        return refusal_in_role(caller, "s3", "s3:PutObject", f"arn:aws:s3:::{bucket}/{key}") is None

    def wait(self) -> None:
        """Try again in a moment."""
        if self._timer is None:
            self._timer = threading.Timer(_FIREHOSE_RETRY_S, self._again)
            self._timer.daemon = True
            self._timer.start()

    def _again(self) -> None:
        from ministack.core.responses import set_request_account_id, set_request_region

        with self._lock:
            self._timer, waiting, self.objects = None, self.objects, []
        for each in waiting:
            account, region, role, stream, bucket, key, body = each
            set_request_account_id(account)
            set_request_region(region)
            try:
                written = self._may(role, stream, bucket, key)
                if written:
                    self._put(bucket, key, body)
            except Exception:
                logger.exception("%s: the object s3://%s/%s is tried again", stream, bucket, key)
                written = False
            if not written:
                with self._lock:
                    self.objects.append(each)
                    self.wait()
