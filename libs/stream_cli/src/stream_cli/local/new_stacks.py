"""Creates stacks in the local cloud from kept packages, by the requests of `sls deploy`, without starting Node.js.

What the CLI has uploaded for a package is kept with it, with the hashes by which a later `sls deploy` sees that there
are no changes. A service for which the CLI would send anything else than these requests is left to the CLI.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream_cli.deployment import serverless
from stream_cli.deployment.inputs import acts_when_deployed
from stream_cli.deployment.services import stack_name
from stream_cli.errors import CommandError
from stream_cli.local.plain_requests import BUCKET, PlainRequests, crc32_of, text_of
from stream_cli.terminal.options import LOCAL

UPLOADS = "uploads.json"
STATE = "serverless-state.json"
_TEMPLATE = "compiled-cloudformation-template.json"
_PART = 5 * 1024 * 1024
"""Bytes that the CLI writes with one request; what is longer it writes in parts."""
_POLL_S = 0.02
# Of osls 4.3.1 (lib/plugins/aws): whatever else stands in a provider, an event or a bucket may need other requests.
_OF_A_PROVIDER = """
architecture compiledCloudFormationTemplate coreCloudFormationTemplate deploymentBucket deploymentBucketObject
environment httpApi kinesis logRetentionInDays logs memorySize name region runtime stackTags stage tags timeout tracing
versionFunctions vpc
"""
_KNOWN_OF_A_PROVIDER = frozenset(_OF_A_PROVIDER.split())
_KNOWN_OF_A_BUCKET = frozenset({"blockPublicAccess", "skipPolicySetup", "tags", "versioning"})
_KNOWN_EVENTS = frozenset({"httpApi", "resolvedMethod", "resolvedPath", "schedule", "sns", "sqs", "stream"})


@dataclass(frozen=True)
class NewStack:
    """A stack that can be created from a package.

    Attributes:
        directory: the key of the package's objects in the deployment bucket.
        uploads: the content, type and metadata of each object, in the order of the CLI.
        core: the template of the deployment bucket.
    """

    name: str
    directory: str
    uploads: Mapping[str, tuple[bytes, str, Mapping[str, str]]]
    core: Mapping[str, Any]
    tags: Mapping[str, str]


def keep_uploads(cloud: PlainRequests, bucket: str, made: Path) -> None:
    """Add to a package what the CLI has uploaded for it: the template's body, the type and metadata of each object."""
    directory = json.loads((made / STATE).read_text(encoding="utf-8"))["package"]["artifactDirectoryName"]
    uploaded = {}
    for key in cloud.keys(bucket, f"{directory}/"):
        uploaded[key.removeprefix(f"{directory}/")] = cloud.described_object(bucket, key)
    template = cloud.get(bucket, f"{directory}/{_TEMPLATE}")
    if template is None or any(each is None for each in uploaded.values()):
        return
    (made / _TEMPLATE).write_bytes(template)
    content = {name: {"type": each[0], "metadata": each[1]} for name, each in uploaded.items() if each}
    (made / UPLOADS).write_text(json.dumps(content), encoding="utf-8")


def new_stack(service: Path, package: Path) -> NewStack | None:
    """The stack of a package, or None where only the CLI can create it."""
    files = {path.name: path for path in package.iterdir() if path.is_file()}
    if not files.keys() >= {UPLOADS, STATE, _TEMPLATE, serverless.COMPILED_TEMPLATE} or acts_when_deployed(service):
        return None
    state = json.loads(files[STATE].read_bytes())
    described = json.loads(files[UPLOADS].read_bytes())
    zips = sorted(name for name in files if name.endswith(".zip"))
    if not _is_plain(state) or described.keys() != {_TEMPLATE, STATE, *zips}:
        return None
    uploads = {
        name: (files[name].read_bytes(), described[name]["type"], described[name]["metadata"])
        for name in (_TEMPLATE, STATE, *zips)
    }
    if any(name in zips and metadata != {"filesha256": _hash(each)} for name, (each, _, metadata) in uploads.items()):
        return None
    template = json.loads(uploads[_TEMPLATE][0])
    is_as_compiled = template == json.loads(files[serverless.COMPILED_TEMPLATE].read_bytes())
    if not is_as_compiled or "Transform" in template or _has_custom_resources(template):
        return None
    name = stack_name(service, LOCAL)
    provider, directory = state["service"]["provider"], state["package"]["artifactDirectoryName"]
    if not directory.startswith(f"serverless/{state['service']['service']}/{LOCAL}/"):
        return None
    tags = dict(provider.get("stackTags") or {})
    if not any(tag.lower() == "stage" for tag in tags):
        tags = {"STAGE": LOCAL, **tags}
    return NewStack(name, directory, uploads, provider["coreCloudFormationTemplate"], tags)


