//! `Member`: who acts in an organisation, and what they may do there.

use super::{OrgError, rules};
use crate::{
    App, Error,
    audit::{Actor, Entry},
    auth::{self, AuthError, ClientClaims, Membership, OrgRef, Person},
    limits::Client,
    openapi::Describe,
};
use axum::extract::FromRequestParts;
use http::request::Parts;
use shared::{
    id::{ClientId, KeyId, OrgId, UserId},
    permission::Permissions,
};

/// A person, a client or a management key within the organisation that the request is about.
#[derive(Clone, Debug)]
pub struct Member {
    pub org_id: OrgId,
    pub actor: Actor,
    /// None for a client or a key.
    pub user_id: Option<UserId>,
    /// What others know the member by.
    pub name: String,
    /// `owner`, ..., `custom`; none for a client or a key.
    pub role: Option<String>,
    pub permissions: Permissions,
    /// What the member may put into a key: their own permissions, and for a management key that of calling models, if
    /// its owner has it.
    pub grants: Permissions,
    /// Whose permissions bound those of a key that the member makes.
    pub owner: Owner,
}

/// Whose an API key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    User(UserId),
    Client(ClientId),
    /// The organisation as a whole: whoever runs `nest` has made it.
    Org,
}

/// A handler that takes a `Member` stands in the route table with the permission that it needs.
impl<S: Send + Sync> FromRequestParts<S> for Member {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| OrgError::Unknown.into())
    }
}

impl Describe for Member {}

/// A person's place in the organisation that was asked for.
pub(crate) fn person_member(person: &Person, membership: Option<Membership>) -> Result<Member, Error> {
    let membership = membership.ok_or(OrgError::Unknown)?;
    if membership.org_suspended {
        return Err(OrgError::Suspended.into());
    }
    let permissions = rules::permissions(&membership.role, membership.custom_permissions.as_deref());
    let permissions = person.scope.map_or(permissions, |scope| permissions.and(scope));
    let name = if person.name.is_empty() { &person.email } else { &person.name };
    Ok(Member {
        org_id: membership.org_id,
        actor: person.actor(),
        user_id: Some(person.user_id),
        name: name.clone(),
        role: Some(membership.role),
        permissions,
        grants: permissions,
        owner: Owner::User(person.user_id),
    })
}

/// A client's place in `org`, which must be its own.
pub(crate) async fn client_member(app: &App, claims: ClientClaims, org: OrgRef) -> Result<Member, Error> {
    let client = auth::live_client(app, &claims).await?.ok_or(AuthError::InvalidToken)?;
    let org = org.within(client.org_id).ok_or(OrgError::Unknown)?;
    let name = claims.client_id.clone();
    let actor = Actor { kind: "client", id: Some(claims.client_id) };
    let (permissions, owner) = (client.permissions, Owner::Client(client.id));
    Ok(Member { org_id: org, actor, user_id: None, name, role: None, permissions, grants: permissions, owner })
}

/// A management key's place in its organisation.
pub(crate) fn key_member(
    id: KeyId,
    name: String,
    org_id: OrgId,
    permissions: Permissions,
    grants: Permissions,
    owner: Owner,
) -> Member {
    let actor = Actor { kind: "key", id: Some(id.to_string()) };
    Member { org_id, actor, user_id: None, name, role: None, permissions, grants, owner }
}

impl Member {
    /// An entry for an act of the member in the organisation.
    pub(crate) fn entry(&self, app: &App, client: &Client, action: &'static str) -> Entry {
        Entry::new(app.host.now(), &self.actor, &client.origin, action).org(self.org_id)
    }
}
