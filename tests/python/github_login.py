"""Authlib as an OAuth app of GitHub: one that may read addresses logs in, and tries what must not work."""

import os

import httpx2
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import OAuth2Client

GITHUB = os.environ["GITHUB"]
TOKEN = f"{GITHUB}/login/oauth/access_token"
VERIFIER = "a-verifier-of-at-least-forty-three-characters-as-it-must-be"


def app(scope="read:user user:email", secret="secret"):
    return OAuth2Client(
        "app",
        secret,
        scope=scope,
        redirect_uri="https://console.nest.example/callback",
        token_endpoint_auth_method="client_secret_post",
        code_challenge_method="S256",
        trust_env=False,
    )


def back(client):
    """Where the user comes back, and the state that must be there."""
    url, state = client.create_authorization_url(f"{GITHUB}/login/oauth/authorize", code_verifier=VERIFIER)
    return httpx2.get(url, trust_env=False).headers["location"], state


def refused(error, client, **how):
    try:
        client.fetch_token(TOKEN, **how)
    except OAuthError as refusal:
        assert refusal.error == error, refusal
    else:
        raise AssertionError(f"{error} was not refused")


client = app()
url, state = back(client)
client.fetch_token(TOKEN, authorization_response=url, state=state, code_verifier=VERIFIER)
user = client.get(f"{GITHUB}/user").json()
emails = client.get(f"{GITHUB}/user/emails").json()

refused("bad_verification_code", app(), authorization_response=url, state=state, code_verifier=VERIFIER)
client = app()
url, state = back(client)
refused("bad_verification_code", client, authorization_response=url, state=state, code_verifier=VERIFIER + "!")
client = app(secret="another")
url, state = back(client)
refused("incorrect_client_credentials", client, authorization_response=url, state=state, code_verifier=VERIFIER)

client = app(scope="read:user")
url, state = back(client)
client.fetch_token(TOKEN, authorization_response=url, state=state, code_verifier=VERIFIER)
assert client.get(f"{GITHUB}/user").status_code == 200
assert client.get(f"{GITHUB}/user/emails").status_code == 404
assert httpx2.get(f"{GITHUB}/user", trust_env=False).status_code == 401
# The library takes no answer for an error that has status 200; this is what it looks like to others.
plain = httpx2.post(TOKEN, data={"client_id": "app", "client_secret": "secret", "code": "no"}, trust_env=False)
assert plain.status_code == 200 and plain.text.startswith("error=bad_verification_code&"), plain.text
print(user["id"], user["login"], emails[0]["email"], emails[0]["verified"])
