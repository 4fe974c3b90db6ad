// A relying party that others wrote (openid-client), for one client at one issuer: { issuer, client_id, client_secret,
// redirect_uri, algorithm } come first, and are answered with {} or { refused }. Then { begin: true } is answered with
// the { url } to send the user to, and { back: URL }, where the user came back, with what is known then:
// { claims, userinfo }, or { refused: CODE } if the library refuses.

import * as openid from "openid-client";
import { obey } from "./lines.mjs";

let config;
let client;
let expected;

const orders = {
  async issuer(order) {
    client = order;
    const metadata = { client_secret: order.client_secret, id_token_signed_response_alg: order.algorithm };
    const options = { execute: [openid.allowInsecureRequests] };
    config = await openid.discovery(new URL(order.issuer), order.client_id, metadata, undefined, options);
    // Else it trusts the connection to the token endpoint, and leaves the signature unread.
    openid.enableNonRepudiationChecks(config);
    return {};
  },
  async begin() {
    const verifier = openid.randomPKCECodeVerifier();
    expected = { pkceCodeVerifier: verifier, expectedState: openid.randomState(), expectedNonce: openid.randomNonce() };
    const url = openid.buildAuthorizationUrl(config, {
      redirect_uri: client.redirect_uri,
      scope: "openid email profile",
      code_challenge: await openid.calculatePKCECodeChallenge(verifier),
      code_challenge_method: "S256",
      state: expected.expectedState,
      nonce: expected.expectedNonce,
    });
    return { url };
  },
  async back(order) {
    const tokens = await openid.authorizationCodeGrant(config, new URL(order.back), { ...expected, idTokenExpected: true });
    const claims = tokens.claims();
    return { claims, userinfo: await openid.fetchUserInfo(config, tokens.access_token, claims.sub) };
  },
};

await obey(async (order) => {
  const [name] = Object.keys(orders).filter((name) => name in order);
  try {
    return await orders[name](order);
  } catch (error) {
    return { refused: error.error ?? error.code ?? String(error), why: `${error.message}: ${error.cause?.message}` };
  }
});
