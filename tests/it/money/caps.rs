//! Caps, and the periods that they are of.

use super::{Priced, a_dollar, usd};
use edge_core::{
    keys::{NewKey, Period, Spend},
    orgs::Owner,
};
use nest_tests::{TestEdge, edge::OPERATOR};
use reqwest::Method;
use serde_json::{Value, json};
use shared::money::Nanos;

fn spend(dollars: i64, period: Period) -> Spend {
    Spend { cap_usd: Nanos(usd(dollars)), period }
}

/// Checklist 82's caps: of a key, of all keys of a member, and of an organisation.
#[tokio::test]
async fn a_cap_bounds_what_it_is_of_and_nothing_else() {
    let mut priced = Priced::start("100", a_dollar()).await;
    priced.upstream.answer(100);
    let person = priced.edge.log_in(OPERATOR).await;
    let of_person = |name: &str| NewKey { owner: Owner::User(person.user_id), ..NewKey::inference(priced.org, name) };
    let capped = NewKey { spend: Some(spend(2, Period::Total)), ..of_person("capped") };
    let (capped, free) = (priced.edge.key_of(capped).await, priced.edge.key_of(of_person("free")).await);
    let nobodys = priced.edge.key().await;
    let set = async |path: String, body: Value| {
        let answer = priced.edge.api(&person, Method::PUT, &path, body).await;
        assert_eq!(answer.status, 204, "{}", answer.text());
    };
    let (org, user) = (priced.org, person.user_id);
    set(format!("/orgs/{org}/members/{user}/spend"), json!({ "spend": { "cap_usd": 5, "period": "day" } })).await;
    set(format!("/billing/spend?org_id={org}"), json!({ "spend": { "cap_usd": "7", "period": "month" } })).await;
    for (key, passes, scope) in [(capped, 2, "API key"), (free, 3, "member"), (nobodys, 2, "organisation")] {
        priced.key = key;
        for _ in 0..passes {
            priced.charged(1, 0).await;
        }
        let refusal = priced.call(1, 0).await;
        assert_eq!((refusal.status.as_u16(), refusal.code().as_str()), (402, "spend_cap_reached"), "{scope}");
        assert!(refusal.text().contains(scope), "{}", refusal.text());
    }
    let shown = priced.edge.api(&person, Method::GET, &format!("/billing?org_id={org}"), Value::Null).await.json();
    assert_eq!(shown["spend"], json!({ "cap_usd": "7", "period": "month" }));
    assert_eq!(shown["members"][0]["spent_usd"], "5");
    assert_eq!(shown["spent"]["total_usd"], "7");
    // Without them all goes on.
    set(format!("/billing/spend?org_id={org}"), json!({ "spend": null })).await;
    priced.edge.advance_ms(1_000);
    priced.charged(1, 0).await;
}

/// Checklist 88: the periods are those of UTC, wherever the database thinks that it is.
#[tokio::test]
async fn a_period_is_over_when_the_calendar_of_utc_says_so() {
    let edge = TestEdge::start(&[]).await;
    let sql = edge.db.connect().await;
    let org = edge.own_org().await.uuid().to_string();
    sql.execute("select hold_wallet($1::text::uuid)", &[&org]).await.unwrap();
    for zone in ["UTC", "America/New_York", "Pacific/Kiritimati"] {
        sql.batch_execute(&format!("set timezone = '{zone}'")).await.unwrap();
        for (spent_on, today, day, week, month) in [
            ("2027-01-31", "2027-01-31", 5, 5, 5),
            // A Sunday, and the Monday of the next month.
            ("2027-01-31", "2027-02-01", 0, 0, 0),
            ("2027-02-01", "2027-02-07", 0, 5, 5),
            ("2027-02-07", "2027-02-08", 0, 0, 5),
            ("2027-02-28", "2027-03-01", 0, 0, 0),
            // A leap year.
            ("2028-02-28", "2028-02-29", 0, 5, 5),
            ("2028-02-29", "2028-03-01", 0, 5, 0),
            // A week over the turn of the year.
            ("2026-12-31", "2027-01-01", 0, 5, 0),
            // The days on which clocks are turned.
            ("2027-03-14", "2027-03-15", 0, 0, 5),
            ("2027-10-31", "2027-11-01", 0, 0, 0),
            // What was spent on a day that is yet to come, by somebody else's clock, counts.
            ("2027-02-02", "2027-02-01", 5, 5, 5),
        ] {
            let table = "
                select spent_in(spend, 'day', today), spent_in(spend, 'week', today), spent_in(spend, 'month', today),
                    spent_in(spend, 'total', today)
                from (select $1::text::date as today) it, spend where subject = 'test'";
            let add = "select add_spend($1::text::uuid, 'test', $2::text::date, 5)";
            sql.execute("delete from spend where subject = 'test'", &[]).await.unwrap();
            sql.execute(add, &[&org, &spent_on]).await.unwrap();
            let row = sql.query_one(table, &[&today]).await.unwrap();
            let seen: [i64; 4] = [row.get(0), row.get(1), row.get(2), row.get(3)];
            assert_eq!(seen, [day, week, month, 5], "{spent_on} {today} in {zone}");
        }
    }
    sql.execute("delete from spend where subject = 'test'", &[]).await.unwrap();
}

