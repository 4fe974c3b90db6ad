//! Accounts: who is this person?
//!
//! Sign-up, log-in, sessions and their tokens, second factors. Owns `users`, `signups`, `mailed_tokens`, `sessions`,
//! `throttles`, `totp_secrets`, `recovery_codes`, `passkeys`, `challenges`, `identities` and `oauth_clients` (the SQL
//! functions `open_session` writes `sessions`, `make_account` writes `users`). Whom people act for is left to `orgs`, the
//! routes of operators to `admin`.

mod account;
mod client;
mod email;
mod error;
mod jwks;
mod login;
mod me;
mod mfa;
mod oauth;
mod oidc;
mod operate;
mod password;
mod recognise;
mod rules;
mod sealed;
mod session;
mod sql;
mod throttle;
mod token;

pub(crate) use account::NewAccount;
pub use account::{InvitedOperator, invite_operator};
pub(crate) use client::live_client;
pub(crate) use email::normalised as normalised_email;
pub use error::AuthError;
pub(crate) use jwks::Jwks;
pub use mfa::{PasskeyFault, totp_code};
pub(crate) use oauth::ClientListing;
pub use oauth::{ClientSummary, IssuedClient, NewClient, platform_clients, register_client, revoke_client};
pub(crate) use oidc::Cache as OidcCache;
pub use oidc::{Kind as ProviderKind, Provider, parse as parse_providers};
pub use operate::{
    Account, Change, OperateError, Operator, PeopleFilter, PersonRow, PersonStatus, Reason, ReasonError, Standing,
    Suspension, account, end_session, end_sessions, live_sessions, people, person_by_email, restore, set_standing,
    suspend,
};
pub use recognise::Person;
pub(crate) use recognise::{Membership, OrgRef, Presented, presented, recognise, refuse_foreign_pages};
pub(crate) use rules::{bearer, is_fresh};
pub(crate) use sealed::SEALED;
#[cfg(feature = "openapi")]
pub(crate) use session::COOKIE as SESSION_COOKIE;
pub use sql::SessionRow;
pub(crate) use token::{ClientClaims, Jwk, Keys as TokenKeys};

use crate::{
    App, Host, Store,
    access::Access,
    audit::{Actor, Entry, Origin},
    host::random,
    limits::Class,
    route::{Route, delete, get, post},
    sql::{Described, SqlError},
};
use secrecy::SecretString;
use shared::id::{OrgId, UserId};

/// This slice's statements.
pub(crate) fn statements() -> Vec<Described> {
    [
        sql::statements(),
        account::statements(),
        mfa::statements(),
        oauth::statements(),
        oidc::statements(),
        operate::statements(),
        sealed::statements(),
        throttle::statements(),
    ]
    .concat()
}

/// Forgets what has expired. Right when many edges do it at once.
pub(crate) async fn sweep(app: &App) {
    mfa::sweep(app).await;
    for swept in [throttle::sweep(app).await, account::sweep(app).await] {
        if let Err(error) = swept {
            tracing::warn!(error = %crate::error::chain(&error), "what has expired could not be forgotten");
        }
    }
}

/// The routes of accounts and sessions.
pub(crate) fn routes() -> Vec<Route> {
    let own = vec![
        get("/.well-known/jwks.json", Access::ANYONE, jwks::show, "The keys that verify our access tokens.").at_root(),
        post("/auth/login", Access::ANYONE, login::login, "Logs in with e-mail and password.").limited(Class::Login),
        post("/auth/refresh", Access::ANYONE, session::refresh, "Turns a refresh token into new tokens."),
        post("/auth/logout", Access::PERSON, session::logout, "Ends this session."),
        get("/auth/sessions", Access::PERSON, session::list, "Lists one's own sessions."),
        delete("/auth/sessions", Access::PERSON, session::end_all, "Ends all of one's sessions but this one."),
        delete("/auth/sessions/{session}", Access::PERSON, session::end_one, "Ends one of one's own sessions."),
        get("/me", Access::PERSON, me::show, "Says who is logged in."),
    ];
    [own, account::routes(), mfa::routes(), oauth::routes(), oidc::routes()].into_iter().flatten().collect()
}

/// A person who runs the platform, and the organisation to start with.
pub struct NewOperator {
    pub email: String,
    pub password: SecretString,
    pub org_name: String,
}

/// Ids of what [`create_operator`] made.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct CreatedOperator {
    pub user_id: UserId,
    pub org_id: OrgId,
}

/// Why no operator was made.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    #[error("`{0}` is not an e-mail address")]
    Email(String),
    #[error("the password is refused: {0}")]
    Password(#[from] AuthError),
    #[error("`{0}` has an account already")]
    Taken(String),
    #[error("the operator could not be stored")]
    Sql(#[from] SqlError),
}

/// Makes an operator with an organisation of their own, in one statement.
pub async fn create_operator(
    host: &dyn Host,
    store: &Store,
    new: NewOperator,
) -> Result<CreatedOperator, OperatorError> {
    let Some(email) = email::normalised(&new.email) else { return Err(OperatorError::Email(new.email)) };
    password::accept(&new.password, &password::Personal::of(&[&email]))?;
    let hash = password::hash(&new.password, random(host))?;
    let user_id = UserId::new(host.now(), random(host));
    let org_id = OrgId::new(host.now(), random(host));
    let entry = Entry::new(host.now(), &Actor::OPERATOR, &Origin::default(), "auth.operator_created").target(user_id);
    match store.insert_operator(user_id, &email, hash, org_id, new.org_name, entry).await {
        Err(SqlError::Conflict { constraint }) if constraint == "users_email_key" => Err(OperatorError::Taken(email)),
        result => Ok(result.map(|()| CreatedOperator { user_id, org_id })?),
    }
}

/// The id of an account and of an organisation that it owns.
pub async fn find_owner(store: &Store, email: &str) -> Result<Option<CreatedOperator>, SqlError> {
    let found = store.owner_by_email(email::normalised(email).unwrap_or_default()).await?;
    Ok(found.map(|row| CreatedOperator { user_id: row.user_id, org_id: row.org_id }))
}
