// Forged access tokens, each made by jose with its own code.
//
// A line is { secret, public, claims }: the edge's own key as a JWK with its private half and as it is published, and the
// claims of a good token. It is answered with { genuine: TOKEN, forged: { NAME: TOKEN } }: the genuine one is signed with
// the edge's key and says nothing wrong, so that what is refused is refused for what is wrong with it.
//
// jose takes no algorithm that it does not know, and no critical member without its value. Such tokens are put together of
// its encoding and its keys, which are WebCrypto's, and signed by the call that jose itself makes of them: see `raw`.

import {
  CompactEncrypt,
  CompactSign,
  EncryptJWT,
  FlattenedSign,
  GeneralSign,
  SignJWT,
  UnsecuredJWT,
  base64url,
  exportJWK,
  exportSPKI,
  generateKeyPair,
  importJWK,
} from "jose";
import { obey } from "./lines.mjs";

const HOUR = 3600;
const TYPE = "at+jwt";
const ALGORITHMS = ["ES256", "ES384", "ES512", "RS256", "PS256", "EdDSA"];

const utf8 = new TextEncoder();
const without = (name, { [name]: _, ...rest }) => rest;

async function raw(header, payload, key) {
  const signed = `${base64url.encode(JSON.stringify(header))}.${base64url.encode(payload)}`;
  return `${signed}.${base64url.encode(new Uint8Array(await crypto.subtle.sign("Ed25519", key, utf8.encode(signed))))}`;
}

/** RFC 8725, section 2.1: the public key in every form that it is published in, and what else is known of it. */
async function secrets(published) {
  const pem = await exportSPKI(await importJWK(published, "EdDSA", { extractable: true }));
  return {
    PEM: utf8.encode(pem.trimEnd()),
    "PEM with its last line end": utf8.encode(`${pem.trimEnd()}\n`),
    DER: Uint8Array.from(atob(pem.replace(/-----.*-----|\s/g, "")), (it) => it.charCodeAt(0)),
    bytes: base64url.decode(published.x),
    x: utf8.encode(published.x),
    JWK: utf8.encode(JSON.stringify(published)),
    JWKS: utf8.encode(JSON.stringify({ keys: [published] })),
    kid: utf8.encode(published.kid),
  };
}

/** The good claims, each with one thing wrong. */
function wrongClaims(claims) {
  const now = claims.iat;
  const changes = {
    "another issuer": { iss: "https://elsewhere.example" },
    "another audience": { aud: "https://elsewhere.example" },
    "other audiences": { aud: ["https://elsewhere.example", "https://other.example"] },
    "another subject": { sub: "user_00000000000070008000000000000000" },
    expired: { iat: now - HOUR, nbf: now - HOUR, exp: now - HOUR + 600 },
    "expiry in a day": { exp: now + 24 * HOUR },
    "not yet": { nbf: now + HOUR },
    "issued later": { iat: now + HOUR },
    "a session of nobody": { sid: "sess_00000000000070008000000000000000" },
  };
  const changed = Object.entries(changes).map(([name, change]) => [name, { ...claims, ...change }]);
  return [...changed, ...["iss", "aud", "sub", "exp", "sid"].map((name) => [`no ${name}`, without(name, claims)])];
}

/** The good header, each with one thing wrong. */
function wrongHeaders(good, attacker) {
  return {
    "no kid": without("kid", good),
    "kid of nobody": { ...good, kid: "nobody" },
    "kid of a file": { ...good, kid: "../../../../dev/null" },
    "kid of a query": { ...good, kid: "' or '1'='1" },
    jwk: { ...good, jwk: attacker },
    "jwk, and no kid": { ...without("kid", good), jwk: attacker },
    jku: { ...good, jku: "https://attacker.example/jwks.json" },
    x5u: { ...good, x5u: "https://attacker.example/cert.pem" },
    zip: { ...good, zip: "DEF" },
    "no typ": without("typ", good),
    "typ JWT": { ...good, typ: "JWT" },
    "typ id+jwt": { ...good, typ: "id+jwt" },
    "typ in a media type": { ...good, typ: "application/at+jwt" },
    cty: { ...good, cty: "JWT" },
  };
}

