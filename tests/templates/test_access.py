"""The REST API of each stage: who may call it, from which pages, and how often."""

from pathlib import Path

import pytest
import yaml

SERVICE = Path(__file__).resolve().parents[2] / "services" / "rest-bff-service"
REST = [(SERVICE.name, stage) for stage in ("local", "dev", "prod", "full")]
ON_AWS = [each for each in REST if each[1] != "local"]
PARAMS = yaml.safe_load((SERVICE / "serverless.yml").read_text().replace(" !", " "))["params"]
GIVEN = {"jwtIssuer": "https://login.my-company.example/", "jwtAudience": "stories"}
# Answers as the Serverless CLI does, for a service with one route that reads and one that writes.
RESOLVED = """
const { file, stage, params } = given;
const events = [{ httpApi: 'GET /stories' }, { httpApi: { method: 'put', path: '/stories/{id}' } }];
const service = { 'self:service': 's', 'self:functions': { rest: { events } }, 'self:provider.httpApi.metrics': true };
const known = { 'sls:stage': stage, ...service };
const resolveVariable = async (name) => (name.startsWith('param:') ? params[name.slice(6)] : known[name]);
return require(file)({ resolveVariable });
"""


@pytest.fixture
def made(with_node):
    """What access.js makes of the params of a stage, or its error."""

    def make(stage="dev", **params):
        given = {**PARAMS["default"], **PARAMS.get(stage, {}), **GIVEN, **params}
        file = str(SERVICE / "resources" / "access.js")
        return with_node(RESOLVED, {"file": file, "stage": stage, "params": given})

    return make


def routes_of(stack):
    """The routes of a stack by their keys."""
    return {route["RouteKey"]: route for route in stack.of_type("AWS::ApiGatewayV2::Route").values()}


def cors_of(stack):
    (api,) = stack.of_type("AWS::ApiGatewayV2::Api").values()
    return api.get("CorsConfiguration")


@pytest.mark.parametrize("compiled", ON_AWS, ids="-".join)
def test_on_aws_every_route_needs_a_token_except_the_openapi_description(stack):
    routes = routes_of(stack)
    assert {key for key, route in routes.items() if route.get("AuthorizationType") != "JWT"} == {"GET /openapi.json"}
    (authorizer,) = stack.of_type("AWS::ApiGatewayV2::Authorizer").values()
    assert authorizer["IdentitySource"] == ["$request.header.Authorization"]
    audience = ["stories", "reports"] if stack.stage == "full" else ["stories"]
    assert authorizer["JwtConfiguration"] == {"Issuer": GIVEN["jwtIssuer"], "Audience": audience}


@pytest.mark.parametrize("compiled", ON_AWS, ids="-".join)
def test_routes_that_read_need_another_scope_than_those_that_write(stack):
    reading = ["reports/read" if stack.stage == "full" else "stories/read"]
    for key, route in routes_of(stack).items():
        if key != "GET /openapi.json":
            expected = reading if key.startswith("GET ") else ["stories/write"]
            assert route.get("AuthorizationScopes") == expected, key


@pytest.mark.parametrize("compiled", REST, ids="-".join)
def test_only_the_local_stage_is_open(stack):
    open_routes = [key for key, route in routes_of(stack).items() if route.get("AuthorizationType") is None]
    assert (len(open_routes) == len(routes_of(stack))) == (stack.stage == "local")


@pytest.mark.parametrize("compiled", REST, ids="-".join)
def test_every_stage_limits_its_requests(stack):
    (stage,) = stack.of_type("AWS::ApiGatewayV2::Stage").values()
    limits = {"prod": (500, 1000), "full": (2.5, 100)}.get(stack.stage, (50, 100))
    settings = stage["DefaultRouteSettings"]
    assert (settings["ThrottlingRateLimit"], settings["ThrottlingBurstLimit"]) == limits
    assert settings["DetailedMetricsEnabled"] is True


@pytest.mark.parametrize("compiled", REST, ids="-".join)
def test_pages_of_other_origins_may_call_only_where_they_are_listed(stack):
    cors = cors_of(stack)
    listed = {"local": ["*"], "full": ["https://www.my-company.example", "http://localhost:5173"]}.get(stack.stage)
    assert (cors and cors["AllowOrigins"]) == listed
    if cors:
        assert {"Authorization", "Idempotency-Key", "If-Match"} <= set(cors["AllowHeaders"])
        assert {"ETag", "Location"} <= set(cors["ExposeHeaders"])
        assert set(cors["AllowMethods"]) == {"GET", "POST", "PUT", "DELETE"}
        assert "AllowCredentials" not in cors


@pytest.mark.parametrize("stage", ["dev", "prod", "ann", "LOCAL"])
@pytest.mark.parametrize("missing", ["jwtIssuer", "jwtAudience"])
def test_a_stage_on_aws_without_an_issuer_or_an_audience_is_refused_and_told_what_to_set(made, stage, missing):
    error = made(stage, **{missing: ""})["error"]
    for word in ("jwtIssuer", "jwtAudience", "--param", "access: open"):
        assert word in error


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"access": "token"}, "param access: token is neither open nor jwt"),
        ({"access": ""}, "param access:  is neither open nor jwt"),
        ({"access": None}, "param access: null is neither open nor jwt"),
        ({"jwtIssuer": "http://login.my-company.example/"}, "is no https URL"),
        ({"jwtIssuer": "login.my-company.example"}, "is no https URL"),
        ({"jwtIssuer": "https://login.my-company.example/?a=b"}, "is no https URL"),
        ({"jwtAudience": " , "}, "set jwtIssuer"),
        ({"readScope": "stories/read stories/write"}, "is not one scope"),
        ({"adminScope": "a,b"}, "is not one scope"),
        ({"throttlingRate": 0}, "param throttlingRate: 0 is no number above 0"),
        ({"throttlingBurst": "many"}, "param throttlingBurst: many is no number above 0"),
        ({"throttlingRate": "-1"}, "param throttlingRate"),
        ({"throttlingRate": None}, "param throttlingRate"),
    ],
)
def test_a_param_that_would_weaken_the_stage_is_refused(made, params, said):
    assert said in made(**params)["error"]


@pytest.mark.parametrize(
    "origin",
    [
        *("*", "https://*", "http://*", "https://*.my-company.example", "null", "http://www.my-company.example"),
        *("https://www.my-company.example/", "https://WWW.my-company.example", "www.my-company.example"),
        *("http://localhost.evil.example", "https://a.example@evil.example", "chrome-extension://abc", "https://"),
    ],
)
@pytest.mark.parametrize("access", ["jwt", "open"])
def test_an_origin_that_could_be_any_page_is_refused_outside_of_local(made, origin, access):
    told = made(access=access, allowedOrigins=["https://www.my-company.example", origin])
    assert f"param allowedOrigins: {origin} is not allowed" in told["error"]


def test_an_open_stage_on_aws_is_one_that_says_so(made):
    told = made(access="open", jwtIssuer="", jwtAudience=[])
    assert set(told["made"]["extensions"]) == {"HttpApiStage"}


def test_without_scopes_a_token_is_enough(made):
    extensions = made(readScope="", writeScope="")["made"]["extensions"]
    routes = [each["Properties"] for name, each in extensions.items() if name.startswith("HttpApiRoute")]
    assert len(routes) == 2
    assert [route for route in routes if "AuthorizationScopes" in route or route["AuthorizationType"] != "JWT"] == []
