// ID tokens that are signed anew, with something wrong in them.

import { SignJWT, UnsecuredJWT, decodeJwt, decodeProtectedHeader, exportJWK, exportSPKI, generateKeyPair } from "jose";

const ALGORITHMS = ["RS256", "ES256", "EdDSA"];
const HOUR = 3600;

/** A key pair for each algorithm, with ids that begin with `generation`. */
export class Keys {
  static async generate(generation) {
    const keys = new Keys();
    keys.pairs = {};
    keys.secret = [];
    keys.published = [];
    for (const alg of ALGORITHMS) {
      const pair = await generateKeyPair(alg, { extractable: true });
      const marks = { kid: `${generation}-${alg}`, alg, use: "sig" };
      keys.pairs[alg] = { ...pair, kid: marks.kid };
      keys.secret.push({ ...(await exportJWK(pair.privateKey)), ...marks });
      keys.published.push({ ...(await exportJWK(pair.publicKey)), ...marks });
    }
    return keys;
  }
}

/** What each misbehaviour makes of the claims; those that are not here leave them as they are. */
const CLAIMS = {
  other_issuer: (claims) => ({ ...claims, iss: "https://elsewhere.example" }),
  other_audience: (claims) => ({ ...claims, aud: "another-client" }),
  other_authorized_party: (claims) => ({ ...claims, aud: [claims.aud, "another-client"], azp: "another-client" }),
  other_nonce: (claims) => ({ ...claims, nonce: "another-nonce" }),
  no_nonce: ({ nonce: _, ...claims }) => claims,
  no_subject: ({ sub: _, ...claims }) => claims,
  expired: (claims) => ({ ...claims, iat: claims.iat - 2 * HOUR, exp: claims.iat - HOUR }),
  no_expiry: ({ exp: _, ...claims }) => claims,
  not_yet: (claims) => ({ ...claims, nbf: claims.iat + HOUR }),
};

/** The token, signed with `keys`, and with what `misbehaviour` says; none at all if it says so. */
export async function forge(token, keys, misbehaviour) {
  const { alg } = decodeProtectedHeader(token);
  const { privateKey, publicKey, kid } = keys.pairs[alg];
  const claims = (CLAIMS[misbehaviour] ?? ((same) => same))(decodeJwt(token));
  const signed = (header, key) => new SignJWT(claims).setProtectedHeader(header).sign(key);
  switch (misbehaviour) {
    case "no_id_token":
      return undefined;
    case "no_signature":
      return new UnsecuredJWT(claims).encode();
    case "cut_signature":
      return `${(await signed({ alg, kid }, privateKey)).split(".").slice(0, 2).join(".")}.`;
    case "other_key":
      return signed({ alg, kid }, (await generateKeyPair(alg)).privateKey);
    case "unknown_key":
      return signed({ alg, kid: "unknown" }, (await generateKeyPair(alg)).privateKey);
    case "key_in_header": {
      const own = await generateKeyPair(alg, { extractable: true });
      return signed({ alg, kid, jwk: await exportJWK(own.publicKey) }, own.privateKey);
    }
    case "public_key_as_secret":
      return signed({ alg: "HS256", kid }, new TextEncoder().encode(await exportSPKI(publicKey)));
    default:
      return signed({ alg, kid }, privateKey);
  }
}
