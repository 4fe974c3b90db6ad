//! Organisations, to operators.

use crate::{
    App, Error, audit,
    auth::{Operator, Reason},
    limits::{self, Quota},
    openapi::{NoContent, Status},
    orgs::{self, OperatedMember, OperatedOrg, OrgError, OrgFilter, OrgStatus},
    page::{Page, Paging},
    payload::{Input, Query},
};
use axum::{Json, extract::Path};
use serde::{Deserialize, Serialize};
use shared::id::OrgId;
use utoipa::{IntoParams, ToSchema};

#[derive(Deserialize, IntoParams)]
pub(super) struct Search {
    /// An id, or a part of a name.
    query: Option<String>,
    #[param(inline)]
    status: Option<OrgStatus>,
}

/// `GET /admin/orgs`: newest first, those that were deleted among them.
pub(super) async fn list(
    app: App,
    _: Operator,
    Query(search): Query<Search>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<OperatedOrg>>, Error> {
    let Search { query, status } = search;
    let filter = OrgFilter { query, status, after: paging.after()?, limit: paging.rows() };
    let rows = orgs::search(&app.store, &filter).await?;
    Ok(Json(Page::of(&paging, rows, |row| row.id, |row| row)))
}

/// An organisation, and who is in it.
#[derive(Serialize, ToSchema)]
pub(super) struct OrgWithMembers {
    #[serde(flatten)]
    org: OperatedOrg,
    /// Oldest first.
    members: Vec<OperatedMember>,
}

/// `GET /admin/orgs/{organisation}`
pub(super) async fn show(
    app: App,
    _: Operator,
    Path(organisation): Path<String>,
) -> Result<Json<OrgWithMembers>, Error> {
    let (org, members) = orgs::operated(&app.store, org_id(&organisation)?).await?;
    Ok(Json(OrgWithMembers { org, members }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SuspendOrg {
    /// 1 to 500 characters. The audit log keeps it, which the organisation may read.
    #[schema(value_type = String)]
    reason: Reason,
}

/// `POST /admin/orgs/{organisation}/suspend`
pub(super) async fn suspend(
    app: App,
    operator: Operator,
    Path(organisation): Path<String>,
    Input(ask): Input<SuspendOrg>,
) -> Result<NoContent, Error> {
    orgs::suspend(&app.store, &operator, org_id(&organisation)?, &ask.reason).await?;
    audit::chain_soon(&app);
    Ok(Status(()))
}

/// `POST /admin/orgs/{organisation}/restore`
pub(super) async fn restore(
    app: App,
    operator: Operator,
    Path(organisation): Path<String>,
) -> Result<NoContent, Error> {
    orgs::restore(&app.store, &operator, org_id(&organisation)?).await?;
    audit::chain_soon(&app);
    Ok(Status(()))
}

/// The limits of an organisation.
#[derive(Serialize, ToSchema)]
pub(super) struct OrgLimits {
    /// What holds: what operators have set, or else what the plan gives, or else what the edge is configured with.
    limits: Quota,
    /// Whether operators have set them.
    set: bool,
}

/// `GET /admin/orgs/{organisation}/limits`
pub(super) async fn limits(app: App, _: Operator, Path(organisation): Path<String>) -> Result<Json<OrgLimits>, Error> {
    let own = orgs::limits(&app.store, org_id(&organisation)?).await?;
    Ok(Json(OrgLimits { limits: own.held().unwrap_or(app.config.limits.org), set: own.set.is_some() }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SetLimits {
    /// All of them: what is absent is not limited. Null lets the configured ones hold again.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(required)]
    limits: Option<Quota>,
}

/// `PUT /admin/orgs/{organisation}/limits`
pub(super) async fn set_limits(
    app: App,
    operator: Operator,
    Path(organisation): Path<String>,
    Input(ask): Input<SetLimits>,
) -> Result<NoContent, Error> {
    if let Some(name) = ask.limits.and_then(|it| it.too_large()) {
        let message = format!("`{}` must be at most {}", name.as_str(), limits::MOST);
        return Err(Error::Invalid { message, param: Some("limits") });
    }
    orgs::set_limits(&app.store, &operator, org_id(&organisation)?, ask.limits.as_ref()).await?;
    audit::chain_soon(&app);
    Ok(Status(()))
}

/// What is no id at all names none.
fn org_id(text: &str) -> Result<OrgId, OrgError> {
    text.parse().map_err(|_| OrgError::Unknown)
}
