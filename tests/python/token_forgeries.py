"""Forged access tokens, each signed by PyJWT or by jwcrypto with their own code.

A line is {library, secret, public, claims}: the edge's own key as a JWK with its private half and as it is published, and
the claims of a good token. It is answered with {"genuine": TOKEN, "forged": {NAME: TOKEN}}: a genuine one is signed with
the edge's key and says nothing wrong, so that what is refused is refused for what is wrong with it.

Both libraries refuse to make some of these. Then a part of the library is exchanged for one that does not refuse, and
what signs is still its own: see `Pyjwt` and `Jwcrypto`.
"""

import json
import sys
import warnings

import jwt
from cryptography.hazmat.primitives import serialization
from jwcrypto import jwa, jwe, jwk, jws
from jwcrypto.common import base64url_encode
from jwt import algorithms

# Short secrets are part of the matter, and jwcrypto calls the name EdDSA old.
warnings.simplefilter("ignore")
jwa.default_enforce_hmac_key_length = False

HOUR = 3_600
TYPE = "at+jwt"
GENERATED = {
    "ES256": {"kty": "EC", "crv": "P-256"},
    "ES384": {"kty": "EC", "crv": "P-384"},
    "ES512": {"kty": "EC", "crv": "P-521"},
    "ES256K": {"kty": "EC", "crv": "secp256k1"},
    "RS256": {"kty": "RSA", "size": 2048},
    "PS256": {"kty": "RSA", "size": 2048},
    "EdDSA": {"kty": "OKP", "crv": "Ed25519"},
}


def strange_key(alg):
    """A key that the edge does not know."""
    return jwk.JWK.generate(**GENERATED[alg])


class AnySecret(algorithms.HMACAlgorithm):
    """PyJWT's HMAC, without its check that the secret is no public key, which it refuses in PEM, DER and JWK."""

    def prepare_key(self, key):
        return key


class AsTheEdgeWrites(json.JSONEncoder):
    """PyJWT would begin a header with its type, or sort it; the edge's own begins with its algorithm, and it knows no
    other, so that a header in another order is refused whatever it says."""

    def encode(self, value):
        return super().encode({name: value[name] for name in sorted(value, key=as_written)})


def as_written(name):
    first = ["alg", "typ", "kid"]
    return first.index(name) if name in first else len(first)


class Pyjwt:
    """Signs by `PyJWS.encode`, which takes every header; algorithms under other names are registered as such."""

    def __init__(self):
        self.jws = jwt.PyJWS()
        for alg, digest in [("HS256", "SHA256"), ("HS384", "SHA384"), ("HS512", "SHA512")]:
            self.register(alg, AnySecret(getattr(algorithms.HMACAlgorithm, digest)))

    def register(self, alg, algorithm):
        if alg in self.jws.get_algorithms():
            self.jws.unregister_algorithm(alg)
        self.jws.register_algorithm(alg, algorithm)

    def sign(self, header, payload, key, like=None):
        """With the algorithm of the header, or with that of `like` under the header's name."""
        if like:
            self.register(header["alg"], self.jws.get_algorithm_by_name(like))
        if isinstance(key, jwk.JWK):
            key = jwt.PyJWK(json.loads(key.export()), algorithm=like or header["alg"]).key
        headers = {"typ": None, **header}
        return self.jws.encode(
            payload, key, header["alg"], headers, json_encoder=AsTheEdgeWrites, sort_headers=False
        )

    def sign_with_secret(self, header, payload, secret):
        return self.sign(header, payload, secret)

    def unsigned(self, header, payload):
        return self.sign(header, payload, None, like="none")


class Jwcrypto:
    """Signs by `JWSCore`, as `JWS` does once it has checked the header's critical members, which it refuses if it does not
    know them; algorithms under other names are added to its registry."""

    def sign(self, header, payload, key, like=None):
        """With the algorithm of the header, or with that of `like` under the header's name."""
        registry = jwa.JWA.algorithms_registry
        if like:
            registry[header["alg"]] = registry[like]
        text = json.dumps(header, separators=(",", ":"))
        part = jws.JWSCore(header["alg"], key, text, payload, [header["alg"]]).sign()
        return f"{part['protected']}.{as_text(part['payload'])}.{part['signature']}"

    def sign_with_secret(self, header, payload, secret):
        return self.sign(header, payload, jwk.JWK(kty="oct", k=base64url_encode(secret)))

    def unsigned(self, header, payload):
        return self.sign(header, payload, jwk.JWK(kty="oct", k=""), like="none")


