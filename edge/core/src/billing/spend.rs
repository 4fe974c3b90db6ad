//! Caps: what an organisation, or a member by all of their keys, may spend in a period. A key's own is `keys`'.

use crate::{
    App, Error,
    audit::Entry,
    keys::Spend,
    limits::Client,
    openapi::{NoContent, Status},
    orgs::{self, Member, OrgError, Standing},
    payload::Input,
    sql::{row, sql},
};
use axum::extract::Path;
use serde::Deserialize;
use serde_json::json;
use shared::id::UserId;
use utoipa::ToSchema;

row! {
    struct Outcome {
        outcome: String,
    }
}

sql! {
    SET_ORG(Standing, Option<i64>, Option<String>, Entry) -> Outcome = "
        select set_org_spend($1::text::json, $2::int8, $3::text, $4::text) as outcome";

    SET_MEMBER(Standing, UserId, Option<i64>, Option<String>, Entry) -> Outcome = "
        select set_member_spend($1::text::json, $2::text::uuid, $3::int8, $4::text, $5::text) as outcome";
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SetSpend {
    /// Null for no cap.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(required)]
    spend: Option<Spend>,
}

impl SetSpend {
    fn columns(&self) -> (Option<i64>, Option<String>) {
        self.spend.map(|it| (it.cap_usd.0, it.period.as_str().to_owned())).unzip()
    }
}

/// `PUT /billing/spend`
pub(super) async fn set_org(
    app: App,
    client: Client,
    member: Member,
    Input(ask): Input<SetSpend>,
) -> Result<NoContent, Error> {
    let entry = member.entry(&app, &client, "billing.org_spend_set").detail(&json!({ "spend": ask.spend }));
    let (cap, period) = ask.columns();
    let row = app.store.first(&SET_ORG, (member.standing(app.host.now()), cap, period, entry)).await?;
    orgs::verdict(row.map(|it| it.outcome).as_deref().unwrap_or_default())?;
    Ok(Status(()))
}

/// `PUT /orgs/{org}/members/{user}/spend`
pub(super) async fn set_member(
    app: App,
    client: Client,
    member: Member,
    Path((_, user)): Path<(String, String)>,
    Input(ask): Input<SetSpend>,
) -> Result<NoContent, Error> {
    let user: UserId = user.parse().map_err(|_| OrgError::NoMember)?;
    let detail = json!({ "spend": ask.spend });
    let entry = member.entry(&app, &client, "billing.member_spend_set").target(user).detail(&detail);
    let (cap, period) = ask.columns();
    let row = app.store.first(&SET_MEMBER, (member.standing(app.host.now()), user, cap, period, entry)).await?;
    orgs::verdict(row.map(|it| it.outcome).as_deref().unwrap_or_default())?;
    Ok(Status(()))
}
