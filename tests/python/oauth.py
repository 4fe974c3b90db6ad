"""Authlib against an edge: each grant, revocation, introspection, and its own check of the metadata."""

import os

import httpx2
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import OAuth2Client
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata, get_well_known_url

ISSUER = os.environ["ISSUER"]
LOGIN = {"username": os.environ["USERNAME"], "password": os.environ["PASSWORD"]}

found = httpx2.get(get_well_known_url(ISSUER, external=True), trust_env=False).json()
metadata = AuthorizationServerMetadata(found)
assert metadata["issuer"] == ISSUER
# Its check of response_types_supported takes the empty list, which is ours, for none at all.
for check in ["grant_types_supported", "token_endpoint_auth_methods_supported", "scopes_supported"]:
    getattr(metadata, f"validate_{check}")()


def client(name, method="client_secret_basic", scope=None):
    keys = [os.environ[f"{name}_ID"], os.environ[f"{name}_SECRET"]]
    return OAuth2Client(*keys, token_endpoint_auth_method=method, scope=scope, trust_env=False)


def refused(error, call, *args, **how):
    try:
        call(*args, **how)
    except OAuthError as refusal:
        assert refusal.error == error, refusal
    else:
        raise AssertionError(f"{error} was not refused")


platform = client("PLATFORM")


def introspect(token):
    return platform.introspect_token(metadata["introspection_endpoint"], token=token).json()


for method in ["client_secret_basic", "client_secret_post"]:
    program = client("CLIENT", method, "keys:read")
    token = program.fetch_token(metadata["token_endpoint"], grant_type="client_credentials")
    assert (token["scope"], token["expires_in"]) == ("keys:read", 600), token
    assert introspect(token["access_token"])["client_id"] == os.environ["CLIENT_ID"]
    wide = client("CLIENT", method, "org:delete")
    refused("invalid_scope", wide.fetch_token, metadata["token_endpoint"], grant_type="client_credentials")

nest = OAuth2Client("nest", token_endpoint_auth_method="none", trust_env=False)
session = nest.fetch_token(metadata["token_endpoint"], grant_type="password", **LOGIN)
assert nest.get(f"{ISSUER}/api/v1/me").json()["email"] == LOGIN["username"]
turned = nest.refresh_token(metadata["token_endpoint"], refresh_token=session["refresh_token"])
assert turned["refresh_token"] != session["refresh_token"]
assert introspect(session["refresh_token"]) == {"active": False}
for token in [turned["refresh_token"], "unknown"]:
    answer = nest.revoke_token(metadata["revocation_endpoint"], token=token, token_type_hint="refresh_token")
    assert answer.status_code == 200, answer.text
assert introspect(turned["access_token"]) == {"active": False}
refused("invalid_grant", nest.refresh_token, metadata["token_endpoint"], refresh_token=turned["refresh_token"])
print("ok")
