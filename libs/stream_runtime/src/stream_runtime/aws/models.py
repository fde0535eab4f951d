"""What the installed botocore knows of a service, read from its data without importing it.

Sources: botocore's loaders.py (where the data is), model.py (which names a service has), endpoint_provider.py (rules).
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Mapping
from typing import Any

from stream_runtime.payload.codec import decode_shallow

from .shapes import Unusual

Document = Mapping[str, Any]

_REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-\d+")
_METHOD = re.compile(r"[a-z\d]+(_[a-z\d]+)*")
_PROTOCOLS = ("json", "rest-json", "rest-xml", "smithy-rpc-v2-cbor", "query", "ec2")


class ServiceModel:
    """A service with one of AWS's JSON protocols.

    Attributes:
        service: as boto3 names it.
        metadata: of the model.
        operations: by their names, such as ``"UpdateItem"``.
        shapes: by their names.
        signing_name: the service in signatures.
        endpoint_variable: the environment variable with an endpoint for this service alone.
    """

    def __init__(self, service: str, folder: str, model: Document) -> None:
        self.service = service
        self._folder = folder
        self.metadata: Document = model["metadata"]
        self.operations: Mapping[str, Document] = model["operations"]
        self.shapes: Mapping[str, Document] = model["shapes"]
        self.signing_name: str = self.metadata.get("signingName") or self.metadata["endpointPrefix"]
        name = re.sub("[ -]", "_", self.metadata["serviceId"]).upper()
        self.endpoint_variable = f"AWS_ENDPOINT_URL_{name}"

    def operation_of(self, method: str) -> str | None:
        """The operation of a client's method: UpdateItem of ``update_item``; None if names do not tell."""
        name = "".join(word[:1].upper() + word[1:] for word in method.split("_"))
        return name if name in self.operations and _METHOD.fullmatch(method) else None

    def errors(self) -> Mapping[str, str]:
        """The shapes of the service's errors by their codes."""
        return {
            shape.get("error", {}).get("code") or name: name
            for name, shape in self.shapes.items()
            if shape.get("exception")
        }

    def endpoint_rules(self) -> Document:
        """The rules by which botocore finds the endpoint of a call."""
        rules: Document = _read(os.path.join(self._folder, "endpoint-rule-set-1.json"))
        return rules


def load(service: str) -> ServiceModel:
    """The model of a service.

    Raises:
        Unusual: there is none, it is not botocore's own, or the service has another protocol.
    """
    data = os.path.join(data_folder(), service)
    versions = sorted(version for version in _listed(data) if _has_model(os.path.join(data, version)))
    if not versions:
        raise Unusual(f"botocore has no model of {service}")
    folder = os.path.join(data, versions[-1])
    model = _read(os.path.join(folder, "service-2.json"))
    if os.path.exists(extras := os.path.join(folder, "service-2.sdk-extras.json")):
        _merge(model, _read(extras).get("merge", {}))
    metadata = model["metadata"]
    offered = metadata.get("protocols") or [metadata["protocol"]]
    protocol = next((each for each in _PROTOCOLS if each in offered), "unknown")
    if protocol != "json":
        raise OtherProtocol(f"the protocol of {service} is {protocol}")
    if (
        service in _SIGNED_FOR_ANOTHER_REGION
        or metadata["signatureVersion"] != "v4"
        or metadata.get("auth", _SIGV4) != _SIGV4
    ):
        raise OtherProtocol(f"requests to {service} are signed in another way")
    return ServiceModel(service, folder, model)


_SIGNED_FOR_ANOTHER_REGION = {"health"}
"""By botocore's endpoints.json, which is too large to read at a cold start; a test compares."""

_SIGV4 = ["aws.auth#sigv4"]


class OtherProtocol(Unusual):
    """The service speaks another protocol, whatever the environment says."""


def data_folder() -> str:
    """The folder of botocore's data.

    Raises:
        Unusual: botocore is not installed as files.
    """
    folder = botocore_folder()
    if folder is None:
        raise Unusual("botocore is not installed as files")
    return os.path.join(folder, "data")


def botocore_folder() -> str | None:
    """The folder of the package botocore, which is not imported for that."""
    spec = importlib.util.find_spec("botocore")
    locations = spec.submodule_search_locations if spec else None
    return next(iter(locations), None) if locations else None


def partition(region: str) -> Document:
    """The partition of a region, with the names that rules of endpoints use.

    Raises:
        Unusual: no partition lists the region.
    """
    if _REGION.fullmatch(region):
        for each in _read(os.path.join(data_folder(), "partitions.json"))["partitions"]:
            if region in each["regions"]:
                return {**each["outputs"], "name": each["id"]}
    raise Unusual(f"no partition lists the region {region!r}")


def _merge(model: dict[str, Any], extra: Document) -> None:
    for name, value in extra.items():
        if isinstance(value, dict) and isinstance(model.get(name), dict):
            _merge(model[name], value)
        else:
            model[name] = value


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _has_model(folder: str) -> bool:
    return any(os.path.exists(os.path.join(folder, name)) for name in ("service-2.json.gz", "service-2.json"))


def _read(path: str) -> Any:
    """A document of the data, compressed or not.

    Raises:
        Unusual: it is not there, or cannot be read.
    """
    try:
        if os.path.exists(path):
            with open(path, "rb") as plain:
                return decode_shallow(plain.read())
        with open(path + ".gz", "rb") as compressed:
            return decode_shallow(_gunzip(compressed.read()))
    except (OSError, ValueError) as error:
        raise Unusual(f"{os.path.basename(path)} cannot be read: {error}") from error


def _gunzip(data: bytes) -> bytes:
    import zlib

    try:
        return zlib.decompress(data, wbits=31)
    except zlib.error as error:
        raise ValueError(str(error)) from error