def as_text(payload):
    return payload.decode() if isinstance(payload, bytes) else payload


def secrets(public):
    """RFC 8725, section 2.1: the public key in every form that it is published in, and what else is known of it."""
    key = jwk.JWK(**public)
    der = key.get_op_key("verify").public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    raw = key.get_op_key("verify").public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return {
        "PEM": key.export_to_pem(),
        "PEM without its last line end": key.export_to_pem().rstrip(),
        "DER": der,
        "bytes": raw,
        "x": public["x"].encode(),
        "JWK": json.dumps(public).encode(),
        "JWKS": json.dumps({"keys": [public]}).encode(),
        "kid": public["kid"].encode(),
    }


def wrong_claims(claims):
    """Each with one thing wrong."""
    now = claims["iat"]
    changes = {
        "another issuer": {"iss": "https://elsewhere.example"},
        "another audience": {"aud": "https://elsewhere.example"},
        "other audiences": {"aud": ["https://elsewhere.example", "https://other.example"]},
        "another subject": {"sub": "user_00000000000070008000000000000000"},
        "expired": {"iat": now - HOUR, "nbf": now - HOUR, "exp": now - HOUR + 600},
        "expiry in text": {"exp": str(claims["exp"])},
        "expiry in a day": {"exp": now + 24 * HOUR},
        "not yet": {"nbf": now + HOUR},
        "issued later": {"iat": now + HOUR},
        "a session of nobody": {"sid": "sess_00000000000070008000000000000000"},
    }
    for name, change in changes.items():
        yield name, {**claims, **change}
    for name in ["iss", "aud", "sub", "exp", "sid"]:
        yield f"no {name}", {other: value for other, value in claims.items() if other != name}


def wrong_headers(kid, strange):
    """Each with one thing wrong; the member None is left out."""
    public = strange.export_public(as_dict=True)
    yield "no kid", {"kid": None}
    for other in ["", "nobody", "../../../../dev/null", "' or '1'='1", "https://attacker.example/jwks.json", f"{kid} "]:
        yield f"kid {other!r}", {"kid": other}
    yield "jwk", {"jwk": public}
    yield "jwk, and no kid", {"jwk": public, "kid": None}
    yield "jku", {"jku": "https://attacker.example/jwks.json"}
    yield "x5u", {"x5u": "https://attacker.example/cert.pem"}
    yield "x5c", {"x5c": ["MIIBAAA="]}
    yield "crit of a claim", {"crit": ["exp"], "exp": 4_102_444_800}
    yield "crit of the unknown", {"crit": ["urn:example:unknown"], "urn:example:unknown": True}
    yield "crit of nothing", {"crit": []}
    for typ in [None, "JWT", "id+jwt", "logout+jwt", "AT+JWT", "application/at+jwt"]:
        yield f"typ {typ}", {"typ": typ}
    yield "cty", {"cty": "JWT"}


def forgeries(library, asked):
    own, kid = jwk.JWK(**asked["secret"]), asked["public"]["kid"]
    payload = json.dumps(asked["claims"]).encode()
    strange = strange_key("EdDSA")

    def header(alg="EdDSA", **more):
        whole = {"alg": alg, "typ": TYPE, "kid": kid, **more}
        return {name: value for name, value in whole.items() if value is not None}

    genuine = library.sign(header(), payload, own)
    yield "genuine", genuine
    for alg in ["none", "None", "NONE", "nOnE"]:
        yield f"alg {alg}", library.unsigned(header(alg), payload)
    for form, secret in secrets(asked["public"]).items():
        for alg in ["HS256", "HS384", "HS512"]:
            yield f"{alg} with the public key's {form}", library.sign_with_secret(header(alg), payload, secret)
    for alg in ["eddsa", "EDDSA", "EdDsa", "Ed25519", "Ed448"]:
        yield f"alg {alg}", library.sign(header(alg), payload, own, like="EdDSA")
    for alg in GENERATED:
        yield f"{alg} by a strange key", library.sign(header(alg), payload, strange_key(alg))
    for name, more in wrong_headers(kid, strange):
        yield f"{name}, by the edge's key", library.sign(header(**more), payload, own)
        yield f"{name}, by a strange key", library.sign(header(**more), payload, strange)
    for name, claims in wrong_claims(asked["claims"]):
        yield name, library.sign(header(), json.dumps(claims).encode(), own)
    yield "nested", library.sign(header(), genuine.encode(), own)
    yield "nested and said so", library.sign(header(cty="JWT"), genuine.encode(), own)
    own_parts = genuine.split(".")
    yield "detached payload", f"{own_parts[0]}..{own_parts[2]}"


