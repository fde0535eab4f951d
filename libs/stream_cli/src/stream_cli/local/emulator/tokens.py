"""JWT authorizers of HTTP APIs refuse the tokens that API Gateway refuses.

ministack checks signature, key, issuer, audience, scopes and the times that it finds. It does not look at the algorithm
that a token names, takes a token that never expires, and fails with 500 on parts or times of another type.

Source: API Gateway developer guide, "Control access to HTTP APIs with JWT authorizers". It supports algorithms based on
RSA; here it is RS256 alone, because ministack verifies no other.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

INTERNALS = {
    "ministack.services.apigateway": (
        *("_validate_jwt_authorizer", "_extract_token_from_identity_source", "_b64url_decode", "_jwt_unauthorized"),
    ),
}

_ALGORITHM = "RS256"
_OPTIONAL_TIMES = ("nbf", "iat")


def patch() -> None:
    """Answer 401 to such a token, and hand on the rest."""
    from ministack.services import apigateway

    validate = apigateway._validate_jwt_authorizer

    async def validate_well_formed(
        route: dict[str, Any], authorizer: dict[str, Any], headers: dict[str, str], query: dict[str, Any]
    ) -> Any:
        sources = authorizer.get("identitySource", [])
        token = apigateway._extract_token_from_identity_source(sources, headers, query)
        if not token or not _is_well_formed(token, apigateway._b64url_decode):
            return None, None, apigateway._jwt_unauthorized()
        return await validate(route, authorizer, headers, query)

    apigateway._validate_jwt_authorizer = validate_well_formed


def _is_well_formed(token: str, decode: Callable[[str], bytes]) -> bool:
    try:
        header, claims = (json.loads(decode(part)) for part in token.split(".")[:2])
    except (ValueError, RecursionError):
        return False
    if not (isinstance(header, dict) and isinstance(claims, dict)):
        return False
    times = [claims.get("exp"), *(claims[name] for name in _OPTIONAL_TIMES if name in claims)]
    return header.get("alg") == _ALGORITHM and all(map(_is_time, times))


def _is_time(value: object) -> bool:
    return type(value) is int or (isinstance(value, float) and math.isfinite(value))
