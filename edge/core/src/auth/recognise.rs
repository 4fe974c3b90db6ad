//! Who calls a management route: an access token or the console's cookie, and the session behind it.
//!
//! What a token says of itself is checked first, without I/O; then one statement asks whether its session, its person and,
//! on an organisation's routes, the membership are still there. So whatever ends a session takes effect at once, on every
//! edge.

use super::{
    AuthError, rules,
    session::{ALL, COOKIE, SessionToken, Transport},
    token::{self, ClientClaims, SessionClaims, Verified},
};
use crate::{App, Error, audit::Actor, openapi::Describe};
use axum::extract::FromRequestParts;
use http::{
    HeaderMap,
    header::{AUTHORIZATION, COOKIE as COOKIE_HEADER, ORIGIN},
    request::Parts,
};
use shared::{
    id::{OrgId, SessionId, UserId},
    permission::Permissions,
    time::Timestamp,
};

/// A person who is logged in, by a live session.
#[derive(Clone, Debug)]
pub struct Person {
    pub user_id: UserId,
    pub session_id: SessionId,
    pub email: String,
    pub name: String,
    pub operator: bool,
    /// How the person proved who they are, and when.
    pub amr: Vec<String>,
    pub auth_time: Timestamp,
    /// What the session is narrowed to; none when it is not.
    pub scope: Option<Permissions>,
}

impl Person {
    pub fn actor(&self) -> Actor {
        Actor::user(self.user_id)
    }
}

/// A handler that takes a `Person` stands in the route table as one that needs a person.
impl<S: Send + Sync> FromRequestParts<S> for Person {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| AuthError::NotAPerson.into())
    }
}

impl Describe for Person {}

/// What a request presents, as far as it can be checked without I/O.
pub(crate) enum Presented {
    Session(Proof),
    Client(ClientClaims),
}

/// A session's token.
pub(crate) enum Proof {
    Access(SessionClaims),
    Cookie(SessionToken),
}

/// A live session, and the person's place in the organisation that was asked for.
pub(crate) struct Recognised {
    pub(crate) person: Person,
    pub(crate) membership: Option<Membership>,
}

/// Which organisation a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OrgRef {
    /// None, or none that there could be.
    None,
    Named(OrgId),
    /// The caller's own: a person's personal one, or that which a client or a key belongs to.
    Own,
}

impl OrgRef {
    pub(crate) fn named(self) -> Option<OrgId> {
        match self {
            Self::Named(org) => Some(org),
            Self::None | Self::Own => None,
        }
    }

    /// What is meant, for a caller that belongs to `own`; none when that is another's, or there is nothing.
    pub(crate) fn within(self, own: Option<OrgId>) -> Option<OrgId> {
        match self {
            Self::None => None,
            Self::Named(org) => own.filter(|it| *it == org),
            Self::Own => own,
        }
    }
}

/// A membership as its row says.
#[derive(Clone, Debug)]
pub(crate) struct Membership {
    pub(crate) org_id: OrgId,
    pub(crate) role: String,
    /// Of a role that the organisation made.
    pub(crate) custom_permissions: Option<String>,
    pub(crate) org_suspended: bool,
}

/// Reads `Authorization`, or else the console's cookie.
pub(crate) fn presented(app: &App, parts: &Parts) -> Result<Presented, Error> {
    let mut headers = parts.headers.get_all(AUTHORIZATION).iter();
    if let Some(header) = headers.next() {
        // Of two, a proxy in front may have judged the other.
        if headers.next().is_some() {
            return Err(AuthError::InvalidToken.into());
        }
        let text = header.to_str().ok().and_then(rules::bearer).ok_or(AuthError::InvalidToken)?;
        return Ok(match token::verify(app, text)? {
            Verified::Session(claims) => Presented::Session(Proof::Access(claims)),
            Verified::Client(claims) => Presented::Client(claims),
        });
    }
    let text = cookie(&parts.headers).ok_or(AuthError::MissingToken)?;
    if origin(app, parts) != PageOrigin::Ours && !parts.method.is_safe() {
        return Err(AuthError::ForeignOrigin.into());
    }
    let token = SessionToken::parse(&app.config.roots, Transport::Cookie, text).ok_or(AuthError::InvalidToken)?;
    Ok(Presented::Session(Proof::Cookie(token)))
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let pairs = headers.get_all(COOKIE_HEADER).iter().filter_map(|it| it.to_str().ok()).flat_map(|it| it.split(';'));
    pairs.filter_map(|it| it.trim().split_once('=')).find(|(name, _)| *name == COOKIE).map(|(_, value)| value)
}

