'use strict';

// Who may call the API, from which web pages, and how often:
//
// - The param access is `jwt`, for callers with a token of jwtIssuer for one of jwtAudience (a list, or comma-separated), or
//   `open`, for anybody. With jwt all routes of serverless.yml need a token except those listed here, so that a new route is
//   never open by mistake. Routes that read need readScope, the others writeScope; an empty scope is none.
// - allowedOrigins (likewise a list) are the web pages that may call it; without any, no page of another origin may.
// - throttlingRate and throttlingBurst limit the requests of all callers together, in requests a second.

const PUBLIC = ['GET /openapi.json'];
const READING = ['GET', 'HEAD', 'OPTIONS'];
const LOCAL = 'local';
const HEADERS = ['Authorization', 'Content-Type', 'Idempotency-Key', 'If-Match'];
const METHODS = ['GET', 'POST', 'PUT', 'DELETE'];
const EXPOSED = ['ETag', 'Idempotency-Replayed', 'Location', 'Retry-After'];
const UNSET =
  'param access is jwt: set jwtIssuer, who gives your tokens, and jwtAudience, for whom they are, in params of ' +
  'serverless.yml or with --param. With access: open anybody can read and write.';

const listOf = (value) =>
  (Array.isArray(value) ? value : String(value).split(',')).map((each) => String(each).trim()).filter(Boolean);

const routesOf = (functions) =>
  Object.values(functions)
    .flatMap(({ events = [] }) => events)
    .filter((event) => event.httpApi)
    .map(({ httpApi }) => (typeof httpApi === 'string' ? httpApi : `${httpApi.method} ${httpApi.path}`));

// The logical id that the Serverless CLI gives a route; with a wrong one packaging fails, because it extends nothing.
const logicalId = (route) => {
  const word = (part) =>
    part
      .toLowerCase()
      .replace(/-/g, 'Dash')
      .replace(/\{([^{}]*)\}/g, '$1Var')
      .replace(/[^0-9a-z]/gi, '')
      .replace(/^./, (first) => first.toUpperCase());
  return route === '*' ? 'HttpApiRouteDefault' : `HttpApiRoute${route.split('/').map(word).join('')}`;
};

// Tokens are checked with keys that the issuer's host names: whoever is between must not choose them.
const checkedIssuer = (issuer, stage) => {
  if (stage !== LOCAL && !/^https:\/\/[^\s?#]+$/.test(issuer)) {
    throw new Error(`param jwtIssuer: ${issuer} is no https URL, as it stands in the claim iss of your tokens`);
  }
  return issuer;
};

const checkedScope = (name, scope) => {
  if (/\s|,/.test(scope)) throw new Error(`param ${name}: "${scope}" is not one scope`);
  return scope;
};

// Browsers send an origin exactly so. A wildcard would let any page in, and `null` any sandboxed one.
const checkedOrigin = (origin, stage) => {
  const isSafe = /^https:\/\/[a-z0-9.-]+(:\d+)?$|^http:\/\/(localhost|127\.0\.0\.1)(:\d+)?$/.test(origin);
  if (stage !== LOCAL && !isSafe) {
    throw new Error(
      `param allowedOrigins: ${origin} is not allowed outside stage local; expected https://host, in lower case and ` +
        'without a path, or http://localhost with a port',
    );
  }
  return origin;
};

const checkedLimit = (name, value) => {
  if (!(Number(value) > 0)) throw new Error(`param ${name}: ${value} is no number above 0`);
  return Number(value);
};

const tokens = async (param, resolveVariable, stage) => {
  const access = await param('access');
  if (access === 'open') return { Resources: {}, extensions: {} };
  if (access !== 'jwt') throw new Error(`param access: ${access} is neither open nor jwt`);
  const [issuer, audience] = [await param('jwtIssuer'), listOf(await param('jwtAudience'))];
  if (!issuer || !audience.length) throw new Error(UNSET);
  const readScope = checkedScope('readScope', await param('readScope'));
  const writeScope = checkedScope('writeScope', await param('writeScope'));
  checkedScope('adminScope', await param('adminScope'));
  const withToken = (route) => {
    const scope = READING.includes(route.split(' ')[0].toUpperCase()) ? readScope : writeScope;
    return {
      Properties: {
        AuthorizationType: 'JWT',
        AuthorizerId: { Ref: 'TokenAuthorizer' },
        ...(scope && { AuthorizationScopes: [scope] }),
      },
    };
  };
  const routes = routesOf(await resolveVariable('self:functions')).filter((route) => !PUBLIC.includes(route));
  return {
    Resources: {
      TokenAuthorizer: {
        Type: 'AWS::ApiGatewayV2::Authorizer',
        Properties: {
          ApiId: { Ref: 'HttpApi' },
          Name: `${await resolveVariable('self:service')}-${stage}-tokens`,
          AuthorizerType: 'JWT',
          IdentitySource: ['$request.header.Authorization'],
          JwtConfiguration: {
            Issuer: checkedIssuer(issuer, stage),
            Audience: audience,
          },
        },
      },
    },
    extensions: Object.fromEntries(routes.map((route) => [logicalId(route), withToken(route)])),
  };
};

const origins = async (param, stage) => {
  const AllowOrigins = listOf(await param('allowedOrigins')).map((origin) => checkedOrigin(origin, stage));
  if (!AllowOrigins.length) return {};
  const cors = { AllowOrigins, AllowHeaders: HEADERS, AllowMethods: METHODS, ExposeHeaders: EXPOSED, MaxAge: 3600 };
  return { HttpApi: { Properties: { CorsConfiguration: cors } } };
};

const throttling = async (param, resolveVariable) => ({
  HttpApiStage: {
    Properties: {
      DefaultRouteSettings: {
        DetailedMetricsEnabled: await resolveVariable('self:provider.httpApi.metrics'),
        ThrottlingBurstLimit: checkedLimit('throttlingBurst', await param('throttlingBurst')),
        ThrottlingRateLimit: checkedLimit('throttlingRate', await param('throttlingRate')),
      },
    },
  },
});

module.exports = async ({ resolveVariable }) => {
  const param = (name) => resolveVariable(`param:${name}`);
  const stage = await resolveVariable('sls:stage');
  const { Resources, extensions } = await tokens(param, resolveVariable, stage);
  Object.assign(extensions, await origins(param, stage), await throttling(param, resolveVariable));
  return { Resources, extensions };
};
