"""Types of CloudFormation that ministack refuses.

- ``AWS::Kinesis::StreamConsumer``, as RegisterStreamConsumer makes it;
- ``AWS::Events::Archive``, as CreateArchive makes it;
- ``AWS::Events::EventBusPolicy``: the policy that PutPermission writes; ministack does not enforce it;
- ``AWS::EventSchemas::Discoverer`` and ``AWS::EventSchemas::Registry``: only recorded, since there is no schemas API.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

INTERNALS = {
    "ministack.core.responses": ("get_account_id", "get_region"),
    "ministack.services.kinesis": ("_register_consumer", "_deregister_consumer", "_consumers"),
    "ministack.services.eventbridge": (
        *("_create_archive", "_update_archive", "_delete_archive", "_archives", "_event_bus_policies"),
    ),
    "ministack.services.cloudformation.provisioners": ("_RESOURCE_HANDLERS",),
}


def patch() -> None:
    """Add the types."""
    from ministack.services.cloudformation.provisioners import _RESOURCE_HANDLERS as handlers

    handlers.update(_stream_consumer() | _archive() | _event_bus_policy() | _event_schemas())


def _stream_consumer() -> dict[str, Any]:
    from ministack.services import kinesis

    type_name = "AWS::Kinesis::StreamConsumer"

    def create(_logical_id: str, properties: dict[str, Any], _stack: str) -> Any:
        consumer = _outcome(kinesis._register_consumer(properties), type_name)["Consumer"]
        names = ("ConsumerARN", "ConsumerName", "ConsumerStatus", "ConsumerCreationTimestamp")
        return consumer["ConsumerARN"], {**{n: consumer[n] for n in names}, "StreamARN": properties["StreamARN"]}

    def update(consumer_arn: str, old: dict[str, Any], new: dict[str, Any], stack: str) -> Any:
        if all(old.get(name) == new.get(name) for name in ("ConsumerName", "StreamARN")):
            stored = kinesis._consumers[consumer_arn]
            return consumer_arn, dict(stored)
        delete(consumer_arn, old)
        return create("", new, stack)

    def delete(consumer_arn: str, _properties: dict[str, Any]) -> None:
        # The stream's own deletion takes its consumers along, so it may be gone already.
        if consumer_arn in kinesis._consumers:
            _outcome(kinesis._deregister_consumer({"ConsumerARN": consumer_arn}), type_name)

    return {type_name: {"create": create, "update": update, "delete": delete}}


def _archive() -> dict[str, Any]:
    from ministack.services import eventbridge

    type_name = "AWS::Events::Archive"

    def request(name: str, properties: dict[str, Any]) -> dict[str, Any]:
        pattern = properties.get("EventPattern", "")
        given = {
            "ArchiveName": name,
            "EventSourceArn": properties["SourceArn"],
            "Description": properties.get("Description", ""),
            "EventPattern": pattern if isinstance(pattern, str) else json.dumps(pattern),
            "RetentionDays": int(properties.get("RetentionDays", 0)),
            "KmsKeyIdentifier": properties.get("KmsKeyIdentifier"),
        }
        return {key: value for key, value in given.items() if value is not None}

    def create(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
        name = properties.get("ArchiveName") or f"{stack}-{logical_id}-{uuid.uuid4().hex[:12]}"[-48:]
        return name, {"Arn": _outcome(eventbridge._create_archive(request(name, properties)), type_name)["ArchiveArn"]}

    def update(name: str, old: dict[str, Any], new: dict[str, Any], stack: str) -> Any:
        if any(old.get(key) != new.get(key) for key in ("ArchiveName", "SourceArn")):
            outcome = create("", new, stack)
            delete(name, old)
            return outcome
        return name, {"Arn": _outcome(eventbridge._update_archive(request(name, new)), type_name)["ArchiveArn"]}

    def delete(name: str, _properties: dict[str, Any]) -> None:
        if name in eventbridge._archives:
            _outcome(eventbridge._delete_archive({"ArchiveName": name}), type_name)

    return {type_name: {"create": create, "update": update, "delete": delete}}


def _event_bus_policy() -> dict[str, Any]:
    from ministack.core import responses
    from ministack.services import eventbridge

    def bus_of(properties: dict[str, Any]) -> str:
        return str(properties.get("EventBusName", "default")).rpartition("/")[2]

    def create(_logical_id: str, properties: dict[str, Any], _stack: str) -> Any:
        bus, statement_id = bus_of(properties), properties["StatementId"]
        statement = properties.get("Statement")
        if isinstance(statement, str):
            statement = json.loads(statement)
        arn = f"arn:aws:events:{responses.get_region()}:{responses.get_account_id()}:event-bus/{bus}"
        if statement is None:
            # docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-events-eventbuspolicy.html: the
            # older form, a principal and an action instead of a statement.
            statement = {
                "Effect": "Allow",
                "Principal": properties["Principal"],
                "Action": properties["Action"],
                "Resource": arn,
                **({"Condition": properties["Condition"]} if "Condition" in properties else {}),
            }
        delete(statement_id, properties)
        policies = eventbridge._event_bus_policies
        policy = policies.setdefault(bus, {"Version": "2012-10-17", "Statement": []})
        policy["Statement"].append({"Resource": arn, **statement, "Sid": statement_id})
        return statement_id, {}

    def update(_statement_id: str, old: dict[str, Any], new: dict[str, Any], stack: str) -> Any:
        delete(old["StatementId"], old)
        return create("", new, stack)

    def delete(statement_id: str, properties: dict[str, Any]) -> None:
        policy = eventbridge._event_bus_policies.get(bus_of(properties))
        if policy:
            policy["Statement"] = [s for s in policy["Statement"] if s.get("Sid") != statement_id]
            if not policy["Statement"]:
                eventbridge._event_bus_policies.pop(bus_of(properties), None)

    return {"AWS::Events::EventBusPolicy": {"create": create, "update": update, "delete": delete}}


def _event_schemas() -> dict[str, Any]:
    from ministack.core import responses

    def arn(kind: str, name: str) -> str:
        return f"arn:aws:schemas:{responses.get_region()}:{responses.get_account_id()}:{kind}/{name}"

    def create_discoverer(_logical_id: str, _properties: dict[str, Any], _stack: str) -> Any:
        name = str(uuid.uuid4())
        attributes = {"DiscovererArn": arn("discoverer", name), "DiscovererId": name, "State": "STARTED"}
        return attributes["DiscovererArn"], attributes

    def create_registry(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
        name = properties.get("RegistryName") or f"{stack}-{logical_id}"
        attributes = {"RegistryArn": arn("registry", name), "RegistryName": name}
        return attributes["RegistryArn"], attributes

    def keep(physical_id: str, _old: dict[str, Any], _new: dict[str, Any], _stack: str) -> Any:
        name = physical_id.rpartition("/")[2]
        if ":registry/" in physical_id:
            return physical_id, {"RegistryArn": physical_id, "RegistryName": name}
        return physical_id, {"DiscovererArn": physical_id, "DiscovererId": name, "State": "STARTED"}

    def delete(_physical_id: str, _properties: dict[str, Any]) -> None:
        """Nothing to undo: the stack's own record was all there was."""

    return {
        "AWS::EventSchemas::Discoverer": {"create": create_discoverer, "update": keep, "delete": delete},
        "AWS::EventSchemas::Registry": {"create": create_registry, "update": keep, "delete": delete},
    }


def _outcome(response: Any, type_name: str) -> dict[str, Any]:
    status, _headers, body = response
    answered: dict[str, Any] = json.loads(body)
    if status >= 400:
        raise ValueError(f"{type_name}: {answered.get('__type', status)}: {answered.get('message', '')}")
    return answered
