//! From the code that a person brings back to what the provider says of them.

use super::{
    attempt::Attempt,
    discovery::{self, Known},
    id_token::{self, Refusal},
    outbound::{self, Answer, Credentials, away},
    provider::{Kind, Provider, TokenAuth},
    rules::{self, Claims, Profile},
};
use crate::{App, auth::AuthError};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use url::form_urlencoded::{Serializer, byte_serialize};

/// What a token endpoint answers with. GitHub's errors have status 200.
#[derive(Deserialize)]
struct Granted {
    access_token: Option<String>,
    id_token: Option<String>,
    error: Option<String>,
}

/// The userinfo endpoint's answer.
#[derive(Deserialize)]
struct UserInfo {
    sub: String,
    #[serde(flatten)]
    person: Claims,
}

#[derive(Deserialize)]
struct GithubUser {
    id: u64,
    login: String,
    name: Option<String>,
}

#[derive(Deserialize)]
struct GithubEmail {
    email: String,
    primary: bool,
    verified: bool,
}

/// Who the person is that came back with `code`.
pub(super) async fn profile(
    app: &App,
    provider: &Provider,
    attempt: &Attempt,
    code: &str,
) -> Result<Profile, AuthError> {
    match &provider.kind {
        Kind::OpenId { issuer } => {
            let known = discovery::known(app, provider, issuer).await?;
            openid(app, provider, attempt, code, &known).await
        }
        Kind::Github { base_url, api_url } => github(app, provider, attempt, code, (base_url, api_url)).await,
    }
}

async fn openid(
    app: &App,
    provider: &Provider,
    attempt: &Attempt,
    code: &str,
    known: &Known,
) -> Result<Profile, AuthError> {
    let granted = grant(app, provider, attempt, code, (known.token.as_str(), known.token_auth)).await?;
    let refuse = |why: &str| distrust(provider, why);
    let access_token = granted.access_token.ok_or_else(|| refuse("it grants no access token"))?;
    let id_token = granted.id_token.ok_or_else(|| refuse("it gives no ID token"))?;
    let tokens = (id_token.as_str(), access_token.as_str());
    let now = app.host.now();
    let verified = match id_token::verify(known, provider, attempt, tokens, now) {
        Err(Refusal::UnknownKey) => {
            let known = discovery::read(app, provider, &known.issuer).await?;
            id_token::verify(&known, provider, attempt, tokens, now)
        }
        verified => verified,
    };
    let (profile, claims) = verified.map_err(|refusal| match refusal {
        Refusal::UnknownKey => refuse("none of its keys has signed its ID token"),
        Refusal::Wrong(why) => refuse(&why),
    })?;
    match (&known.userinfo, claims.email) {
        // Some providers tell an address there alone.
        (Some(url), None) => userinfo(app, provider, url.as_str(), &access_token, &profile).await,
        _ => Ok(profile),
    }
}

async fn userinfo(
    app: &App,
    provider: &Provider,
    url: &str,
    access_token: &str,
    signed: &Profile,
) -> Result<Profile, AuthError> {
    let info: UserInfo = read(app, url, access_token).await?;
    if info.sub != signed.subject {
        return Err(distrust(provider, "its userinfo is about somebody else"));
    }
    rules::profile(&info.sub, &info.person).ok_or_else(|| distrust(provider, "it names no subject"))
}

async fn github(
    app: &App,
    provider: &Provider,
    attempt: &Attempt,
    code: &str,
    (base_url, api_url): (&str, &str),
) -> Result<Profile, AuthError> {
    let url = format!("{base_url}/login/oauth/access_token");
    let granted = grant(app, provider, attempt, code, (&url, TokenAuth::Form)).await?;
    let token = granted.access_token.ok_or_else(|| distrust(provider, "it grants no access token"))?;
    let user: GithubUser = read(app, &format!("{api_url}/user"), &token).await?;
    let emails: Vec<GithubEmail> = read(app, &format!("{api_url}/user/emails"), &token).await?;
    // The primary one alone: a person may have verified many, and would not know which of them counts.
    let email = emails.into_iter().find(|it| it.primary);
    let claims = Claims {
        email_verified: email.as_ref().map(|it| rules::Flag::Bool(it.verified)),
        email: email.map(|it| it.email),
        name: user.name.or(Some(user.login)),
    };
    rules::profile(&user.id.to_string(), &claims).ok_or_else(|| distrust(provider, "it names no user"))
}

/// Turns the code into tokens.
async fn grant(
    app: &App,
    provider: &Provider,
    attempt: &Attempt,
    code: &str,
    (url, wanted): (&str, TokenAuth),
) -> Result<Granted, AuthError> {
    let secret = provider.client_secret.expose_secret();
    let redirect_uri = super::redirect_uri(app, provider);
    let mut fields = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", &redirect_uri),
        ("code_verifier", &attempt.verifier),
    ];
    let pair = basic(&provider.client_id, secret);
    let credentials = match provider.token_auth.unwrap_or(wanted) {
        TokenAuth::Form => {
            fields.extend([("client_id", provider.client_id.as_str()), ("client_secret", secret)]);
            Credentials::None
        }
        TokenAuth::Header => Credentials::Basic(&pair),
    };
    let form = Serializer::new(String::new()).extend_pairs(fields).finish();
    let answer = outbound::post(app, url, credentials, form).await?;
    granted(url, &answer)
}

fn granted(url: &str, answer: &Answer) -> Result<Granted, AuthError> {
    let Some(granted) = answer.json::<Granted>().filter(|_| !answer.status.is_server_error()) else {
        return Err(away(url, "its answer to a code is not what it should be"));
    };
    match granted.error.as_deref() {
        None if answer.status.is_success() => Ok(granted),
        // Used, too old, or never given out: the person may try again.
        Some("invalid_grant" | "bad_verification_code") => Err(AuthError::SignInRefused),
        // We are not who it takes us for, which an operator has to mend.
        Some(error) => Err(away(url, &format!("it refuses us: {}", word(error)))),
        None => Err(away(url, "it refuses a code and does not say why")),
    }
}

/// An error's code as far as it goes into a log.
fn word(error: &str) -> &str {
    let plain = error.len() <= 64 && error.bytes().all(|it| it.is_ascii_lowercase() || it == b'_');
    if plain { error } else { "by no code that there is" }
}

/// RFC 6749, section 2.3.1: both are form-encoded first.
fn basic(id: &str, secret: &str) -> String {
    let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    BASE64.encode(format!("{}:{}", encoded(id), encoded(secret)))
}

async fn read<T: serde::de::DeserializeOwned>(app: &App, url: &str, token: &str) -> Result<T, AuthError> {
    let answer = outbound::get(app, url, Credentials::Bearer(token)).await?;
    let good = answer.status.is_success().then(|| answer.json()).flatten();
    good.ok_or_else(|| away(url, "it does not say who has logged in"))
}

/// The provider says what we cannot believe; what, is for the log.
fn distrust(provider: &Provider, why: &str) -> AuthError {
    tracing::warn!(provider = %provider.id, why, "what a sign-in provider says cannot be trusted");
    AuthError::ProviderDistrusted
}
