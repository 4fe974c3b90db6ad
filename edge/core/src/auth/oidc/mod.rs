//! Signing in with an outside provider: OpenID Connect, and GitHub.
//!
//! A provider is believed about two things: which of its accounts a person has, and which address it has verified. An
//! identity that we know is its person; else a verified address finds the account that it belongs to, or makes one.
//! Second factors are asked for as after a password. Owns `identities`.

mod attempt;
mod discovery;
mod exchange;
mod id_token;
mod identities;
mod outbound;
mod provider;
mod redirect;
mod rules;
mod sql;

pub(crate) use discovery::Cache;
pub use provider::{Kind, Provider, parse};
pub(crate) use sql::statements;

use super::{
    AuthError,
    login::{FirstFactor, Outcome, proceed},
    session::Terms,
};
use crate::{
    App, Error,
    access::Access,
    audit::{Actor, Entry},
    host::random,
    limits::Client,
    mail::{self, Letter, Template},
    payload::Query,
    route::{Route, delete, get},
};
use attempt::Attempt;
use axum::{Json, extract::Path, response::IntoResponse as _};
use http::HeaderMap;
use redirect::{Redirect, wants_page};
use rules::Profile;
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::{
    id::{OrgId, UserId},
    time::Timestamp,
};
use sql::{Arrival, Arrived};
use url::{Url, form_urlencoded::byte_serialize};
use utoipa::{IntoParams, ToSchema};

/// The routes of outside sign-in.
pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/auth/oidc", Access::ANYONE, list, "Lists the providers with which one may sign in."),
        get("/auth/oidc/{provider}", Access::ANYONE, begin, "Sends a browser to a provider to sign in."),
        get("/auth/oidc/{provider}/callback", Access::ANYONE, callback, "Takes a browser back from a provider."),
        get("/auth/identities", Access::PERSON, identities::list, "Lists the outside accounts by which one logs in."),
        delete(
            "/auth/identities/{provider}",
            Access::PERSON.fresh(),
            identities::unlink,
            "Removes an outside account, unless it is the last way to log in.",
        ),
    ]
}

#[derive(Serialize, ToSchema)]
struct Providers {
    data: Vec<ProviderView>,
}

#[derive(Serialize, ToSchema)]
struct ProviderView {
    /// For `/auth/oidc/{provider}`.
    id: String,
    /// For people.
    name: String,
}

#[derive(Deserialize, IntoParams)]
struct Begin {
    /// The path of this service to go to after the log-in; `/` unless given.
    redirect: Option<String>,
}

/// What a provider's redirect brings along.
#[derive(Deserialize, IntoParams)]
struct Back {
    state: Option<String>,
    code: Option<String>,
    /// Why there is no code.
    error: Option<String>,
    /// The issuer (RFC 9207).
    iss: Option<String>,
}

/// `GET /auth/oidc`
async fn list(app: App) -> Json<Providers> {
    let view = |it: &Provider| ProviderView { id: it.id.clone(), name: it.name.clone() };
    Json(Providers { data: app.config.accounts.oidc_providers.iter().map(view).collect() })
}

/// `GET /auth/oidc/{provider}`
async fn begin(
    app: App,
    headers: HeaderMap,
    Path(provider): Path<String>,
    Query(ask): Query<Begin>,
) -> Result<Redirect, Error> {
    let sent = async {
        let provider = configured(&app, &provider)?;
        let path = ask.redirect.as_deref().unwrap_or("/");
        let path = rules::local_path(path);
        let path = path.ok_or(AuthError::Field { field: "redirect", reason: "must be a path of this service" })?;
        let attempt = Attempt::begin(&app, path);
        let url = authorization_url(&app, provider, &attempt).await?;
        Ok(Redirect::to(url).with_cookie(attempt.cookie(&app, provider)))
    };
    sent.await.or_else(|error| told(error, &headers))
}

/// `GET /auth/oidc/{provider}/callback`
async fn callback(
    app: App,
    client: Client,
    headers: HeaderMap,
    Path(provider): Path<String>,
    Query(back): Query<Back>,
) -> Result<Redirect, Error> {
    let finished = async {
        let provider = configured(&app, &provider)?;
        let attempt = Attempt::resume(&app, provider, &headers, back.state.as_deref())?;
        let code = code(&app, provider, &back).await?;
        let profile = exchange::profile(&app, provider, &attempt, code).await?;
        let first = person(&app, &client, provider, profile).await?;
        let outcome = proceed(&app, &client, first, Terms::first_party(true)).await?;
        Ok(went(outcome, &attempt.redirect).with_cookie(attempt::forget()))
    };
    finished.await.or_else(|error| told(error, &headers))
}

/// The configured provider with this id.
fn configured<'a>(app: &'a App, id: &str) -> Result<&'a Provider, AuthError> {
    app.config.accounts.oidc_providers.iter().find(|it| it.id == id).ok_or(AuthError::UnknownProvider)
}

