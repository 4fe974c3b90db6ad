// oauth4webapi against an edge: discovery, each grant, revocation, introspection, and what each refusal looks like.

import assert from "node:assert/strict";
import * as oauth from "oauth4webapi";

const { ISSUER, USERNAME, PASSWORD, CLIENT_ID, CLIENT_SECRET, PLATFORM_ID, PLATFORM_SECRET } = process.env;
const insecure = { [oauth.allowInsecureRequests]: true };

const issuer = new URL(ISSUER);
const found = await oauth.discoveryRequest(issuer, { algorithm: "oauth2", ...insecure });
const server = await oauth.processDiscoveryResponse(issuer, found);
assert.equal(server.issuer, ISSUER);
assert.deepEqual(server.grant_types_supported, ["client_credentials", "refresh_token"]);
await assert.rejects(async () => {
  const other = await oauth.discoveryRequest(issuer, { algorithm: "oauth2", ...insecure });
  await oauth.processDiscoveryResponse(new URL(`${ISSUER}/elsewhere`), other);
});

const client = { client_id: CLIENT_ID };
const platform = { client_id: PLATFORM_ID };
const asPlatform = oauth.ClientSecretBasic(PLATFORM_SECRET);

/** What the platform's client is told of `token`. */
async function introspect(token) {
  const response = await oauth.introspectionRequest(server, platform, asPlatform, token, insecure);
  return oauth.processIntrospectionResponse(server, platform, response);
}

/** Checks that the library reads a refusal as `error`. */
async function refused(error, status, answered) {
  await assert.rejects(answered, (thrown) => {
    assert.equal(thrown.error, error, thrown);
    assert.equal(thrown.status, status);
    return true;
  });
}

for (const auth of [oauth.ClientSecretBasic(CLIENT_SECRET), oauth.ClientSecretPost(CLIENT_SECRET)]) {
  const asked = { scope: "keys:read" };
  const response = await oauth.clientCredentialsGrantRequest(server, client, auth, asked, insecure);
  const tokens = await oauth.processClientCredentialsResponse(server, client, response);
  assert.equal(tokens.scope, "keys:read");
  assert.equal((await introspect(tokens.access_token)).sub, CLIENT_ID);
  // The library checks an access token as a resource server does (RFC 9068), by the published keys.
  const request = new Request(`${ISSUER}/resource`, { headers: { authorization: `Bearer ${tokens.access_token}` } });
  const options = { ...insecure, signingAlgorithms: ["EdDSA"] };
  const claims = await oauth.validateJwtAccessToken(server, request, ISSUER, options);
  assert.equal(claims.client_id, CLIENT_ID);

  await refused("invalid_scope", 400, async () => {
    const wide = await oauth.clientCredentialsGrantRequest(server, client, auth, { scope: "org:delete" }, insecure);
    await oauth.processClientCredentialsResponse(server, client, wide);
  });
}
// A 401 comes with a challenge, by which the library tells of it.
await assert.rejects(async () => {
  const wrong = oauth.ClientSecretBasic("wrong");
  const response = await oauth.clientCredentialsGrantRequest(server, client, wrong, {}, insecure);
  await oauth.processClientCredentialsResponse(server, client, response);
}, (thrown) => thrown instanceof oauth.WWWAuthenticateChallengeError && thrown.cause[0].scheme === "basic");

const nest = { client_id: "nest" };
const asNest = oauth.None();
const login = { username: USERNAME, password: PASSWORD };
const loggedIn = await oauth.genericTokenEndpointRequest(server, nest, asNest, "password", login, insecure);
const session = await oauth.processGenericTokenEndpointResponse(server, nest, loggedIn);
const turned = await oauth.refreshTokenGrantRequest(server, nest, asNest, session.refresh_token, insecure);
const next = await oauth.processRefreshTokenResponse(server, nest, turned);
assert.notEqual(next.refresh_token, session.refresh_token);
assert.equal((await introspect(next.access_token)).active, true);
assert.deepEqual(await introspect(session.refresh_token), { active: false });

for (const token of [next.refresh_token, "unknown"]) {
  const revoked = await oauth.revocationRequest(server, nest, asNest, token, insecure);
  assert.equal(await oauth.processRevocationResponse(revoked), undefined);
}
assert.deepEqual(await introspect(next.access_token), { active: false });
await refused("invalid_grant", 400, async () => {
  const gone = await oauth.refreshTokenGrantRequest(server, nest, asNest, next.refresh_token, insecure);
  await oauth.processRefreshTokenResponse(server, nest, gone);
});
process.stdout.write("ok\n");
