"""Each version of a function has the code that it was published with, for `sls rollback function`.

ministack's GetFunction names a URL with the code of $LATEST, whatever version is asked for.
"""

from __future__ import annotations

import json
from typing import Any

INTERNALS = {
    "ministack.services.lambda_svc": (
        *("_get_function", "serve_function_code", "_functions", "_effective_func_record_for_qualifier"),
    ),
}


def patch() -> None:
    """Name the version in the URL, and serve its code."""
    from ministack.services import lambda_svc

    get_function, serve = lambda_svc._get_function, lambda_svc.serve_function_code

    def got(name: str, qualifier: str | None = None) -> Any:
        status, headers, body = response = get_function(name, qualifier)
        answer = json.loads(body)
        if status != 200 or qualifier is None or "Location" not in answer["Code"]:
            return response
        answer["Code"]["Location"] = answer["Code"]["Location"].replace(f"/{name}?", f"/{name}:{qualifier}?")
        return status, headers, json.dumps(answer).encode()

    def served(name: str, account_id: str, region: str) -> Any:
        name, _, qualifier = name.partition(":")
        function = lambda_svc._functions.get_scoped(account_id, region, name)
        record, _ = lambda_svc._effective_func_record_for_qualifier(function, qualifier or None)
        if record is None:
            return serve(name, account_id, region)
        return 200, {"Content-Type": "application/zip"}, record["code_zip"]

    lambda_svc._get_function, lambda_svc.serve_function_code = got, served
