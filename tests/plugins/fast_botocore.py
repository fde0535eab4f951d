"""A plugin of pytest: what botocore derives for each client from the same files and functions is derived once.

So is what the runtime's own client reads of botocore's files.

Tests build sessions and clients anew by the thousand.
"""

import os
import ssl
import types
from collections.abc import Callable
from functools import cache, partial
from typing import Any

from botocore import client, endpoint, endpoint_provider, hooks, httpsession, loaders, useragent
from stream_runtime.aws import models


def pytest_configure() -> None:
    read_descriptions_once()
    share_models()
    make_classes_once()
    register_handlers_faster()
    share_handlers()
    name_the_user_agent_faster()
    share_the_context_of_tls()
    look_for_proxies_faster()
    read_models_once()


def read_descriptions_once() -> None:
    """Share botocore's descriptions of services. A session shares them among its clients, so nothing changes them.

    Except loaders with extras of their own, as moto's, which merges them into what it has read: they share by kind.
    """
    read_anew = loaders.JSONFileLoader().load_file
    read = cache(read_anew)
    setattr(loaders.JSONFileLoader, "load_file", lambda _, path: read(path))  # noqa: B010 - its stub is wrong
    load, own_extras = loaders.Loader.load_service_model, loaders.Loader.BUILTIN_EXTRAS_TYPES
    merged: dict[tuple[Any, ...], Any] = {}

    def load_service_model(loader: Any, *names: Any, **named: Any) -> Any:
        if loader.BUILTIN_EXTRAS_TYPES is own_extras:
            return load(loader, *names, **named)
        key = (type(loader), *names, *named.items())
        if key not in merged:
            loader.file_loader.load_file = read_anew
            merged[key] = load(loader, *names, **named)
        return merged[key]

    setattr(loaders.Loader, "load_service_model", load_service_model)  # noqa: B010

    def once(method: Callable[..., list[str]]) -> Callable[..., list[str]]:
        found: dict[tuple[str, ...], list[str]] = {}

        def listed(loader: Any, *names: str, **named: str) -> list[str]:
            key = (*loader.search_paths, *names, *named.values())
            if key not in found:
                found[key] = method(loader, *names, **named)
            return found[key]

        return listed

    for name in ("list_available_services", "list_api_versions"):
        setattr(loaders.Loader, name, once(getattr(loaders.Loader, name)))

    made: dict[tuple[int, int], tuple[Any, Any, Any]] = {}
    ruleset = endpoint_provider.RuleSet

    def once_from(data: Any, partitions: Any) -> Any:
        """The rules of a service's endpoints; the descriptions are kept with them, so that their ids stay theirs."""
        key = id(data), id(partitions)
        if key not in made:
            made[key] = (data, partitions, ruleset(**data, partitions=partitions))
        return made[key][2]

    def __init__(self: Any, ruleset_data: Any, partition_data: Any, excluded_params: Any = None) -> None:
        self.ruleset = once_from(ruleset_data, partition_data)
        self._excluded_params = excluded_params or frozenset()

    setattr(endpoint_provider.EndpointProvider, "__init__", __init__)  # noqa: B010


def share_models() -> None:
    """Clients of a service have one model, which remembers what it has derived from the description."""
    model = client.ServiceModel
    made: dict[tuple[int, str | None], tuple[Any, Any]] = {}

    def once_from(description: Any, service_name: str | None = None) -> Any:
        """The description is kept with its model, so that its id stays its own."""
        key = id(description), service_name
        if key not in made:
            made[key] = (description, model(description, service_name=service_name))
        return made[key][1]

    setattr(client, "ServiceModel", once_from)  # noqa: B010


def make_classes_once() -> None:
    """The class of a service's clients follows from its description, and from the handlers that add methods to it.

    A session of boto3 has more of these than one of botocore, but all of a kind have the same.
    """
    make = getattr(client.ClientCreator, "_create_client_class")  # noqa: B009 - not in its stub
    made: dict[tuple[str, int, int], tuple[Any, Any]] = {}

    def _create_client_class(creator: Any, service_name: str, service_model: Any) -> Any:
        description = service_model._service_description
        event = f"creating-client-class.{service_model.service_id.hyphenize()}"
        emitter = getattr(creator._event_emitter, "_emitter", creator._event_emitter)
        key = (service_name, id(description), len(emitter._handlers.prefix_search(event)))
        if key not in made:  # the description is kept with the class, so that its id stays its own
            made[key] = (description, make(creator, service_name, service_model))
        return made[key][1]

    setattr(client.ClientCreator, "_create_client_class", _create_client_class)  # noqa: B010