/// Checklist 88: what is charged late belongs to the period in which its call began.
#[tokio::test]
async fn a_late_charge_is_added_to_the_periods_that_it_still_belongs_to() {
    let edge = TestEdge::start(&[]).await;
    let sql = edge.db.connect().await;
    let org = edge.own_org().await.uuid().to_string();
    sql.execute("select hold_wallet($1::text::uuid)", &[&org]).await.unwrap();
    for (charges, day, week, month) in [
        ([("2027-02-03", 1), ("2027-02-03", 2)], 3, 3, 3),
        ([("2027-02-03", 1), ("2027-02-02", 2)], 1, 3, 3),
        ([("2027-02-09", 1), ("2027-02-07", 2)], 1, 1, 3),
        ([("2027-03-01", 1), ("2027-02-28", 2)], 1, 1, 1),
        ([("2027-02-02", 1), ("2027-02-03", 2)], 2, 3, 3),
        ([("2027-02-28", 1), ("2027-03-01", 2)], 2, 2, 2),
        ([("2027-04-01", 1), ("2027-03-31", 2)], 1, 3, 1),
    ] {
        sql.execute("delete from spend where subject = 'test'", &[]).await.unwrap();
        for (on, nanos) in charges {
            let add = "select add_spend($1::text::uuid, 'test', $2::text::date, $3)";
            sql.execute(add, &[&org, &on, &i64::from(nanos)]).await.unwrap();
        }
        let read = "select day_nanos, week_nanos, month_nanos, total_nanos from spend where subject = 'test'";
        let row = sql.query_one(read, &[]).await.unwrap();
        let seen: [i64; 4] = [row.get(0), row.get(1), row.get(2), row.get(3)];
        assert_eq!(seen, [day, week, month, 3], "{charges:?}");
    }
    sql.execute("delete from spend where subject = 'test'", &[]).await.unwrap();
}

/// Checklist 88, from outside: the last moment of January, and the first of February.
#[tokio::test]
async fn a_monthly_cap_is_fresh_when_the_month_is() {
    // 31 January 2028, 23:59:30 UTC.
    const EVE_MS: i64 = 1_832_975_970_000;
    let mut priced = Priced::start("100", a_dollar()).await;
    priced.upstream.answer(100);
    let capped = NewKey { spend: Some(spend(2, Period::Month)), ..NewKey::inference(priced.org, "capped") };
    priced.key = priced.edge.key_of(capped).await;
    priced.edge.advance_ms(EVE_MS - priced.edge.now().0);
    priced.charged(1, 0).await;
    priced.charged(1, 0).await;
    assert_eq!(priced.refused(1).await, (402, "spend_cap_reached".to_owned()));
    priced.edge.advance_ms(31_000);
    priced.charged(1, 0).await;
    let sql = priced.sql().await;
    let read = "select day::text, month_nanos from spend where subject = 'org'";
    let row = sql.query_one(read, &[]).await.unwrap();
    assert_eq!((row.get::<_, String>(0), row.get::<_, i64>(1)), ("2028-02-01".to_owned(), usd(1)));
}

