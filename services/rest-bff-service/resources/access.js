'use strict';

// The param access decides who can call the API: anybody (`open`), or callers with a token of jwtIssuer for one of
// jwtAudience (`jwt`; a list, or comma-separated). With jwt all routes of serverless.yml need a token except those listed
// here, so that a new route is never open by mistake.

const PUBLIC = ['GET /openapi.json'];

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
      .replace(/\{(.*)\}/g, '$1Var')
      .replace(/[^0-9a-z]/gi, '')
      .replace(/^./, (first) => first.toUpperCase());
  return route === '*' ? 'HttpApiRouteDefault' : `HttpApiRoute${route.split('/').map(word).join('')}`;
};

module.exports = async ({ resolveVariable }) => {
  const access = await resolveVariable('param:access');
  if (access === 'open') return { Resources: {} };
  if (access !== 'jwt') throw new Error(`param access: ${access} is neither open nor jwt`);
  const issuer = await resolveVariable('param:jwtIssuer');
  const audience = listOf(await resolveVariable('param:jwtAudience'));
  if (!issuer || !audience.length) {
    throw new Error('param access is jwt: set jwtIssuer, who gives your tokens, and jwtAudience, for whom they are');
  }
  const withToken = { Properties: { AuthorizationType: 'JWT', AuthorizerId: { Ref: 'TokenAuthorizer' } } };
  const routes = routesOf(await resolveVariable('self:functions')).filter((route) => !PUBLIC.includes(route));
  return {
    Resources: {
      TokenAuthorizer: {
        Type: 'AWS::ApiGatewayV2::Authorizer',
        Properties: {
          ApiId: { Ref: 'HttpApi' },
          Name: `${await resolveVariable('self:service')}-${await resolveVariable('sls:stage')}-tokens`,
          AuthorizerType: 'JWT',
          IdentitySource: ['$request.header.Authorization'],
          JwtConfiguration: {
            Issuer: issuer,
            Audience: audience,
          },
        },
      },
    },
    extensions: Object.fromEntries(routes.map((route) => [logicalId(route), withToken])),
  };
};