/// The page that makes a request. A browser says so by itself, and a page cannot make it say otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PageOrigin {
    Ours,
    Foreign,
    /// No browser, or one that does not tell.
    Unknown,
}

fn origin(app: &App, parts: &Parts) -> PageOrigin {
    let text = |name: &str| parts.headers.get(name).map(|it| it.to_str().unwrap_or_default());
    let ours = match (text("sec-fetch-site"), text(ORIGIN.as_str())) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => rules::origin_of(&app.config.public_url).as_deref() == Some(origin),
        (None, None) => return PageOrigin::Unknown,
    };
    if ours { PageOrigin::Ours } else { PageOrigin::Foreign }
}

/// Refuses what a page of another site makes a browser send where no token is asked for: else it could log a visitor in
/// as somebody else. What only reads may come from anywhere, since other pages cannot see the answer.
pub(crate) fn refuse_foreign_pages(app: &App, parts: &Parts) -> Result<(), Error> {
    let foreign = !parts.method.is_safe() && origin(app, parts) == PageOrigin::Foreign;
    if foreign { Err(AuthError::ForeignOrigin.into()) } else { Ok(()) }
}

/// The live session behind `proof`.
pub(crate) async fn recognise(app: &App, proof: Proof, org: OrgRef) -> Result<Recognised, Error> {
    let session_id = match &proof {
        Proof::Access(claims) => claims.session_id,
        Proof::Cookie(token) => token.session_id,
    };
    let now = app.host.now();
    let row = app.store.session(session_id, org).await?.ok_or(AuthError::SessionEnded)?;
    rules::session_is_live(&row, now)?;
    match &proof {
        Proof::Access(claims) if claims.user_id != row.user_id => return Err(AuthError::InvalidToken.into()),
        // Refreshing gives a token of the present version.
        Proof::Access(claims) if claims.version != row.version => return Err(AuthError::ExpiredToken.into()),
        Proof::Cookie(token) if !rules::same_hash(&token.hash(), &row.token_hash) || row.transport != "cookie" => {
            return Err(AuthError::InvalidToken.into());
        }
        Proof::Access(_) => {}
        Proof::Cookie(_) => seen(app, session_id, row.last_seen_at),
    }
    let scope = if row.scope == ALL { None } else { Some(row.scope.parse().map_err(|_| AuthError::InvalidToken)?) };
    let membership = row.org_id.zip(row.role).map(|(org_id, role)| Membership {
        org_id,
        role,
        custom_permissions: row.custom_permissions,
        org_suspended: row.org_suspended.unwrap_or(false),
    });
    let person = Person {
        user_id: row.user_id,
        session_id,
        email: row.email,
        name: row.name,
        operator: row.operator,
        amr: row.amr.split(' ').map(str::to_owned).collect(),
        auth_time: row.auth_time,
        scope,
    };
    tracing::Span::current().record("user.id", tracing::field::display(person.user_id));
    Ok(Recognised { person, membership })
}

/// Notes, once a minute and behind the answer, that the cookie's session is used. Bearers are seen when they refresh.
fn seen(app: &App, session: SessionId, last_seen: Timestamp) {
    const NOTED_EACH_MS: i64 = 60_000;
    let now = app.host.now();
    if now.since_ms(last_seen) < NOTED_EACH_MS {
        return;
    }
    let task = app.clone();
    app.host.defer(Box::pin(async move {
        let idle_until = now.plus_ms(task.config.accounts.session_idle_ms);
        if let Err(error) = task.store.session_seen(session, now, idle_until).await {
            tracing::warn!(error = %crate::error::chain(&error), "a session's use could not be noted");
        }
    }));
}
