"""Who gets into the deployed API: tokens that attackers make do not, scopes hold, and stories keep to their owners."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.system

HOUR = 3600
STORY = {
    "source_type": "newsapi",
    "source_url": "https://news.example/ai",
    "title": "A title",
    "text_snippet": "A text",
    "published_at": "2026-11-16T10:00:00Z",
}
ROUTES = [
    *[("GET", "/stories"), ("GET", "/stories/x"), ("GET", "/dashboard?day=2026-11-16")],
    *[("POST", "/stories"), ("PUT", "/stories/x"), ("DELETE", "/stories/x")],
]
Attack = Callable[[Any, Any], str]
"""Makes a token, given the issuer that the API trusts and a stranger."""


def encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def with_payload(token: str, **claims: Any) -> str:
    """A token whose claims were changed after it was signed."""
    header, payload, signature = token.split(".")
    changed = json.loads(base64.urlsafe_b64decode(payload + "==")) | claims
    return f"{header}.{encoded(json.dumps(changed).encode())}.{signature}"


def with_hmac(issuer: Any, secret: bytes, **header: str) -> str:
    """A token that is signed with a text that everybody can have, and says so."""
    parts = issuer.parts(header={"alg": "HS256", **header})
    signed = ".".join(encoded(json.dumps(part).encode()) for part in parts)
    return f"{signed}.{encoded(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


def unsigned(issuer: Any, algorithm: str) -> str:
    return issuer.token(header={"alg": algorithm}).rpartition(".")[0] + "."


FORGED: dict[str, Attack] = {
    "alg none": lambda issuer, _: unsigned(issuer, "none"),
    "alg NONE": lambda issuer, _: unsigned(issuer, "NONE"),
    "alg none, with a good signature": lambda issuer, _: issuer.token(header={"alg": "none"}),
    "no alg": lambda issuer, _: issuer.token(without=["alg"]),
    "another alg than that of the signature": lambda issuer, _: issuer.token(header={"alg": "ES256"}),
    "HS256 with the public key": lambda issuer, _: with_hmac(issuer, issuer.public_pem),
    "HS256 with the modulus": lambda issuer, _: with_hmac(issuer, issuer.jwk["n"].encode()),
    "HS256 with nothing": lambda issuer, _: with_hmac(issuer, b""),
    "wrong key": lambda issuer, stranger: stranger.token(iss=issuer.url),
    "wrong key in the header": lambda issuer, other: other.token(iss=issuer.url, header={"jwk": other.jwk}),
    "wrong key at jku": lambda issuer, other: other.token(iss=issuer.url, header={"jku": f"{other.url}keys"}),
    "wrong key at x5u": lambda issuer, other: other.token(iss=issuer.url, header={"x5u": f"{other.url}keys"}),
    "wrong issuer": lambda _, stranger: stranger.token(),
    "unknown kid": lambda issuer, _: issuer.token(header={"kid": "2"}),
    "kid of a file": lambda issuer, _: with_hmac(issuer, b"", kid="/dev/null"),
    "no kid": lambda issuer, _: issuer.token(without=["kid"]),
    "kid of another type": lambda issuer, _: issuer.token(header={"kid": ["1"]}),
    "changed subject": lambda issuer, _: with_payload(issuer.token(), sub="bob"),
    "changed scope": lambda issuer, _: with_payload(issuer.token(), scope="stories/read stories/write stories/admin"),
    "no signature": lambda issuer, _: issuer.token().rpartition(".")[0],
    "an empty signature": lambda issuer, _: issuer.token().rpartition(".")[0] + ".",
    "a fourth part": lambda issuer, _: issuer.token() + ".x",
    "a signature cut short": lambda issuer, _: issuer.token()[:-8],
    "signature of another token": lambda issuer, _: (
        issuer.token(sub="bob").rpartition(".")[0] + "." + issuer.token().rpartition(".")[2]
    ),
}
MISTAKEN: dict[str, Attack] = {
    "expired": lambda issuer, _: issuer.token(exp=int(time.time()) - 1),
    "expired long ago": lambda issuer, _: issuer.token(exp=1),
    "never expires": lambda issuer, _: issuer.token(without=["exp"]),
    "expires at no number": lambda issuer, _: issuer.token(exp="never"),
    "expires at null": lambda issuer, _: issuer.token(exp=None),
    "expires at infinity": lambda issuer, _: issuer.token(exp=float("inf")),
    "expires at a list": lambda issuer, _: issuer.token(exp=[int(time.time()) + HOUR]),
    "not valid yet": lambda issuer, _: issuer.token(nbf=int(time.time()) + HOUR),
    "valid from no number": lambda issuer, _: issuer.token(nbf="now"),
    "issued in the future": lambda issuer, _: issuer.token(iat=int(time.time()) + HOUR),
    "wrong audience": lambda issuer, _: issuer.token(aud="something-else"),
    "similar audience": lambda issuer, _: issuer.token(aud="stories2"),
    "wrong audiences": lambda issuer, _: issuer.token(aud=["a", "b"]),
    "no audience": lambda issuer, _: issuer.token(without=["aud"]),
    "wrong audience, right client": lambda issuer, _: issuer.token(aud="something-else", client_id="stories"),
    "another issuer": lambda issuer, _: issuer.token(iss="http://127.0.0.1:9/"),
    "similar issuer": lambda issuer, _: issuer.token(iss=issuer.url.rstrip("/")),
    "no issuer": lambda issuer, _: issuer.token(without=["iss"]),
    "claims that are a list": lambda issuer, _: issuer.signed(issuer.parts()[0], [1]),
    "claims that are nothing": lambda issuer, _: issuer.signed(issuer.parts()[0], None),
    "a header that is a text": lambda issuer, _: issuer.signed("RS256", issuer.parts()[1]),
    "no JSON": lambda issuer, _: "a.b.c",
    "claims that are no UTF-8": lambda issuer, _: f"{issuer.token().partition('.')[0]}.{encoded(bytes([255]))}.c",
    "deep JSON": lambda issuer, _: f"{encoded(b'[' * 5000)}.{encoded(b'[' * 5000)}.c",
}
ELSEWHERE: dict[str, Callable[[str], dict[str, Any]]] = {
    "in the query": lambda token: {"params": {"access_token": token, "Authorization": f"Bearer {token}"}},
    "in a cookie": lambda token: {"headers": {"Cookie": f"Authorization={token}; access_token={token}"}},
    "in another header": lambda token: {"headers": {"X-Authorization": f"Bearer {token}", "Token": token}},
    "in another scheme": lambda token: {"headers": {"Authorization": f"Basic {token}"}},
    "behind another token": lambda token: {"headers": {"Authorization": f"Bearer x Bearer {token}"}},
}


def new_story(request_api: Any, token: str, **fields: Any) -> Any:
    created = request_api("POST", "/stories", token, json={**STORY, **fields})
    assert created.status_code == 201, created.text
    return created.json()


@pytest.fixture(scope="module")
def story_of_ann(request_api: Any, issuer: Any) -> str:
    """The id of a story that attacks are on."""
    return str(new_story(request_api, issuer.token())["id"])


def test_without_a_token_only_the_description_of_the_api_is_public(request_api: Any) -> None:
    description = request_api("GET", "/openapi.json")
    assert (description.status_code, description.json()["security"]) == (200, [{"token": []}])
    for method, path in ROUTES:
        assert request_api(method, path).status_code == 401, (method, path)


@pytest.mark.parametrize("name", [*FORGED, *MISTAKEN])
def test_a_token_that_is_not_for_this_api_is_refused(
    request_api: Any, issuer: Any, stranger: Any, story_of_ann: str, name: str
) -> None:
    token = (FORGED | MISTAKEN)[name](issuer, stranger)

    for method, path in (("GET", "/stories"), ("DELETE", f"/stories/{story_of_ann}")):
        answer = request_api(method, path, token)
        assert (answer.status_code, answer.json()) == (401, {"message": "Unauthorized"}), answer.text
    assert stranger.asked == [], "the API asked where a token told it to"
    assert request_api("GET", f"/stories/{story_of_ann}", issuer.token()).status_code == 200


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_token_counts_in_the_header_for_it_alone(request_api: Any, issuer: Any, name: str) -> None:
    assert request_api("GET", "/stories", **ELSEWHERE[name](issuer.token())).status_code == 401


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": ["a", "stories"]},
        {"nbf": 1, "iat": 1.5},
        {"scope": "openid stories/read"},
        {"scope": "", "scp": ["stories/read"]},
    ],
    ids=str,
)
def test_a_token_for_this_api_is_accepted(request_api: Any, issuer: Any, claims: dict[str, Any]) -> None:
    assert request_api("GET", "/stories", issuer.token(**claims)).status_code == 200


def test_a_client_with_its_id_in_place_of_an_audience_is_accepted(request_api: Any, issuer: Any) -> None:
    assert request_api("GET", "/stories", issuer.token(without=["aud"], client_id="stories")).status_code == 200


@pytest.mark.parametrize("claims", [{"sub": sub} for sub in ("", " ", None)] + [{}], ids=str)
def test_a_token_without_a_subject_is_refused(request_api: Any, issuer: Any, claims: dict[str, Any]) -> None:
    token = issuer.token(**claims) if claims else issuer.token(without=["sub"])

    for method, path in ROUTES:
        answer = request_api(method, path, token)
        assert (answer.status_code, answer.headers["Content-Type"]) == (401, "application/problem+json"), path
        assert "sub" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [
        ("stories/read", {"GET"}),
        ("stories/write", {"POST", "PUT", "DELETE"}),
        ("stories/admin", set()),
        ("", set()),
        ("STORIES/READ STORIES/WRITE stories/readitems/write stories", set()),
    ],
)
def test_reading_and_writing_need_a_scope_each(request_api: Any, issuer: Any, scope: str, allowed: set[str]) -> None:
    refused = {method: False for method, _ in ROUTES}
    for method, path in ROUTES:
        refused[method] = request_api(method, path, issuer.token(scope=scope)).status_code == 403

    assert {method for method, is_refused in refused.items() if not is_refused} == allowed


def test_a_scope_in_a_list_or_of_another_claim_is_none(request_api: Any, issuer: Any) -> None:
    for claims in ({"scope": "stories/read,stories/write"}, {"scope": "", "permissions": ["stories/read"]}):
        assert request_api("GET", "/stories", issuer.token(**claims)).status_code == 403


def test_a_story_is_its_owners_to_change_and_everybodys_to_read(request_api: Any, issuer: Any) -> None:
    ann, bob = issuer.token(sub="ann"), issuer.token(sub="bob")
    story = f"/stories/{new_story(request_api, ann)['id']}"

    for answer in (request_api("PUT", story, bob, json=STORY), request_api("DELETE", story, bob)):
        assert (answer.status_code, answer.headers["Content-Type"]) == (403, "application/problem+json")
        assert "ann" not in answer.text
    assert request_api("GET", story, bob).json()["version"] == 1
    assert request_api("PUT", story, ann, json={**STORY, "title": "Changed"}).json()["version"] == 2
    assert request_api("DELETE", story, ann).status_code == 204


def test_an_admin_changes_what_belongs_to_others(request_api: Any, issuer: Any) -> None:
    story = f"/stories/{new_story(request_api, issuer.token(sub='ann'))['id']}"
    admin = issuer.token(sub="root", scope="stories/write stories/admin")

    assert request_api("PUT", story, admin, json=STORY).status_code == 200
    assert request_api("PUT", story, issuer.token(sub="root"), json=STORY).status_code == 403, "it stays Ann's"
    assert request_api("DELETE", story, admin).status_code == 204


def test_an_idempotency_key_belongs_to_the_caller_of_the_token(request_api: Any, issuer: Any) -> None:
    key = uuid.uuid4().hex

    def create(caller: str) -> httpx.Response:
        answer: httpx.Response = request_api(
            "POST", "/stories", issuer.token(sub=caller), json=STORY, headers={"Idempotency-Key": key}
        )
        return answer

    first, again, other = create("ann"), create("ann"), create("bob")

    assert (first.status_code, again.status_code, other.status_code) == (201, 201, 201)
    assert again.json() == first.json()
    assert other.json()["id"] != first.json()["id"]
