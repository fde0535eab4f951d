"""A client for services with AWS's JSON protocols that is called as boto3's, at a fraction of the cost.

    client = LeanClient("dynamodb", through_boto3)
    client.update_item(TableName="view", Key={"pk": {"S": "1"}}, ...)

Whatever is unusual about a call goes to boto3: what botocore would refuse, operations with traits that are not known
here, and all that a client has beside its operations. Failures raise botocore's exceptions.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from . import chosen, endpoints, failures, models
from .connections import Connections
from .operation import Operation
from .shapes import Parsers, Serialisers, Unusual

if TYPE_CHECKING:
    from .sigv4 import Credentials

_MOST_SAID = 100

_log = logging.getLogger(__name__)


class LeanClient:
    """The client of a service. Its operations are attributes, which tests may set.

    Args:
        service: as boto3 names it.
        through_boto3: makes the boto3 client that gets the unusual calls.
        credentials: sign its calls; without them, those in the environment do.
        region: where the calls go; without one, to that in the environment.
        most: connections that are kept.
        connect_timeout_s: for connecting.
        read_timeout_s: for each wait for bytes.

    Attributes:
        model: of the service.
        region: of the endpoint.
        serialisers: of the service's shapes.
        parsers: of the service's shapes.
        credentials: sign its calls, instead of those in the environment; None for these.
        clock_offset_s: by which AWS's clock is ahead of the machine's.

    Raises:
        Unusual: this client cannot be used for the service, whatever is called.
    """

    def __init__(
        self,
        service: str,
        through_boto3: Callable[[], Any],
        *,
        credentials: Credentials | None = None,
        region: str | None = None,
        most: int = 64,
        connect_timeout_s: float = 3,
        read_timeout_s: float = 20,
    ) -> None:
        self.model = models.load(service)
        self.region = region or os.environ["AWS_DEFAULT_REGION"]
        self.serialisers = Serialisers(self.model.shapes)
        self.parsers = Parsers(self.model.shapes)
        self.clock_offset_s = 0.0
        self.credentials = credentials
        self._through_boto3 = through_boto3
        self._partition = models.partition(self.region)
        self._rules = self.model.endpoint_rules()
        self._endpoint = os.environ.get(self.model.endpoint_variable) or os.environ.get("AWS_ENDPOINT_URL") or None
        self._limits: dict[str, Any] = {
            "most": most,
            "connect_timeout_s": connect_timeout_s,
            "read_timeout_s": read_timeout_s,
        }
        self._connections: dict[str, Connections] = {}
        self._lock = threading.RLock()
        self._said: set[tuple[str, str]] = set()
        self._exceptions: Any = None
        self._made: Any = None
        self._may_have_hooks = False
        self.connections(self.address({}))  # an address that cannot be used shows now

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        operation = self.model.operation_of(name)
        if operation is None:
            self.say(name, "it is no operation that names tell")
            made = getattr(self._boto3(), name)
            self._may_have_hooks |= name == "meta"
            return made
        with self._lock:
            if name not in self.__dict__:
                setattr(self, name, self._compiled(name, operation))
        return self.__dict__[name]

    @property
    def exceptions(self) -> Any:
        """The exceptions of the service, as of boto3's client: ``client.exceptions.ResourceNotFoundException``."""
        if self._exceptions is None:
            with self._lock:
                if self._exceptions is None:
                    self._exceptions = failures.ClientExceptions(self.model.service, self.model.errors())
        return self._exceptions

    def close(self) -> None:
        """Close the connections that are not in use."""
        for connections in self._connections.values():
            connections.close()

    def say(self, call: str, why: str) -> None:
        """Log why a call goes to boto3, once for each reason."""
        if (call, why) not in self._said and len(self._said) < _MOST_SAID:
            self._said.add((call, why))
            _log.debug("%s.%s goes through boto3: %s", self.model.service, call, why)

    def address(self, parameters: Mapping[str, Any]) -> str:
        """Where a call goes that says this to the rules of endpoints."""
        given = {"AWS::Region": self.region, "SDK::Endpoint": self._endpoint}
        given |= {"AWS::Auth::AccountIdEndpointMode": "preferred"}
        known = self._rules["parameters"].items()
        named = {name: given[each["builtIn"]] for name, each in known if each.get("builtIn") in given}
        return endpoints.address(self._rules, self._partition, {**named, **parameters})

    def connections(self, url: str) -> Connections:
        """The connections to an address."""
        found = self._connections.get(url)
        if found is None:
            with self._lock:
                found = self._connections.get(url)
                if found is None:
                    found = self._connections[url] = self._connections_to(url)
        return found

    def _connections_to(self, url: str) -> Connections:
        parts = endpoints.PLAIN_URL.fullmatch(url)
        if parts is None or int(parts[3] or 1) > 65535:
            raise Unusual("the address of the endpoint is no plain one")  # and may hold a password
        if chosen.proxy(url):
            raise Unusual(f"a proxy is set for {url}")
        tls = parts[1] == "https"
        port = int(parts[3] or (443 if tls else 80))
        return Connections(url, parts[2].strip("[]"), port, tls=tls, **self._limits)

    def through_boto3(self, method: str, arguments: tuple[Any, ...], request: Mapping[str, Any]) -> Any:
        """The answer of the boto3 client to a call."""
        return getattr(self._boto3(), method)(*arguments, **request)

    def _boto3(self) -> Any:
        """The boto3 client, made once; it raises the exceptions of this one, also from paginators and waiters."""
        if self._made is None:
            with self._lock:
                if self._made is None:
                    made = self._through_boto3()
                    made._exceptions = self.exceptions  # in place of those that botocore makes when it first needs them
                    self._made = made
        return self._made

    def check_that_nobody_else_answers(self) -> None:
        """Check that no hook, mock or tracer has come since this client was made.

        Raises:
            Unusual: boto3's client makes the call, so that it gets it.
        """
        if self._may_have_hooks:
            raise Unusual("`meta` has been asked for, and may have got hooks")
        interception = chosen.interception()
        if interception is not None:
            raise Unusual(interception)

    def now(self) -> float:
        """Seconds since 1970 by the clock of AWS, as far as its answers have told."""
        return time.time() + self.clock_offset_s

    def _compiled(self, method: str, name: str) -> Callable[..., Any]:
        try:
            return Operation(self, method, name)
        except Unusual as unusual:
            self.say(method, str(unusual))
            return lambda *arguments, **request: self.through_boto3(method, arguments, request)
