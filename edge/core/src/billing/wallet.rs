//! `GET /billing`: what an organisation has, what is held of it, and what was spent.

use crate::{
    App, Error, Store,
    keys::{Period, Spend},
    orgs::Member,
    sql::{SqlError, row, sql},
};
use axum::Json;
use serde::{Deserialize, Serialize};
use shared::{
    id::{OrgId, UserId},
    money::Nanos,
    time::Timestamp,
};
use utoipa::ToSchema;
use uuid::Uuid;

row! {
    struct WalletRow {
        credit: i64,
        allowance: i64,
        allowance_granted: i64,
        allowance_granted_at: Option<Timestamp>,
        overage: i64,
        overage_limit: i64,
        owed: i64,
        held: i64,
        refused_subscription: Option<String>,
        spend_cap: Option<i64>,
        spend_period: Option<String>,
        day: i64,
        week: i64,
        month: i64,
        total: i64,
        members: String,
        price_version: Option<i64>,
    }
}

sql! {
    // An organisation whose wallet nobody has used yet has none.
    WALLET(OrgId, Timestamp) -> WalletRow = "
        with asked as (
            select $1::text::uuid as org_id, (to_timestamp($2::int8 / 1000.0) at time zone 'UTC')::date as today
        )
        select coalesce(credit_nanos, 0) as credit, coalesce(allowance_nanos, 0) as allowance,
            coalesce(allowance_granted_nanos, 0) as allowance_granted,
            (extract(epoch from allowance_granted_at) * 1000)::int8 as allowance_granted_at,
            coalesce(-overage_nanos, 0) as overage, coalesce(overage_limit_nanos, 0) as overage_limit,
            coalesce(-owed_nanos, 0) as owed, coalesce(wallet.held_nanos, 0) as held, refused_subscription,
            spend_cap_nanos as spend_cap, spend_period,
            spent_in(spend, 'day', today) as day, spent_in(spend, 'week', today) as week,
            spent_in(spend, 'month', today) as month, spent_in(spend, 'total', today) as total,
            (select coalesce(json_agg(json_build_object('user_id', member.user_id, 'cap', member.spend_cap_nanos,
                    'period', member.spend_period, 'spent', spent_in(theirs, member.spend_period, today))
                    order by member.user_id), '[]')
                from memberships member
                left join spend theirs on theirs.org_id = member.org_id and theirs.subject = 'user:' || member.user_id
                where member.org_id = asked.org_id and member.spend_cap_nanos is not null)::text as members,
            (select max(version) from price_versions) as price_version
        from asked
        left join wallets wallet on wallet.org_id = asked.org_id
        left join spend on spend.org_id = asked.org_id and spend.subject = 'org'";
}

impl Store {
    async fn wallet(&self, org: OrgId, now: Timestamp) -> Result<WalletRow, SqlError> {
        self.first(&WALLET, (org, now)).await?.ok_or(SqlError::Column { index: 0 })
    }
}

/// An organisation's money. Amounts are dollars.
#[derive(Serialize, ToSchema)]
pub(super) struct BillingView {
    org_id: OrgId,
    /// What calls may still cost.
    available_usd: Nanos,
    /// What is kept for calls that run or are likely to come.
    held_usd: Nanos,
    /// Bought or granted; it does not expire.
    credit_usd: Nanos,
    allowance: AllowanceView,
    overage: OverageView,
    /// What was taken back and was not there. Nothing is called before it is paid.
    owed_usd: Nanos,
    /// The state of the subscription, while calls are refused for it.
    refused_subscription: Option<String>,
    /// The most that the organisation may spend in a period.
    spend: Option<Spend>,
    spent: SpentView,
    /// Members who may not spend more.
    members: Vec<MemberSpendView>,
    /// None while nothing costs anything.
    price_version: Option<i64>,
}

/// A plan's credit of the present period.
#[derive(Serialize, ToSchema)]
struct AllowanceView {
    left_usd: Nanos,
    granted_usd: Nanos,
    granted_at: Option<Timestamp>,
}

/// What was used beyond credit and allowance, and is billed afterwards.
#[derive(Serialize, ToSchema)]
struct OverageView {
    used_usd: Nanos,
    limit_usd: Nanos,
}

/// What was spent in the present day, week from Monday, and month of UTC, and in all.
#[derive(Serialize, ToSchema)]
struct SpentView {
    day_usd: Nanos,
    week_usd: Nanos,
    month_usd: Nanos,
    total_usd: Nanos,
}

/// A member's cap, and what was spent of it.
#[derive(Serialize, ToSchema)]
struct MemberSpendView {
    user_id: UserId,
    spend: Spend,
    spent_usd: Nanos,
}

/// The same, as the statement gives it.
#[derive(Deserialize)]
struct MemberCap {
    user_id: Uuid,
    cap: i64,
    period: Period,
    spent: i64,
}

impl From<MemberCap> for MemberSpendView {
    fn from(it: MemberCap) -> Self {
        let spend = Spend { cap_usd: Nanos(it.cap), period: it.period };
        Self { user_id: UserId::from_uuid(it.user_id), spend, spent_usd: Nanos(it.spent) }
    }
}

/// A cap whose two parts are columns.
pub(super) fn spend(cap: Option<i64>, period: Option<&str>) -> Option<Spend> {
    let period = serde_json::from_value(period?.into()).ok()?;
    Some(Spend { cap_usd: Nanos(cap?), period })
}

/// `GET /billing`
pub(super) async fn show(app: App, member: Member) -> Result<Json<BillingView>, Error> {
    let org_id = member.org_id;
    let row = app.store.wallet(org_id, app.host.now()).await?;
    let available = row.credit + row.allowance + row.overage_limit - row.overage - row.held;
    let members: Vec<MemberCap> = serde_json::from_str(&row.members).unwrap_or_default();
    let view = BillingView {
        org_id,
        available_usd: Nanos(available),
        held_usd: Nanos(row.held),
        credit_usd: Nanos(row.credit),
        allowance: AllowanceView {
            left_usd: Nanos(row.allowance),
            granted_usd: Nanos(row.allowance_granted),
            granted_at: row.allowance_granted_at,
        },
        overage: OverageView { used_usd: Nanos(row.overage), limit_usd: Nanos(row.overage_limit) },
        owed_usd: Nanos(row.owed),
        spend: spend(row.spend_cap, row.spend_period.as_deref()),
        refused_subscription: row.refused_subscription,
        spent: SpentView {
            day_usd: Nanos(row.day),
            week_usd: Nanos(row.week),
            month_usd: Nanos(row.month),
            total_usd: Nanos(row.total),
        },
        members: members.into_iter().map(Into::into).collect(),
        price_version: row.price_version,
    };
    Ok(Json(view))
}
