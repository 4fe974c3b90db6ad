"""Tokens verified by PyJWT or by jwcrypto: a line is {library, token, jwks, issuer, audience, algorithms}; it is
answered with {"claims": ...} or {"refused": WHY}."""

import json
import sys

import jwt
from jwcrypto import jwk, jws
from jwcrypto import jwt as jwcrypto_jwt
from jwcrypto.common import JWException


def by_pyjwt(asked):
    kid = jwt.get_unverified_header(asked["token"])["kid"]
    key = jwt.PyJWKSet.from_dict(asked["jwks"])[kid]
    return jwt.decode(
        asked["token"],
        key,
        algorithms=asked["algorithms"],
        issuer=asked["issuer"],
        audience=asked["audience"],
        options={"require": ["iss", "aud", "exp", "iat", "sub"]},
    )


def by_jwcrypto(asked):
    keys = jwk.JWKSet.from_json(json.dumps(asked["jwks"]))
    claims = {"iss": asked["issuer"], "aud": asked["audience"], "exp": None, "iat": None, "sub": None}
    # Else a key would be tried whatever the header calls it.
    header = jws.JWS()
    header.deserialize(asked["token"])
    key = keys.get_key(header.jose_header["kid"])
    if key is None:
        raise KeyError("no such key")
    token = jwcrypto_jwt.JWT(algs=asked["algorithms"], check_claims=claims, expected_type="JWS")
    token.deserialize(asked["token"], key)
    return json.loads(token.claims)


LIBRARIES = {"pyjwt": by_pyjwt, "jwcrypto": by_jwcrypto}

for line in sys.stdin:
    asked = json.loads(line)
    try:
        answer = {"claims": LIBRARIES[asked["library"]](asked)}
    except (jwt.PyJWTError, JWException, KeyError, ValueError) as error:
        answer = {"refused": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