def register_handlers_faster() -> None:
    """A session registers a hundred handlers of botocore: their names and signatures are always the same."""
    accepts, alias = hooks.accepts_kwargs, getattr(hooks.EventAliaser, "_alias_event_name")  # noqa: B009 - not in its stub
    accepts_once = cache(accepts)
    alias_once = cache(partial(alias, hooks.EventAliaser(hooks.HierarchicalEmitter())))

    def accepts_kwargs(handler: Any) -> Any:
        if isinstance(handler, types.MethodType):
            handler = handler.__func__  # the bound method would keep its client for ever
        return (accepts_once if isinstance(handler, types.FunctionType) else accepts)(handler)

    setattr(hooks, "accepts_kwargs", accepts_kwargs)  # noqa: B010
    setattr(hooks.EventAliaser, "_alias_event_name", lambda _, name: alias_once(name))  # noqa: B010


def share_handlers() -> None:
    """Clients have the hundreds of handlers of their session, in a tree by the parts of their names.

    botocore copies the tree for each; here a change of either copies what is on its way to the name.
    """
    trie = getattr(hooks, "_PrefixTrie")  # noqa: B009 - not in its stub

    def __copy__(self: Any) -> Any:
        self.is_shared = True
        copy = object.__new__(type(self))
        copy.__dict__ = {**self.__dict__}
        return copy

    def copied(node: dict[str, Any]) -> dict[str, Any]:
        values = node["values"]
        return {
            "chunk": node["chunk"],
            "children": {**node["children"]},
            "values": values and hooks.NodeList(values.first[:], values.middle[:], values.last[:]),
        }

    def with_own_nodes(change: Callable[..., None]) -> Callable[..., None]:
        def changed(self: Any, key: str, *more: Any, **named: Any) -> None:
            if hasattr(self, "is_shared"):
                node = self._root = copied(self._root)
                for part in key.split("."):
                    children = node["children"]
                    if part not in children:
                        break
                    node = children[part] = copied(children[part])
            change(self, key, *more, **named)

        return changed

    setattr(trie, "__copy__", __copy__)  # noqa: B010
    for name in ("append_item", "remove_item"):
        setattr(trie, name, with_own_nodes(getattr(trie, name)))


def name_the_user_agent_faster() -> None:
    """Each request has the same words in its user agent, each looked at character by character."""
    name = "sanitize_user_agent_string_component"
    setattr(useragent, name, cache(getattr(useragent, name)))


def read_models_once() -> None:
    """The runtime reads the model of a service when it makes a client; files of tests' own folders are read anew."""
    read = getattr(models, "_read")  # noqa: B009 - private
    read_once = cache(read)
    own = f"{models.data_folder()}/"
    setattr(models, "_read", lambda path: (read_once if path.startswith(own) else read)(path))  # noqa: B010


def share_the_context_of_tls() -> None:
    """Clients that trust the same authorities have one context; making it is the dearest step of making a client."""
    make = httpsession.URLLib3Session._get_ssl_context
    usual: dict[str, ssl.SSLContext] = {}

    def _get_ssl_context(session: Any) -> ssl.SSLContext:
        if not session._verify or session._cert_file:
            return make(session)
        authorities = httpsession.get_cert_path(session._verify)  # AWS_CA_BUNDLE names a file of its own
        if authorities not in usual:
            usual[authorities] = make(session)
        return usual[authorities]

    setattr(httpsession.URLLib3Session, "_get_ssl_context", _get_ssl_context)  # noqa: B010


def look_for_proxies_faster() -> None:
    """Decode no variables where none names a proxy."""
    found_by_botocore = endpoint.get_environ_proxies

    def get_environ_proxies(url: str) -> dict[str, str]:
        encoded = os.environ._data  # type: ignore[attr-defined]
        return found_by_botocore(url) if any(name.lower().endswith(b"_proxy") for name in encoded) else {}

    setattr(endpoint, "get_environ_proxies", get_environ_proxies)  # noqa: B010
