//! Who may use a route: declared in the route table, decided here, before the handler runs.

use crate::{
    App, Error, audit, auth,
    auth::{AuthError, OrgRef},
    keys, limits,
    limits::Class,
    orgs,
};
use axum::{
    body::Body,
    extract::{FromRequestParts as _, Query as Pairs, RawPathParams},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{Request, request::Parts};
use serde::Deserialize;
use shared::{id::UserId, permission::Permission};

/// What a route needs of whoever calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    pub principal: Principal,
    /// Whether the person must have proven who they are within the last minutes.
    pub fresh: bool,
    /// Whether a member whom the path names as `{user}` needs no permission.
    pub oneself: bool,
}

/// Who a route is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Principal {
    /// Anyone. What proves a right, if anything, is in the request's body, and the handler checks it.
    Anyone,
    /// A live API key that calls models.
    Key,
    /// A GPU node; the handler checks its signature, which is over the body.
    Node,
    /// A person who is logged in.
    Person,
    /// A member, a client or a management key of an organisation, with this permission. The path names the organisation as `{org}`, or
    /// else the query may, as `org_id`; without either it is the caller's own.
    Member(Permission),
    /// A person who runs the platform.
    Operator,
}

impl Access {
    pub(crate) const ANYONE: Self = Self::of(Principal::Anyone);
    pub(crate) const KEY: Self = Self::of(Principal::Key);
    pub(crate) const NODE: Self = Self::of(Principal::Node);
    pub(crate) const PERSON: Self = Self::of(Principal::Person);
    pub(crate) const OPERATOR: Self = Self::of(Principal::Operator);

    pub(crate) const fn member(permission: Permission) -> Self {
        Self::of(Principal::Member(permission))
    }

    /// For what would hurt most in the hands of someone who found an unlocked screen.
    pub(crate) const fn fresh(self) -> Self {
        Self { fresh: true, ..self }
    }

    /// What everyone may do to themselves.
    pub(crate) const fn or_oneself(self) -> Self {
        Self { oneself: true, ..self }
    }

    const fn of(principal: Principal) -> Self {
        Self { principal, fresh: false, oneself: false }
    }
}

/// Lets a request through to its handler, with what was found out about the caller in its extensions.
///
/// An address' limit comes first: whoever exceeds it costs nothing but the look at that.
pub(crate) async fn guard(access: Access, class: Option<Class>, request: Request<Body>, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let Ok(app) = App::from_request_parts(&mut parts, &()).await;
    if let Some(class) = class
        && let Err(error) = limits::take_address(&app, class, &parts).await
    {
        return error.into_response();
    }
    if let Err(error) = admit(access, &mut parts).await {
        return error.into_response();
    }
    // Calls of models and of nodes leave no entries in the audit log.
    let acts = !parts.method.is_safe() && !matches!(access.principal, Principal::Key | Principal::Node);
    let caller = parts.extensions.get::<keys::Caller>().cloned();
    let mut response = next.run(Request::from_parts(parts, body)).await;
    if acts && response.status().is_success() {
        audit::chain_soon(&app);
    }
    if let Some(caller) = caller {
        let headers = limits::headers(&app, caller.org_id, caller.key_id, caller.quotas);
        response.extensions_mut().insert(headers);
    }
    response
}

async fn admit(access: Access, parts: &mut Parts) -> Result<(), Error> {
    let Ok(app) = App::from_request_parts(parts, &()).await;
    keys::refuse_in_query(parts)?;
    match access.principal {
        Principal::Anyone => auth::refuse_foreign_pages(&app, parts)?,
        Principal::Node => {}
        Principal::Key => {
            let caller = keys::recognise(&app, parts).await?;
            parts.extensions.insert(caller);
        }
        Principal::Person => {
            let person = person(&app, parts, access.fresh).await?;
            parts.extensions.insert(person);
        }
        Principal::Operator => {
            let person = person(&app, parts, access.fresh).await?;
            if !person.operator {
                return Err(AuthError::NotOperator.into());
            }
            parts.extensions.insert(person);
        }
        Principal::Member(permission) => {
            let member = member(&app, parts, access.fresh).await?;
            let oneself = access.oneself && is_oneself(parts, &member).await;
            if !member.permissions.has(permission) && !oneself {
                return Err(orgs::OrgError::Denied { permission }.into());
            }
            parts.extensions.insert(member);
        }
    }
    Ok(())
}

async fn member(app: &App, parts: &mut Parts, fresh: bool) -> Result<orgs::Member, Error> {
    // Whoever does not say who they are learns nothing about the path, not even that it is wrong.
    if let Some(key) = keys::presented(parts).map(str::to_owned) {
        if fresh {
            return Err(AuthError::NotAPerson.into());
        }
        let org = org(parts).await;
        return keys::member(app, parts, &key, org).await;
    }
    let presented = auth::presented(app, parts)?;
    let org = org(parts).await;
    match presented {
        // A program has no hands to prove that it is there.
        auth::Presented::Client(_) if fresh => Err(AuthError::NotAPerson.into()),
        auth::Presented::Client(claims) => orgs::client_member(app, claims, org).await,
        auth::Presented::Session(proof) => {
            let found = auth::recognise(app, proof, org).await?;
            let person = fresh_enough(app, found.person, fresh)?;
            let member = orgs::person_member(&person, found.membership)?;
            parts.extensions.insert(person);
            Ok(member)
        }
    }
}

/// Whether the path names the member as `{user}`. A token that was narrowed speaks for less than its person.
async fn is_oneself(parts: &mut Parts, member: &orgs::Member) -> bool {
    let narrowed = parts.extensions.get::<auth::Person>().is_none_or(|it| it.scope.is_some());
    let named = param(parts, "user").await.and_then(|it| it.parse::<UserId>().ok());
    !narrowed && named.is_some() && named == member.user_id
}

async fn person(app: &App, parts: &mut Parts, fresh: bool) -> Result<auth::Person, Error> {
    let auth::Presented::Session(proof) = auth::presented(app, parts)? else {
        return Err(AuthError::NotAPerson.into());
    };
    let person = auth::recognise(app, proof, OrgRef::None).await?.person;
    // A token that was narrowed to some permissions speaks for its person in organisations alone.
    if person.scope.is_some() {
        return Err(AuthError::Scope.into());
    }
    fresh_enough(app, person, fresh)
}

fn fresh_enough(app: &App, person: auth::Person, fresh: bool) -> Result<auth::Person, Error> {
    if fresh && !auth::is_fresh(person.auth_time, app.host.now()) {
        Err(AuthError::NotFresh.into())
    } else {
        Ok(person)
    }
}

/// The query's part that the guard reads, on routes whose path names no organisation.
#[derive(Deserialize)]
struct OrgQuery {
    org_id: Option<String>,
}

/// The organisation that the path or the query names. What is no id at all names none, as does one of several.
async fn org(parts: &mut Parts) -> OrgRef {
    let named = match param(parts, "org").await {
        Some(text) => Some(text),
        None => match Pairs::<OrgQuery>::try_from_uri(&parts.uri) {
            Ok(Pairs(query)) => query.org_id,
            Err(_) => return OrgRef::None,
        },
    };
    named.map_or(OrgRef::Own, |text| text.parse().map_or(OrgRef::None, OrgRef::Named))
}

/// What the path says where its pattern has `{name}`.
async fn param(parts: &mut Parts, name: &str) -> Option<String> {
    let params = RawPathParams::from_request_parts(parts, &()).await.ok()?;
    params.iter().find(|(it, _)| *it == name).map(|(_, value)| value.to_owned())
}
