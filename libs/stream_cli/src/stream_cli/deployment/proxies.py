"""The caller's proxies: dropped where a command talks to this machine, kept where it talks to AWS.

The Serverless CLI sends requests to 127.0.0.1 through a proxy, too: it does not read NO_PROXY. pip may need the proxy
to reach a host that a service's requirements name, so it gets it in a variable that only pip reads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_NAME = re.compile(r"(\w+_)?proxy|global_agent_\w+|npm_config_noproxy", re.IGNORECASE | re.ASCII)
_PIP = "PIP_PROXY"
# What the programs here read: urllib, requests, botocore, httpx, undici, the Serverless CLI (proxy), npm.
_READ = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_ALSO_READ = ("proxy", "NODE_USE_ENV_PROXY", "npm_config_proxy", "npm_config_https_proxy", "npm_config_noproxy")
_BEST_FIRST = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "http_proxy", "HTTP_PROXY")


def without_proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without any setting of a proxy, however its name is written."""
    return {name: value for name, value in environment.items() if not _NAME.fullmatch(name)}


def proxy_for_pip(environment: Mapping[str, str]) -> dict[str, str]:
    """The variable that tells pip of the proxy in an environment; empty where there is none.

    pip then uses it for every host: it has no variable for exceptions.
    """
    found = next((environment[name] for name in (_PIP, *_BEST_FIRST) if environment.get(name)), None)
    return {} if found is None else {_PIP: found}


def unset_proxies(environment: Mapping[str, str]) -> list[str]:
    """The names to unset in a shell: those that programs read, and those in an environment."""
    usual = {*_READ, *map(str.upper, _READ), *_ALSO_READ}
    # The lines are evaluated: what a shell would not take as one name stays out.
    found = {name for name in environment if _NAME.fullmatch(name) and name.isascii() and name.isidentifier()}
    return sorted(usual | found - {_PIP})