/// Whoever may see to it learns in time how much of a cap is used.
#[tokio::test]
async fn each_step_of_a_cap_is_told_once_in_its_period() {
    let mut priced = Priced::start("100", a_dollar()).await;
    priced.upstream.answer(100);
    let capped = NewKey { spend: Some(spend(4, Period::Day)), ..NewKey::inference(priced.org, "ci") };
    priced.key = priced.edge.key_of(capped).await;
    let mut told = Vec::new();
    for _ in 0..4 {
        priced.charged(1, 0).await;
        priced.edge.tick().await;
        priced.edge.tick().await;
        told.push(priced.edge.mails(OPERATOR).await.len());
    }
    assert_eq!(told, [0, 1, 2, 3], "at 50, 75 and 100 percent");
    let mail = priced.edge.last_mail(OPERATOR).await;
    assert_eq!(mail.template, "spend_alert");
    // The next day begins anew.
    priced.edge.advance_ms(86_400_000);
    priced.charged(1, 0).await;
    priced.charged(1, 0).await;
    priced.edge.tick().await;
    assert_eq!(priced.edge.mails(OPERATOR).await.len(), 4);
}

/// The same for what a member may spend, for what an organisation may, and for the allowance of a plan: who is told,
/// and of what.
#[tokio::test]
async fn whoever_is_bounded_and_whoever_can_see_to_it_are_told() {
    const MEMBER: &str = "member@example.com";
    let mut priced = Priced::start("100", a_dollar()).await;
    priced.upstream.answer(100);
    let (edge, org) = (&priced.edge, priced.org);
    let (owner, member) = (edge.log_in(OPERATOR).await, edge.person(MEMBER).await);
    let sql = priced.sql().await;
    let join = "insert into memberships (org_id, user_id, role) values ($1::text::uuid, $2::text::uuid, 'member')";
    sql.execute(join, &[&org.uuid().to_string(), &member.user_id.uuid().to_string()]).await.unwrap();
    for (path, cap) in [
        (format!("/orgs/{org}/members/{}/spend", member.user_id), json!({ "cap_usd": 2, "period": "day" })),
        (format!("/billing/spend?org_id={org}"), json!({ "cap_usd": 4, "period": "month" })),
    ] {
        let answer = edge.api(&owner, Method::PUT, &path, json!({ "spend": cap })).await;
        assert_eq!(answer.status, 204, "{}", answer.text());
    }
    assert!(super::act(&sql, "set_allowance($1::text::uuid, 'plan', 8000000000, now())", org).await);
    let of_member = NewKey { owner: Owner::User(member.user_id), ..NewKey::inference(org, "theirs") };
    let mut keys = vec![edge.key_of(of_member).await];
    for _ in 0..3 {
        keys.push(edge.key().await);
    }
    let before = edge.mails(MEMBER).await.len();
    for key in keys {
        priced.key = key;
        priced.charged(1, 0).await;
        priced.edge.tick().await;
    }
    let told = |mails: Vec<nest_tests::mail::Mail>| {
        let alerts = mails.into_iter().filter(|it| it.template == "spend_alert");
        let of = ["spend cap of member@example.com", "organisation's spend cap", "plan's allowance"];
        let what = move |text: &str| of.iter().position(|it| text.contains(it)).expect("an alert says of what");
        let percent = |text: &str| [100, 90, 75, 50].into_iter().find(|it| text.contains(&format!("{it} %")));
        alerts.map(|it| (what(&it.text), percent(&it.text))).collect::<Vec<_>>()
    };
    let of_member = told(priced.edge.mails(MEMBER).await.split_off(before));
    assert_eq!(of_member, [(0, Some(50))], "a member learns of their own cap alone");
    let mut of_owner = told(priced.edge.mails(OPERATOR).await);
    of_owner.sort_unstable();
    let expected = [(0, Some(50)), (1, Some(50)), (1, Some(75)), (1, Some(100)), (2, Some(50))];
    assert_eq!(of_owner, expected, "an owner learns of everything");
}
