//! Which client calls: our own, which has no secret to keep, or one that was registered.

use super::{error::OauthError, register, rules, rules::Credentials};
use crate::{
    App,
    auth::{rules::same_hash, session::FIRST_PARTY},
};
use http::{HeaderMap, header::AUTHORIZATION};
use secrecy::SecretString;
use shared::{
    id::{ClientId, OrgId},
    permission::Permissions,
};

/// The client behind a request.
pub(super) enum Caller {
    /// `nest`: the console and the program of that name.
    FirstParty,
    Confidential(Confidential),
}

/// A client that has shown its secret.
pub(super) struct Confidential {
    pub(super) id: ClientId,
    /// None for a client of the platform.
    pub(super) org_id: Option<OrgId>,
    pub(super) scope: Permissions,
}

impl Caller {
    /// As tokens and sessions name it.
    pub(super) fn client_id(&self) -> String {
        match self {
            Self::FirstParty => FIRST_PARTY.to_owned(),
            Self::Confidential(client) => client.id.to_string(),
        }
    }

    /// The client, if it has shown a secret.
    pub(super) fn confidential(self) -> Option<Confidential> {
        match self {
            Self::FirstParty => None,
            Self::Confidential(client) => Some(client),
        }
    }
}

/// The client that the header or the form names. A public client that brings a secret is not ours.
pub(super) async fn authenticate(
    app: &App,
    headers: &HeaderMap,
    id: Option<String>,
    secret: Option<SecretString>,
) -> Result<Caller, OauthError> {
    // What is not text at all is the wrong scheme as well.
    let headers: Vec<&str> = headers.get_all(AUTHORIZATION).iter().map(|it| it.to_str().unwrap_or_default()).collect();
    let Credentials { client_id, secret } = rules::credentials(&headers, id, secret)?;
    if client_id == FIRST_PARTY {
        return if secret.is_none() { Ok(Caller::FirstParty) } else { Err(OauthError::InvalidClient) };
    }
    let secret = secret.ok_or(OauthError::InvalidClient)?;
    let id: ClientId = client_id.parse().map_err(|_| OauthError::InvalidClient)?;
    let presented = register::hash(&secret);
    // An unknown client costs what a known one does.
    let found = app.store.client_secret(id).await?;
    let stored = found.as_ref().map_or(&[0; 32][..], |it| &it.secret_hash);
    match (same_hash(stored, &presented), found) {
        (true, Some(row)) if row.live => {
            let scope = row.scope.parse().map_err(|_| OauthError::InvalidClient)?;
            Ok(Caller::Confidential(Confidential { id, org_id: row.org_id, scope }))
        }
        _ => Err(OauthError::InvalidClient),
    }
}