def detached_by_pyjwt(asked):
    """RFC 7797: the payload as it is, under the signature; PyJWT always leaves it out of the token."""
    payload = json.dumps(asked["claims"]).encode()
    key = jwt.PyJWK(asked["secret"]).key
    header = {"typ": TYPE, "kid": asked["public"]["kid"]}
    token = jwt.PyJWS().encode(
        payload, key, "EdDSA", header, json_encoder=AsTheEdgeWrites, is_payload_detached=True, sort_headers=False
    )
    head, _, signature = token.split(".")
    yield "b64=false, detached", token
    yield "b64=false, with the payload encoded", f"{head}.{base64url_encode(payload)}.{signature}"


def more_by_jwcrypto(asked):
    """What PyJWT cannot make: other serialisations, and encrypted tokens."""
    own, kid = jwk.JWK(**asked["secret"]), asked["public"]["kid"]
    payload = json.dumps(asked["claims"])
    header = {"alg": "EdDSA", "typ": TYPE, "kid": kid}
    written = json.dumps(header, separators=(",", ":"))
    signed = jws.JWS(payload)
    signed.add_signature(own, protected=written)
    genuine = signed.serialize(compact=True)
    yield "flattened JSON", signed.serialize()
    signed.add_signature(strange_key("EdDSA"), protected=written)
    yield "general JSON", signed.serialize()
    unprotected = jws.JWS(payload)
    unprotected.add_signature(own, protected={"alg": "EdDSA", "typ": TYPE}, header={"kid": kid})
    yield "kid outside of the signature", unprotected.serialize()
    # A payload that is not encoded may hold no dot.
    plain = jws.JWS(payload.replace(".", "\\u002e"))
    plain.add_signature(own, protected={**header, "b64": False, "crit": ["b64"]})
    compact = plain.serialize(compact=True)
    head, body, signature = compact.split(".")
    yield "b64=false", compact
    yield "b64=false, detached", f"{head}..{signature}"
    yield "b64=false, with the payload encoded", f"{head}.{base64url_encode(body)}.{signature}"
    raw = jwk.JWK(kty="oct", k=asked["public"]["x"])
    recipient = jwk.JWK.generate(kty="OKP", crv="X25519")
    for alg, key in [("dir", raw), ("A256KW", raw), ("ECDH-ES", recipient), ("RSA-OAEP-256", strange_key("RS256"))]:
        for what, inside, cty in [("claims", payload, None), ("a good token", genuine, "JWT")]:
            protected = {"alg": alg, "enc": "A256GCM", "typ": TYPE, "kid": kid, **({"cty": cty} if cty else {})}
            encrypted = jwe.JWE(inside.encode(), json.dumps(protected))
            encrypted.add_recipient(key)
            yield f"{what}, encrypted by {alg}", encrypted.serialize(compact=True)


LIBRARIES = {"pyjwt": (Pyjwt, detached_by_pyjwt), "jwcrypto": (Jwcrypto, more_by_jwcrypto)}

for line in sys.stdin:
    asked = json.loads(line)
    library, more = LIBRARIES[asked["library"]]
    forged = dict(forgeries(library(), asked)) | dict(more(asked))
    print(json.dumps({"genuine": forged.pop("genuine"), "forged": forged}), flush=True)
