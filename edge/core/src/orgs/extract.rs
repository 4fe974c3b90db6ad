//! `Member`: who acts in an organisation, and what they may do there.

use super::{OrgError, rules};
use crate::{
    App, Error,
    audit::{Actor, Entry},
    auth::{self, AuthError, ClientClaims, Membership, Person},
    limits::Client,
    openapi::Describe,
};
use axum::extract::FromRequestParts;
use http::request::Parts;
use shared::{
    id::{OrgId, UserId},
    permission::Permissions,
};

/// A person or a client within the organisation that the path names.
#[derive(Clone, Debug)]
pub struct Member {
    pub org_id: OrgId,
    pub actor: Actor,
    /// None for a client.
    pub user_id: Option<UserId>,
    /// What others know the member by.
    pub name: String,
    /// `owner`, ..., `custom`; none for a client.
    pub role: Option<String>,
    pub permissions: Permissions,
}

/// A handler that takes a `Member` stands in the route table with the permission that it needs.
impl<S: Send + Sync> FromRequestParts<S> for Member {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| OrgError::Unknown.into())
    }
}

impl Describe for Member {}

/// A person's place in `org`.
pub(crate) fn person_member(
    person: &Person,
    org: Option<OrgId>,
    membership: Option<Membership>,
) -> Result<Member, Error> {
    let (org, membership) = org.zip(membership).ok_or(OrgError::Unknown)?;
    if membership.org_suspended {
        return Err(OrgError::Suspended.into());
    }
    let permissions = rules::permissions(&membership.role, membership.custom_permissions.as_deref());
    let permissions = person.scope.map_or(permissions, |scope| permissions.and(scope));
    let name = if person.name.is_empty() { &person.email } else { &person.name };
    Ok(Member {
        org_id: org,
        actor: person.actor(),
        user_id: Some(person.user_id),
        name: name.clone(),
        role: Some(membership.role),
        permissions,
    })
}

/// A client's place in `org`, which must be its own.
pub(crate) async fn client_member(app: &App, claims: ClientClaims, org: Option<OrgId>) -> Result<Member, Error> {
    let client = auth::live_client(app, &claims).await?.ok_or(AuthError::InvalidToken)?;
    let org = org.filter(|it| client.org_id == Some(*it)).ok_or(OrgError::Unknown)?;
    let name = claims.client_id.clone();
    let actor = Actor { kind: "client", id: Some(claims.client_id) };
    Ok(Member { org_id: org, actor, user_id: None, name, role: None, permissions: client.permissions })
}

impl Member {
    /// An entry for an act of the member in the organisation.
    pub(crate) fn entry(&self, app: &App, client: &Client, action: &'static str) -> Entry {
        Entry::new(app.host.now(), &self.actor, &client.origin, action).org(self.org_id)
    }
}
