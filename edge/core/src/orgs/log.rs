//! An organisation's own view of the audit log.

use super::Member;
use crate::{
    App, Error,
    audit::{self, Filter, Listed},
    page::{Page, Paging},
    payload::Query,
};
use axum::Json;
use serde::Deserialize;
use utoipa::IntoParams;

/// Which entries.
#[derive(Deserialize, IntoParams)]
pub(crate) struct Wanted {
    /// The id of who acted, such as `user_...`.
    actor: Option<String>,
    /// `orgs.member_removed`, or `orgs` for all that begins with `orgs.`.
    action: Option<String>,
    /// The id of what was acted upon.
    target: Option<String>,
}

/// `GET /orgs/{org}/audit`: newest first.
pub(crate) async fn list(
    app: App,
    member: Member,
    Query(wanted): Query<Wanted>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<Listed>>, Error> {
    let filter = Filter {
        org: Some(member.org_id),
        actor: wanted.actor,
        action: wanted.action,
        target: wanted.target,
        before: paging.after()?,
        limit: paging.rows(),
    };
    let rows = audit::list(&app.store, &filter).await?;
    Ok(Json(Page::of(&paging, rows, |row| row.id, |row| row)))
}