/// Where providers send people back to: by the configured address, never by one that a request names.
fn redirect_uri(app: &App, provider: &Provider) -> String {
    format!("{}{}/auth/oidc/{}/callback", app.config.public_url, app.config.api_prefix, provider.id)
}

async fn authorization_url(app: &App, provider: &Provider, attempt: &Attempt) -> Result<String, AuthError> {
    let (mut url, scopes) = match &provider.kind {
        Kind::OpenId { issuer } => {
            (discovery::known(app, provider, issuer).await?.authorization.clone(), "openid email profile")
        }
        Kind::Github { base_url, .. } => {
            let url = Url::parse(&format!("{base_url}/login/oauth/authorize"));
            (url.map_err(|_| AuthError::ProviderAway)?, "read:user user:email")
        }
    };
    let scopes = [scopes].into_iter().chain(provider.extra_scopes.iter().map(String::as_str)).collect::<Vec<_>>();
    let mut query = url.query_pairs_mut();
    query
        .append_pair("response_type", "code")
        .append_pair("client_id", &provider.client_id)
        .append_pair("redirect_uri", &redirect_uri(app, provider))
        .append_pair("scope", &scopes.join(" "))
        .append_pair("state", attempt.state())
        .append_pair("code_challenge", &rules::challenge(&attempt.verifier))
        .append_pair("code_challenge_method", "S256");
    if matches!(provider.kind, Kind::OpenId { .. }) {
        query.append_pair("nonce", &attempt.nonce);
    }
    drop(query);
    Ok(url.into())
}

/// The code that came back, from the provider that the attempt was begun with (RFC 9207).
async fn code<'a>(app: &App, provider: &Provider, back: &'a Back) -> Result<&'a str, AuthError> {
    if let Kind::OpenId { issuer } = &provider.kind {
        let named = back.iss.as_deref();
        let needed = discovery::known(app, provider, issuer).await?.names_issuer;
        if named.map_or(needed, |it| it != issuer) {
            return Err(AuthError::SignInLost);
        }
    }
    match (&back.error, &back.code) {
        (None, Some(code)) => Ok(code),
        _ => Err(AuthError::SignInDenied),
    }
}

/// The person whom `profile` describes, found, linked or made.
async fn person(app: &App, client: &Client, provider: &Provider, profile: Profile) -> Result<FirstFactor, Error> {
    let now = app.host.now();
    let nobody_yet = Actor { kind: "user", id: None };
    let entry =
        |action| Entry::new(now, &nobody_yet, &client.origin, action).detail(&json!({ "provider": provider.id }));
    let arrival = Arrival {
        provider: provider.id.clone(),
        subject: profile.subject,
        email: profile.verified_email,
        name: profile.name,
        may_sign_up: app.config.accounts.signup_open && provider.allow_signup,
        user_id: UserId::new(now, random(&*app.host)),
        org_id: OrgId::new(now, random(&*app.host)),
        now,
        linked: entry("auth.identity_linked"),
        created: entry("auth.signed_up"),
        notice: Letter::new(app, None, Template::IdentityLinked, &json!({ "provider": provider.name })),
    };
    let arrived = app.store.arrive(arrival).await?.ok_or(AuthError::InvalidCredentials)?;
    if arrived.outcome == "linked" {
        mail::send_soon(app);
    }
    Ok(first_factor(&arrived, provider, now)?)
}

fn first_factor(arrived: &Arrived, provider: &Provider, at: Timestamp) -> Result<FirstFactor, AuthError> {
    match (arrived.outcome.as_str(), arrived.user_id, arrived.version, arrived.has_second) {
        ("known" | "linked" | "created", Some(user_id), Some(version), Some(has_second)) => {
            let method = match provider.kind {
                Kind::OpenId { .. } => "oidc",
                Kind::Github { .. } => "oauth",
            };
            Ok(FirstFactor { user_id, version, has_second, method, at })
        }
        ("unverified", ..) => Err(AuthError::EmailUnverified),
        ("closed", ..) => Err(AuthError::SignupClosed),
        ("taken", ..) => Err(AuthError::IdentityConflict),
        _ => Err(AuthError::InvalidCredentials),
    }
}

/// Onwards: to where the person wanted to go, or to the page that asks for the second factor.
fn went(outcome: Outcome, path: &str) -> Redirect {
    match outcome {
        Outcome::Session(session) => Redirect::to(path).with_cookies_of(&session.into_response()),
        Outcome::SecondFactor(required) => {
            let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
            let (challenge, path) = (encoded(&required.challenge), encoded(path));
            Redirect::to(format!("/account.html#second_factor={challenge}&redirect={path}"))
        }
    }
}

/// An error as a browser on its way can show it: by a page that knows its code.
fn told(error: Error, headers: &HeaderMap) -> Result<Redirect, Error> {
    if !wants_page(headers) {
        return Err(error);
    }
    let (status, _, code) = error.face();
    if status.is_server_error() {
        tracing::error!(error = %crate::error::chain(&error), "a sign-in failed");
    }
    Ok(Redirect::to(format!("/account.html#error={code}")))
}
