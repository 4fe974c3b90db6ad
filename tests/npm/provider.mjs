// An OpenID provider that others wrote (oidc-provider), which misbehaves when told to.
//
// The first line of input is ignored but for its being there, and answered with { issuer }. Then a line is one of
//   { client: METADATA }      adds a client, or replaces it
//   { account: CLAIMS }       adds an account, or replaces it; `sub` is its name at the log-in form
//   { misbehave: WHAT|null }  see forge.mjs; null ends it
//   { rotate: true }          signs with new keys from now on; the old ones stay published
// and is answered with {}.

import { createServer } from "node:http";
import { Provider } from "oidc-provider";
import MemoryAdapter from "oidc-provider/lib/adapters/memory_adapter.js";
import { Keys, forge } from "./forge.mjs";
import { obey } from "./lines.mjs";

const clients = new Map();
const accounts = new Map();
let misbehaviour = null;

const keys = await Keys.generate("first");
let signing = keys;
const published = [...keys.published];

const server = createServer();
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  adapter: (model) => (model === "Client" ? { find: async (id) => clients.get(id) } : new MemoryAdapter(model)),
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
  // As most large providers do: the claims of the scopes stand in the ID token, too.
  conformIdTokenClaims: false,
  cookies: { keys: ["this provider lives as long as a test"] },
  enabledJWA: { idTokenSigningAlgValues: ["RS256", "ES256", "EdDSA"] },
  features: { devInteractions: { enabled: true } },
  findAccount: (_, id) => accounts.has(id) && { accountId: id, claims: () => accounts.get(id) },
  jwks: { keys: keys.secret },
  pkce: { required: () => true },
});

provider.use(async (ctx, next) => {
  if (misbehaviour === "token_endpoint_fails" && ctx.path === "/token") {
    ctx.status = 500;
    return;
  }
  await next();
  if (ctx.status !== 200) {
    return;
  }
  switch (ctx.oidc?.route) {
    case "discovery":
      ctx.body.issuer = misbehaviour === "other_issuer_in_metadata" ? "https://elsewhere.example" : issuer;
      break;
    case "jwks":
      ctx.body = { keys: published };
      break;
    case "token":
      if (signing !== keys || misbehaviour !== null) {
        ctx.body = { ...ctx.body, id_token: await forge(ctx.body.id_token, signing, misbehaviour) };
      }
      break;
    case "userinfo":
      if (misbehaviour === "userinfo_of_another") {
        ctx.body = { ...ctx.body, sub: "somebody-else" };
      }
      break;
  }
});
server.on("request", provider.callback());

await obey(async (order) => {
  if (order.client) {
    clients.set(order.client.client_id, order.client);
  } else if (order.account) {
    accounts.set(order.account.sub, order.account);
  } else if (order.rotate) {
    signing = await Keys.generate("second");
    published.push(...signing.published);
  } else if ("misbehave" in order) {
    misbehaviour = order.misbehave;
  } else {
    return { issuer };
  }
  return {};
});