/** With and without a signature, and with one of the wrong kind. */
async function* signatures({ published, claims, good, own }) {
  const payload = JSON.stringify(claims);
  const unsecured = new UnsecuredJWT(claims).encode();
  yield ["none", unsecured];
  for (const alg of ["none", "None", "NONE", "nOnE"]) {
    const header = base64url.encode(JSON.stringify({ ...good, alg }));
    yield [`alg ${alg}`, [header, ...unsecured.split(".").slice(1)].join(".")];
  }
  for (const [form, secret] of Object.entries(await secrets(published))) {
    for (const alg of ["HS256", "HS384", "HS512"]) {
      const token = await new SignJWT(claims).setProtectedHeader({ ...good, alg }).sign(secret);
      yield [`${alg} with the public key's ${form}`, token];
    }
  }
  for (const alg of ["eddsa", "EDDSA", "EdDsa", "Ed25519"]) {
    yield [`alg ${alg}`, await raw({ ...good, alg }, payload, own)];
  }
  for (const alg of ALGORITHMS) {
    const { privateKey } = await generateKeyPair(alg);
    yield [`${alg} by a strange key`, await new SignJWT(claims).setProtectedHeader({ ...good, alg }).sign(privateKey)];
  }
}

/** Headers and claims that say something wrong. */
async function* said({ claims, good, own }) {
  const strange = await generateKeyPair("EdDSA", { extractable: true });
  const attacker = await exportJWK(strange.publicKey);
  for (const [name, header] of Object.entries(wrongHeaders(good, attacker))) {
    for (const [whose, key] of [["the edge's", own], ["a strange", strange.privateKey]]) {
      yield [`${name}, by ${whose} key`, await new SignJWT(claims).setProtectedHeader(header).sign(key)];
    }
  }
  const unknown = { ...good, crit: ["urn:example:unknown"], "urn:example:unknown": true };
  const crit = { "urn:example:unknown": true };
  yield ["crit of the unknown", await new SignJWT(claims).setProtectedHeader(unknown).sign(own, { crit })];
  for (const crit of [[], ["exp"], "b64"]) {
    yield [`crit ${JSON.stringify(crit)}`, await raw({ ...good, crit }, JSON.stringify(claims), own)];
  }
  for (const [name, wrong] of wrongClaims(claims)) {
    yield [name, await new SignJWT(wrong).setProtectedHeader(good).sign(own)];
  }
}

/** Other serialisations, tokens in tokens, and encrypted ones. */
async function* wrapped({ published, claims, good, own, genuine }) {
  const payload = utf8.encode(JSON.stringify(claims));
  yield ["nested", await new CompactSign(utf8.encode(genuine)).setProtectedHeader({ ...good, cty: "JWT" }).sign(own)];
  const [head, , signature] = genuine.split(".");
  yield ["detached payload", `${head}..${signature}`];
  const flattened = await new FlattenedSign(payload).setProtectedHeader(good).sign(own);
  yield ["flattened JSON", JSON.stringify(flattened)];
  const general = new GeneralSign(payload);
  general.addSignature(own).setProtectedHeader(good);
  general.addSignature((await generateKeyPair("EdDSA")).privateKey).setProtectedHeader(good);
  yield ["general JSON", JSON.stringify(await general.sign())];
  const plain = await new FlattenedSign(payload).setProtectedHeader({ ...good, b64: false, crit: ["b64"] }).sign(own);
  yield ["b64=false, detached", `${plain.protected}..${plain.signature}`];
  yield ["b64=false, with the payload encoded", `${plain.protected}.${base64url.encode(payload)}.${plain.signature}`];
  const key = base64url.decode(published.x);
  const recipient = await generateKeyPair("ECDH-ES", { crv: "X25519" });
  for (const [alg, to] of [["dir", key], ["A256KW", key], ["ECDH-ES", recipient.publicKey]]) {
    const header = { ...good, alg, enc: "A256GCM" };
    yield [`encrypted by ${alg}`, await new EncryptJWT(claims).setProtectedHeader(header).encrypt(to)];
    const inside = new CompactEncrypt(utf8.encode(genuine)).setProtectedHeader({ ...header, cty: "JWT" });
    yield [`a good token, encrypted by ${alg}`, await inside.encrypt(to)];
  }
}

await obey(async ({ secret, public: published, claims }) => {
  const own = await importJWK(secret, "EdDSA");
  const good = { alg: "EdDSA", typ: TYPE, kid: published.kid };
  const genuine = await new SignJWT(claims).setProtectedHeader(good).sign(own);
  const known = { published, claims, good, own, genuine };
  const forged = {};
  for (const family of [signatures, said, wrapped]) {
    for await (const [name, token] of family(known)) {
      forged[name] = token;
    }
  }
  return { genuine, forged };
});
