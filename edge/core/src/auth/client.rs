//! OAuth clients: programs that act in their own name.

use super::{AuthError, token::ClientClaims};
use crate::{App, Error};
use shared::{
    id::{ClientId, OrgId},
    permission::Permissions,
};

/// A client that is live, with what its token and its row both permit.
pub(crate) struct LiveClient {
    pub(crate) id: ClientId,
    /// None for a client of the platform.
    pub(crate) org_id: Option<OrgId>,
    pub(crate) permissions: Permissions,
}

/// The client behind a token; none when it was revoked, or its organisation is gone.
pub(crate) async fn live_client(app: &App, claims: &ClientClaims) -> Result<Option<LiveClient>, Error> {
    let id: ClientId = claims.client_id.parse().map_err(|_| AuthError::InvalidToken)?;
    let Some(row) = app.store.client(id).await? else { return Ok(None) };
    let allowed: Permissions = row.scope.parse().map_err(|_| AuthError::InvalidToken)?;
    let token: Permissions = claims.scope.parse().map_err(|_| AuthError::InvalidToken)?;
    Ok(row.live.then(|| LiveClient { id, org_id: row.org_id, permissions: allowed.and(token) }))
}
