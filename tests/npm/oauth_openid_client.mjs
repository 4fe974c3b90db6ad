// openid-client against an edge: discovery, each grant, revocation and introspection.

import assert from "node:assert/strict";
import * as openid from "openid-client";

const { ISSUER, USERNAME, PASSWORD, CLIENT_ID, CLIENT_SECRET, PLATFORM_ID, PLATFORM_SECRET } = process.env;

/** Finds the server anew, as one of its clients. */
function discover(id, secret, auth) {
  const options = { algorithm: "oauth2", execute: [openid.allowInsecureRequests] };
  return openid.discovery(new URL(ISSUER), id, secret, auth, options);
}

const platform = await discover(PLATFORM_ID, PLATFORM_SECRET, openid.ClientSecretBasic(PLATFORM_SECRET));
assert.equal(platform.serverMetadata().issuer, ISSUER);

for (const auth of [openid.ClientSecretBasic(CLIENT_SECRET), openid.ClientSecretPost(CLIENT_SECRET)]) {
  const client = await discover(CLIENT_ID, CLIENT_SECRET, auth);
  const tokens = await openid.clientCredentialsGrant(client, { scope: "usage:read" });
  assert.equal(tokens.scope, "usage:read");
  const told = await openid.tokenIntrospection(platform, tokens.access_token);
  assert.equal(told.active && told.client_id, CLIENT_ID);
  assert.equal((await openid.tokenIntrospection(client, tokens.access_token)).active, true);
  await assert.rejects(openid.clientCredentialsGrant(client, { scope: "org:delete" }), { error: "invalid_scope" });
}

const nest = await discover("nest", undefined, openid.None());
const login = { username: USERNAME, password: PASSWORD };
const session = await openid.genericGrantRequest(nest, "password", login);
const next = await openid.refreshTokenGrant(nest, session.refresh_token);
assert.notEqual(next.refresh_token, session.refresh_token);
const me = await openid.fetchProtectedResource(nest, next.access_token, new URL(`${ISSUER}/api/v1/me`), "GET");
assert.equal((await me.json()).email, USERNAME);
await assert.rejects(openid.genericGrantRequest(nest, "password", { ...login, password: "wrong" }), { error: "invalid_grant" });
await openid.tokenRevocation(nest, next.access_token);
assert.deepEqual(await openid.tokenIntrospection(platform, next.access_token), { active: false });
await assert.rejects(openid.refreshTokenGrant(nest, next.refresh_token), { error: "invalid_grant" });
process.stdout.write("ok\n");
