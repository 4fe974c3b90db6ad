// Tokens verified by jose: a line is { token, jwks, issuer, audience, algorithms }; it is answered with { claims } or
// { refused: WHY }.

import { createLocalJWKSet, errors, jwtVerify } from "jose";
import { obey } from "./lines.mjs";

await obey(async ({ token, jwks, issuer, audience, algorithms }) => {
  const requiredClaims = ["iss", "aud", "exp", "iat", "sub"];
  try {
    const keys = createLocalJWKSet(jwks);
    return { claims: (await jwtVerify(token, keys, { issuer, audience, algorithms, requiredClaims })).payload };
  } catch (error) {
    if (error instanceof errors.JOSEError) {
      return { refused: `${error.code}: ${error.message}` };
    }
    throw error;
  }
});