def create(cloud: PlainRequests, region: str, stack: NewStack, go_on: Callable[[], bool]) -> None:
    """Create a stack as `sls deploy` does, and wait until it is complete.

    Raises:
        CommandError: that failed, or ``go_on`` returned False. The stack is as it is then; one without resources
            is deleted, since the CLI deploys nothing to it.
    """
    name = {"StackName": stack.name}
    try:
        _make_change_set(cloud, stack, "CREATE", {"TemplateBody": _compact(stack.core)}, go_on)
    except CommandError:
        cloud.cloudformation("DeleteStack", name)
        raise
    _execute_change_set(cloud, stack, "CREATE_COMPLETE", go_on)
    found = cloud.cloudformation("DescribeStackResource", {**name, "LogicalResourceId": BUCKET})
    bucket = text_of(found, ".//PhysicalResourceId")
    for file, (content, kind, metadata) in stack.uploads.items():
        key = f"{stack.directory}/{file}"
        headers = {"Content-Type": kind, **{f"x-amz-meta-{name}": value for name, value in metadata.items()}}
        if len(content) > _PART:
            parts = (content[start : start + _PART] for start in range(0, len(content), _PART))
            cloud.put_in_parts(bucket, key, parts, headers)
        else:
            cloud.put(bucket, key, content, {**headers, "x-amz-checksum-crc32": crc32_of(content)})
    cloud.cloudformation("DeleteChangeSet", _change_set(stack))
    url = f"https://s3.{region}.amazonaws.com/{bucket}/{stack.directory}/{_TEMPLATE}"
    _make_change_set(cloud, stack, "UPDATE", {"TemplateURL": url}, go_on)
    _execute_change_set(cloud, stack, "UPDATE_COMPLETE", go_on)


def _make_change_set(
    cloud: PlainRequests, stack: NewStack, kind: str, template: Mapping[str, str], go_on: Callable[[], bool]
) -> None:
    capabilities = {"Capabilities.member.1": "CAPABILITY_IAM", "Capabilities.member.2": "CAPABILITY_NAMED_IAM"}
    tags = {
        f"Tags.member.{number}.{part}": text
        for number, tag in enumerate(stack.tags.items(), 1)
        for part, text in zip(("Key", "Value"), tag, strict=True)
    }
    name = _change_set(stack)
    cloud.cloudformation("CreateChangeSet", {**name, "ChangeSetType": kind, **capabilities, **tags, **template})
    _wait(lambda: cloud.cloudformation("DescribeChangeSet", name), "Status", "CREATE_COMPLETE", go_on)


def _execute_change_set(cloud: PlainRequests, stack: NewStack, wanted: str, go_on: Callable[[], bool]) -> None:
    name = {"StackName": stack.name}
    cloud.cloudformation("ExecuteChangeSet", _change_set(stack))
    _wait(lambda: cloud.cloudformation("DescribeStacks", name), "StackStatus", wanted, go_on)


def _change_set(stack: NewStack) -> dict[str, str]:
    return {"StackName": stack.name, "ChangeSetName": f"{stack.name}-change-set"}


def _wait(look: Callable[[], Any], field: str, wanted: str, go_on: Callable[[], bool]) -> None:
    while go_on():
        answer = look()
        status = text_of(answer, f".//{field}")
        if status == wanted:
            return
        if not status.endswith(("_IN_PROGRESS", "_PENDING")):
            raise CommandError(f"{status}: {text_of(answer, f'.//{field}Reason')}")
        time.sleep(_POLL_S)
    raise CommandError("it was stopped")


def _is_plain(state: Mapping[str, Any]) -> bool:
    """Whether the CLI needs no other requests for a service than those of `create`."""
    service = state["service"]
    provider = service["provider"]
    functions = service["functions"].values()
    return (
        state.keys() == {"service", "package"}
        and not state["package"].get("individually")
        and not service.get("layers")
        and provider.keys() <= _KNOWN_OF_A_PROVIDER
        and not provider.get("deploymentBucket")
        and (provider.get("deploymentBucketObject") or {}).keys() <= _KNOWN_OF_A_BUCKET
        and (provider.get("logs") or {}).keys() <= {"httpApi"}
        and provider["stage"] == LOCAL
        and all(isinstance(value, str) for value in (provider.get("stackTags") or {}).values())
        and all(event.keys() <= _KNOWN_EVENTS for each in functions for event in each.get("events") or [])
        and not any("image" in each for each in functions)
    )


def _has_custom_resources(template: Mapping[str, Any]) -> bool:
    kinds = (each["Type"] for each in template["Resources"].values())
    return any(kind.startswith("Custom::") or kind == "AWS::CloudFormation::CustomResource" for kind in kinds)


def _compact(content: object) -> str:
    """JSON as JavaScript writes it."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def _hash(content: bytes) -> str:
    return base64.b64encode(hashlib.sha256(content).digest()).decode()
