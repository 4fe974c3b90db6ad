//! Mail at 50, 75, 90 and 100 percent of a cap or an allowance, once each in a period.

use crate::{
    App, Store,
    error::chain,
    mail::{self, Letter, Template},
    sql::{SqlError, row, sql},
};
use serde_json::json;
use shared::{id::OrgId, money::Nanos, time::Timestamp};

/// In one round; the next minute goes on.
const ROUND: i64 = 100;

row! {
    struct Due {
        org_id: OrgId,
        org_name: String,
        subject: String,
        /// What a key or a member is called.
        name: Option<String>,
        period: String,
        starts: String,
        cap: i64,
        spent: i64,
        percent: i64,
        /// Addresses, as JSON.
        recipients: String,
    }
}

row! {
    struct Mails {
        mails: i64,
    }
}

sql! {
    DUE(Timestamp, i64) -> Due = "
        with caps as (
            select org_id, 'org' as subject, null as name, spend_period as period, spend_cap_nanos as cap,
                null::uuid as user_id
            from wallets where spend_cap_nanos > 0
            union all
            select member.org_id, 'user:' || user_id, coalesce(nullif(users.name, ''), users.email), spend_period,
                spend_cap_nanos, user_id
            from memberships member join users on users.id = member.user_id where spend_cap_nanos > 0
            union all
            select org_id, 'key:' || id, name, spend_period, spend_cap_nanos, created_by
            from api_keys where spend_cap_nanos > 0 and revoked_at is null
        ),
        states as (
            select caps.org_id, caps.subject, name, period, period_start(period, today) as starts, cap,
                spent_in(spend, period, today) as spent, user_id
            from (select (to_timestamp($1::int8 / 1000.0) at time zone 'UTC')::date as today) as moment
            cross join caps
            join spend on spend.org_id = caps.org_id and spend.subject = caps.subject
            union all
            select org_id, 'allowance', null, 'grant', (allowance_granted_at at time zone 'UTC')::date,
                allowance_granted_nanos, allowance_granted_nanos - allowance_nanos + allowance_ending_nanos, null
            from wallets where allowance_granted_nanos > 0
        ),
        reached as (
            select states.*, (select max(step) from unnest(array[50, 75, 90, 100]) step
                where spent::numeric * 100 >= cap::numeric * step)::int8 as percent
            from states
        )
        select reached.org_id::text, orgs.name as org_name, reached.subject, reached.name, reached.period,
            reached.starts::text, cap, spent, reached.percent,
            (select coalesce(json_agg(distinct users.email), '[]') from memberships member
                join users on users.id = member.user_id and users.suspended_at is null
                where member.org_id = reached.org_id
                    and (member.role = 'owner' or member.user_id = reached.user_id))::text as recipients
        from reached
        join orgs on orgs.id = reached.org_id and orgs.deleted_at is null
        left join spend_alerts told on told.org_id = reached.org_id and told.subject = reached.subject
            and told.period = reached.period and told.starts = reached.starts and told.cap_nanos = reached.cap
        where reached.percent > coalesce(told.percent, 0)
        order by reached.org_id, reached.subject limit $2::int8";

    // Of several edges that look at once, one tells.
    TELL(OrgId, String, String, String, i64, i64, Timestamp, String) -> Mails = "
        with told as (
            insert into spend_alerts as known (org_id, subject, period, starts, cap_nanos, percent, at)
            values ($1::text::uuid, $2::text, $3::text, $4::text::date, $5::int8, $6::int8,
                to_timestamp($7::int8 / 1000.0))
            on conflict (org_id, subject, period, starts, cap_nanos) do update
            set percent = excluded.percent, at = excluded.at where known.percent < excluded.percent
            returning 1
        )
        select count(enqueue_mail(letter::text)) as mails
        from told cross join json_array_elements($8::text::json) letter";
}

impl Store {
    async fn due_alerts(&self, now: Timestamp) -> Result<Vec<Due>, SqlError> {
        self.all(&DUE, (now, ROUND)).await
    }

    async fn tell_alert(&self, due: &Due, letters: &[Letter], now: Timestamp) -> Result<i64, SqlError> {
        let letters = serde_json::to_string(letters).expect("letters are plain data");
        let (subject, period, starts) = (due.subject.clone(), due.period.clone(), due.starts.clone());
        let params = (due.org_id, subject, period, starts, due.cap, due.percent, now, letters);
        Ok(self.first(&TELL, params).await?.map_or(0, |row| row.mails))
    }
}

/// Tells of what has been reached since the last round.
pub(super) async fn tick(app: &App) {
    if let Err(error) = tell_all(app).await {
        tracing::warn!(error = %chain(&error), "nobody could be told how much of a cap is used");
    }
}

async fn tell_all(app: &App) -> Result<(), SqlError> {
    let now = app.host.now();
    let mut mails = 0;
    for due in app.store.due_alerts(now).await? {
        let recipients: Vec<String> = serde_json::from_str(&due.recipients).unwrap_or_default();
        let fill = fill(&due);
        let letters: Vec<Letter> =
            recipients.iter().map(|it| Letter::new(app, Some(it), Template::SpendAlert, &fill)).collect();
        mails += app.store.tell_alert(&due, &letters, now).await?;
    }
    if mails > 0 {
        mail::send_soon(app);
    }
    Ok(())
}

fn fill(due: &Due) -> serde_json::Value {
    let name = due.name.as_deref().unwrap_or_default();
    let (what, then) = match due.subject.split(':').next() {
        Some("allowance") => ("the plan's allowance".to_owned(), "Beyond it, credit is used."),
        Some("key") => (format!("the spend cap of the API key {name}"), REFUSED),
        Some("user") => (format!("the spend cap of {name}"), REFUSED),
        _ => ("the organisation's spend cap".to_owned(), REFUSED),
    };
    let period = match due.period.as_str() {
        "day" => "today",
        "week" => "this week",
        "month" => "this month",
        "grant" => "in this period",
        _ => "in all",
    };
    json!({
        "org": due.org_name, "what": what, "percent": due.percent, "spent": Nanos(due.spent), "cap": Nanos(due.cap),
        "period": period, "then": then,
    })
}

const REFUSED: &str = "Calls that it does not cover are refused until it is raised or its period ends.";
