//! The audit log, to operators.

use crate::{
    App, Error,
    audit::{self, Filter, Listed},
    auth::Operator,
    page::{Page, Paging},
    payload::Query,
};
use axum::Json;
use serde::Deserialize;
use shared::id::OrgId;
use utoipa::IntoParams;

#[derive(Deserialize, IntoParams)]
pub(super) struct Search {
    /// In which organisation.
    org: Option<OrgId>,
    /// The id of who acted.
    actor: Option<String>,
    /// One action, such as `auth.login`, or one kind, such as `auth`.
    action: Option<String>,
    /// The id of what was acted upon.
    target: Option<String>,
}

/// `GET /admin/audit`: newest first.
pub(super) async fn list(
    app: App,
    _: Operator,
    Query(search): Query<Search>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<Listed>>, Error> {
    let Search { org, actor, action, target } = search;
    let filter = Filter { org, actor, action, target, before: paging.after()?, limit: paging.rows() };
    let rows = audit::list(&app.store, &filter).await?;
    Ok(Json(Page::of(&paging, rows, |row| row.id, |row| row)))
}

/// `GET /admin/audit/status`
pub(super) async fn status(app: App, _: Operator) -> Result<Json<audit::Status>, Error> {
    Ok(Json(audit::status(&app.store).await?))
}
