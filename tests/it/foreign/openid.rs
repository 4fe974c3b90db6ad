//! An OpenID provider, a client of it, and what stands in for GitHub.

use super::CALLBACK;
use nest_tests::{
    FakeGithub, OidcProvider, Talk,
    browser::query,
    fake_github::GithubUser,
    npm,
    oidc_provider::{ClientSpec, Misbehaviour, OidcAccount},
    python,
};
use serde_json::{Value, json};

/// A provider with one client and one account.
async fn provider(algorithm: &str) -> OidcProvider {
    let mut client = ClientSpec::new("nest", "a secret: of any% characters", CALLBACK);
    client.id_token_signed_response_alg = algorithm.to_owned();
    let provider = OidcProvider::start(&[client]).await;
    provider.add_account(&OidcAccount::verified("ann", "ann@example.com")).await;
    provider
}

/// A relying party that has just read the provider's metadata, or why it did not take them.
async fn relying_party(provider: &OidcProvider, algorithm: &str) -> (Talk, Value) {
    let mut party = npm::script("relying_party.mjs").talk().await;
    let client = json!({ "issuer": provider.issuer, "client_id": "nest", "redirect_uri": CALLBACK,
                         "client_secret": "a secret: of any% characters", "algorithm": algorithm });
    let answer = party.ask(&client).await;
    (party, answer)
}

async fn begin(party: &mut Talk) -> String {
    party.ask(&json!({ "begin": true })).await["url"].as_str().unwrap().to_owned()
}

/// What `party` knows, or why it refuses, after a log-in at `provider`.
async fn log_in(party: &mut Talk, provider: &OidcProvider) -> Value {
    let back = provider.authorize(&begin(party).await, "ann").await;
    assert!(back.as_str().starts_with(CALLBACK), "{back}");
    party.ask(&json!({ "back": back.as_str() })).await
}

#[tokio::test]
async fn openid_client_logs_in_at_the_provider_with_each_algorithm() {
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let provider = provider(algorithm).await;
        let (mut party, _) = relying_party(&provider, algorithm).await;
        let known = log_in(&mut party, &provider).await;
        for place in ["claims", "userinfo"] {
            let told = &known[place];
            assert_eq!(told["sub"], "ann", "{algorithm}, {place}: {known}");
            assert_eq!(told["email"], "ann@example.com", "{algorithm}, {place}: {known}");
            assert_eq!(told["email_verified"], true, "{algorithm}, {place}: {known}");
        }
    }
}

#[tokio::test]
async fn whoever_cancels_or_forgets_pkce_comes_back_without_a_code() {
    let provider = provider("RS256").await;
    let (mut party, _) = relying_party(&provider, "RS256").await;
    let url = begin(&mut party).await;
    let back = provider.cancel(&url).await;
    assert_eq!(query(&back, "error").as_deref(), Some("access_denied"), "{back}");
    assert_eq!(party.ask(&json!({ "back": back.as_str() })).await["refused"], "access_denied");

    let bare = url.replace("code_challenge", "forgotten");
    let back = provider.authorize(&bare, "ann").await;
    assert_eq!(query(&back, "error").as_deref(), Some("invalid_request"), "{back}");
}

#[tokio::test]
async fn openid_client_follows_the_provider_to_its_new_keys() {
    let provider = provider("ES256").await;
    provider.rotate_keys().await;
    let (mut party, _) = relying_party(&provider, "ES256").await;
    let known = log_in(&mut party, &provider).await;
    assert_eq!(known["claims"]["sub"], "ann", "{known}");
}

/// What the provider does wrong, and what the client has to say of it.
const REFUSALS: [(Misbehaviour, &str); 18] = [
    (Misbehaviour::OtherIssuer, "unexpected JWT \"iss\""),
    (Misbehaviour::OtherAudience, "unexpected JWT \"aud\""),
    (Misbehaviour::OtherAuthorizedParty, "unexpected ID Token \"azp\""),
    (Misbehaviour::OtherNonce, "unexpected ID Token \"nonce\""),
    (Misbehaviour::NoNonce, "JWT \"nonce\" (nonce) claim missing"),
    (Misbehaviour::NoSubject, "JWT \"sub\" (subject) claim missing"),
    (Misbehaviour::Expired, "expiration is past current timestamp"),
    (Misbehaviour::NoExpiry, "JWT \"exp\" (expiration time) claim missing"),
    (Misbehaviour::NotYet, "unexpected JWT \"nbf\""),
    (Misbehaviour::NoSignature, "unexpected JWT \"alg\""),
    (Misbehaviour::CutSignature, "JWT signature verification failed"),
    (Misbehaviour::OtherKey, "JWT signature verification failed"),
    (Misbehaviour::UnknownKey, "no applicable keys found"),
    (Misbehaviour::KeyInHeader, "JWT signature verification failed"),
    (Misbehaviour::PublicKeyAsSecret, "unexpected JWT \"alg\""),
    (Misbehaviour::NoIdToken, "\"id_token\" property must be a string"),
    (Misbehaviour::TokenEndpointFails, "unexpected HTTP response status code"),
    (Misbehaviour::UserinfoOfAnother, "unexpected \"response\" body \"sub\""),
];

#[tokio::test]
async fn openid_client_refuses_each_misbehaviour_of_the_provider() {
    let provider = provider("RS256").await;
    for (misbehaviour, why) in REFUSALS {
        // A new one each time: it would remember the keys that it has seen.
        let (mut party, _) = relying_party(&provider, "RS256").await;
        provider.misbehave(Some(misbehaviour)).await;
        let refused = log_in(&mut party, &provider).await;
        assert!(refused["why"].as_str().is_some_and(|it| it.contains(why)), "{misbehaviour:?}: {refused}");
        // It is the misbehaviour that is refused, and nothing else.
        provider.misbehave(None).await;
        let known = log_in(&mut party, &provider).await;
        assert_eq!(known["claims"]["sub"], "ann", "after {misbehaviour:?}: {known}");
    }
}

#[tokio::test]
async fn openid_client_refuses_metadata_of_another_issuer() {
    let provider = provider("RS256").await;
    provider.misbehave(Some(Misbehaviour::OtherIssuerInMetadata)).await;
    let (_, refused) = relying_party(&provider, "RS256").await;
    assert!(refused["why"].as_str().is_some_and(|it| it.contains("issuer does not match")), "{refused}");
}

#[tokio::test]
async fn authlib_logs_in_at_the_fake_github() {
    let github = FakeGithub::start("app", "secret", CALLBACK).await;
    github.sign_in(Some(GithubUser::verified(583_231, "octocat", "octocat@example.com")));
    let told = python::script("github_login.py").env("GITHUB", &github.url).run().await;
    assert_eq!(told, "583231 octocat octocat@example.com True\n");

    github.sign_in(None);
    let url = format!("{}/login/oauth/authorize?client_id=app&state=x", github.url);
    let back = github.authorize(&url).await;
    assert_eq!(
        (query(&back, "error").as_deref(), query(&back, "state").as_deref()),
        (Some("access_denied"), Some("x"))
    );
}
