//! `GET /usage`: from the roll-ups alone, by whatever callers want to tell apart, in JSON and as a spreadsheet.

use nest_tests::{Answer, IssuedKey, TestEdge, answer::unless_busy, edge::OPERATOR, person::Person};
use reqwest::Method;
use serde_json::{Value, json};
use shared::id::OrgId;

/// An edge whose operator's organisation has used two keys, and another one whose calls must never show.
struct Used {
    edge: TestEdge,
    operator: Person,
    keys: [IssuedKey; 2],
    other: IssuedKey,
}

/// Seconds of a call, its key, model, outcome, upstream and tokens of prompt and completion.
type Call = (&'static str, usize, &'static str, &'static str, Option<&'static str>, i64, i64);

const CALLS: [Call; 9] = [
    ("2026-11-19T23:59:59.999Z", 0, "small", "completed", Some("groq"), 1, 10),
    ("2026-11-20T00:00:00Z", 0, "small", "completed", Some("groq"), 2, 20),
    ("2026-11-20T12:00:00+13:00", 0, "small", "completed", Some("groq"), 4, 40),
    ("2026-11-20T12:00:00Z", 0, "large", "completed", Some("node:x"), 8, 80),
    ("2026-11-20T12:00:01Z", 1, "small", "failed", Some("groq"), 16, 160),
    ("2026-11-21T00:00:01Z", 1, "small", "client_left", Some("groq"), 32, 320),
    ("2026-11-21T00:00:02Z", 1, "no-such", "refused", None, 0, 0),
    ("2026-11-21T23:59:59Z", 1, "small", "revoked", Some("groq"), 64, 640),
    // The other organisation's.
    ("2026-11-20T12:00:00Z", 2, "small", "completed", Some("groq"), 1_000_000, 1_000_000),
];

async fn used() -> Used {
    let edge = TestEdge::start(&[]).await;
    let operator = edge.log_in(OPERATOR).await;
    let stranger = edge.person("stranger@example.com").await;
    let keys = [edge.key().await, edge.key().await];
    let other = edge.key().await;
    let client = edge.db.connect().await;
    let name = "update api_keys set name = $2 where id = $1::text::uuid";
    for (key, named) in [(&keys[0], "first, of \"all\""), (&keys[1], "=HYPERLINK(\"http://x\")")] {
        client.execute(name, &[&key.id.uuid().to_string(), &named]).await.unwrap();
    }
    let moved = "update api_keys set org_id = $1::text::uuid where id = $2::text::uuid";
    let params = [stranger.org_id.uuid().to_string(), other.id.uuid().to_string()];
    client.execute(moved, &[&params[0], &params[1]]).await.unwrap();
    let insert = "
        insert into usage
            (request_id, org_id, key_id, endpoint, model, upstream, stream, status, outcome, prompt_tokens,
             completion_tokens, cached_tokens, reasoning_tokens, tokens_source, started_at, latency_ms)
        select gen_random_uuid(), org_id, id, 'chat.completions', $3, $5, false, 200, $4, $6::int8, $7::int8, $6::int8 / 2, $7::int8 / 2,
            'upstream', $2::text::timestamptz, $6::int8 * 10
        from api_keys where id = $1::text::uuid";
    for (at, key, model, outcome, upstream, prompt, completion) in CALLS {
        let key = [&keys[0], &keys[1], &other][key].id.uuid().to_string();
        client.execute(insert, &[&key, &at, &model, &outcome, &upstream, &prompt, &completion]).await.unwrap();
    }
    // What is told is told from the sums.
    client.batch_execute("truncate usage").await.unwrap();
    Used { edge, operator, keys, other }
}

impl Used {
    async fn ask(&self, query: &str) -> Answer {
        self.edge.api(&self.operator, Method::GET, &format!("/usage?{query}"), Value::Null).await
    }

    /// The lines as `group/group: calls prompt completion`, with the keys as their numbers.
    async fn lines(&self, query: &str) -> Vec<String> {
        let answer = self.ask(query).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        answer.json()["data"].as_array().unwrap().iter().map(|line| self.line(line)).collect()
    }

    fn line(&self, line: &Value) -> String {
        let key = line["key_id"].as_str().map(|id| {
            let number = self.keys.iter().position(|it| it.id.to_string() == id);
            number.expect("a key of this organisation").to_string()
        });
        let text = |name: &str| line[name].as_str().map(str::to_owned);
        let groups: Vec<String> = [text("day"), key, text("model"), text("outcome")].into_iter().flatten().collect();
        format!("{}: {} {} {}", groups.join("/"), line["calls"], line["prompt_tokens"], line["completion_tokens"])
    }
}

#[tokio::test]
async fn usage_is_told_by_what_callers_tell_apart() {
    let used = used().await;
    let second = used.keys[1].id;
    for (query, lines) in [
        ("", &["2026-11-19: 2 5 50", "2026-11-20: 3 26 260", "2026-11-21: 3 96 960"][..]),
        ("&group_by=key", &["0: 4 15 150", "1: 4 112 1120"]),
        ("&group_by=model", &[": 1 0 0", "large: 1 8 80", "small: 6 119 1190"]),
        (
            "&group_by=outcome",
            &[
                "client_left: 1 32 320",
                "completed: 4 15 150",
                "failed: 1 16 160",
                "refused: 1 0 0",
                "revoked: 1 64 640",
            ],
        ),
        (
            "&group_by=model,day&outcome=completed",
            &["2026-11-19/small: 2 5 50", "2026-11-20/large: 1 8 80", "2026-11-20/small: 1 2 20"],
        ),
        (
            "&group_by=day,key,model,outcome&from=2026-11-21",
            &[
                "2026-11-21/1//refused: 1 0 0",
                "2026-11-21/1/small/client_left: 1 32 320",
                "2026-11-21/1/small/revoked: 1 64 640",
            ],
        ),
        ("&from=2026-11-20&to=2026-11-20", &["2026-11-20: 3 26 260"]),
        ("&from=2026-11-01&to=2026-11-18", &[]),
        ("&model=large", &["2026-11-20: 1 8 80"]),
        ("&model=none", &[]),
        (
            &format!("&key_id={second}&group_by=outcome&model=small"),
            &["client_left: 1 32 320", "failed: 1 16 160", "revoked: 1 64 640"],
        ),
        (&format!("&key_id={}", used.other.id), &[]),
    ] {
        let span = if query.contains("to=") { "" } else { "&to=2026-11-22" };
        assert_eq!(used.lines(&format!("{query}{span}")).await, lines, "{query}");
    }
}

#[tokio::test]
async fn an_answer_says_what_it_is_about_and_sums_it_up() {
    let used = used().await;
    let answer = used.ask("from=2026-11-01&to=2026-11-30&group_by=key").await;
    assert_eq!((answer.header("cache-control"), answer.header("vary")), ("no-store", "accept"));
    let told = answer.json();
    assert_eq!((&told["from"], &told["to"]), (&json!("2026-11-01"), &json!("2026-11-30")));
    assert_eq!((&told["group_by"], &told["next_cursor"]), (&json!(["key"]), &Value::Null));
    let totals = json!({
        "calls": 8, "prompt_tokens": 127, "completion_tokens": 1270, "cached_tokens": 63, "reasoning_tokens": 635,
        "cost_usd": "0", "mean_latency_ms": 159, "last_used_at": 1_795_305_599_000_i64,
    });
    assert_eq!(told["totals"], totals);
    assert_eq!(told["data"][0]["key_name"], "first, of \"all\"");
    assert_eq!(told["data"][0]["last_used_at"], 1_795_176_000_000_i64);
    // The totals are of what the filters leave, and there are some of nothing, too.
    let none = used.ask("to=2026-11-30&model=none").await.json();
    assert_eq!((&none["totals"]["calls"], &none["totals"]["mean_latency_ms"]), (&json!(0), &Value::Null));
}

#[tokio::test]
async fn the_last_thirty_days_are_told_unless_others_are_asked_for() {
    let edge = TestEdge::start(&[]).await;
    edge.advance_ms(40 * 86_400_000);
    let operator = edge.log_in(OPERATOR).await;
    let told = edge.api(&operator, Method::GET, "/usage", Value::Null).await.json();
    let days = "select to_char(to_timestamp($1::int8 / 1000.0) at time zone 'UTC' + $2::int8 * interval '1 day', 'YYYY-MM-DD')";
    let client = edge.db.connect().await;
    let day = async |days_on: i64| {
        let row = client.query_one(days, &[&edge.now().0, &days_on]).await.unwrap();
        row.get::<_, String>(0)
    };
    assert_eq!((told["from"].as_str(), told["to"].as_str()), (Some(&*day(-29).await), Some(&*day(0).await)));
    assert_eq!((&told["data"], &told["totals"]["calls"]), (&json!([]), &json!(0)));
}

#[tokio::test]
async fn what_cannot_be_answered_is_refused() {
    let used = used().await;
    for query in [
        "from=2026-11-22&to=2026-11-21",
        "from=2025-01-01&to=2026-01-02",
        "from=2026-02-30",
        "from=yesterday",
        "to=infinity",
        "to=2026-11-22T00:00:00Z",
        "to=0001-01-01",
        "group_by=",
        "group_by=hour",
        "group_by=day%3Bkey",
        "key_id=x",
        "outcome=lost",
        "format=xml",
        "cursor=x",
        "cursor=WyJhIl0",
        "model=a&model=b",
        "limit=ten",
    ] {
        let answer = used.ask(query).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, "invalid_value"), "{query}");
    }
    // A text that Postgres cannot hold is no model's name.
    assert_eq!(used.ask("model=%00").await.status, 400);
}

#[tokio::test]
async fn lines_come_in_pages_that_miss_none() {
    let used = used().await;
    let seed = "
        insert into usage_rollups (org_id, key_id, day, model, outcome, calls, prompt_tokens, completion_tokens,
            cached_tokens, reasoning_tokens, latency_ms, last_started_at)
        select org_id, id, '2026-01-01'::date + day, case day % 3 when 0 then 'ä' when 1 then 'Z' else 'a' end || day,
            'completed', 1, 0, 0, 0, 0, 5, now()
        from api_keys, generate_series(0, 59) as day where id = $1::text::uuid";
    let client = used.edge.db.connect().await;
    for key in &used.keys {
        client.execute(seed, &[&key.id.uuid().to_string()]).await.unwrap();
    }
    let span = "from=2026-01-01&to=2026-03-31&group_by=model,key";
    let whole = used.lines(&format!("{span}&limit=100")).await;
    assert_eq!(whole.len(), 100);
    let (mut paged, mut path) = (Vec::new(), format!("{span}&limit=7"));
    loop {
        let page = used.ask(&path).await.json();
        assert_eq!(page["totals"]["calls"], 120, "the totals are of all pages");
        let data = page["data"].as_array().unwrap();
        assert!(data.len() <= 7);
        paged.extend(data.iter().map(|line| used.line(line)));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("{span}&limit=7&cursor={cursor}");
    }
    assert_eq!(paged.len(), 120);
    assert_eq!(paged[..100], whole);
    paged.sort_unstable();
    paged.dedup();
    assert_eq!(paged.len(), 120, "none is told twice");
}

#[tokio::test]
async fn a_spreadsheet_holds_all_lines_and_no_formula() {
    let used = used().await;
    let query = "from=2026-11-19&to=2026-11-21&group_by=day,key,model";
    let [first, second] = [used.keys[0].id, used.keys[1].id];
    let expected = [
        "day,key_id,key_name,model,calls,prompt_tokens,completion_tokens,cached_tokens,reasoning_tokens,cost_usd,mean_latency_ms"
            .to_owned(),
        format!("2026-11-19,{first},\"first, of \"\"all\"\"\",small,2,5,50,2,25,0,25"),
        format!("2026-11-20,{first},\"first, of \"\"all\"\"\",large,1,8,80,4,40,0,80"),
        format!("2026-11-20,{first},\"first, of \"\"all\"\"\",small,1,2,20,1,10,0,20"),
        format!("2026-11-20,{second},\"'=HYPERLINK(\"\"http://x\"\")\",small,1,16,160,8,80,0,160"),
        format!("2026-11-21,{second},\"'=HYPERLINK(\"\"http://x\"\")\",,1,0,0,0,0,0,0"),
        format!("2026-11-21,{second},\"'=HYPERLINK(\"\"http://x\"\")\",small,2,96,960,48,480,0,480"),
    ];
    let expected: String = expected.iter().map(|line| format!("{line}\r\n")).collect();
    let by_header = used.edge.by(&used.operator, Method::GET, &format!("/api/v1/usage?{query}"));
    let by_header = Answer::read(by_header.header("accept", "text/csv").send().await.unwrap()).await;
    for answer in [used.ask(&format!("{query}&format=csv")).await, by_header] {
        assert_eq!(answer.header("content-type"), "text/csv; charset=utf-8; header=present");
        let disposition = "attachment; filename=\"usage-2026-11-19-2026-11-21.csv\"";
        assert_eq!(answer.header("content-disposition"), disposition);
        assert_eq!(answer.text(), expected);
    }
    let empty = used.ask("from=2026-01-01&to=2026-01-02&format=csv").await;
    assert_eq!(empty.text().lines().count(), 1, "{}", empty.text());
}

#[tokio::test]
async fn a_spreadsheet_is_whole_or_refused() {
    let used = used().await;
    let seed = "
        insert into usage_rollups (org_id, key_id, day, model, outcome, calls, prompt_tokens, completion_tokens,
            cached_tokens, reasoning_tokens, latency_ms, last_started_at)
        select org_id, id, '2026-01-01', 'm' || number, 'completed', 1, 0, 0, 0, 0, 5, now()
        from api_keys, generate_series(1, $2::int) as number where id = $1::text::uuid";
    let client = used.edge.db.connect().await;
    client.execute(seed, &[&used.keys[0].id.uuid().to_string(), &10_000]).await.unwrap();
    let query = "from=2026-01-01&to=2026-01-01&group_by=model&format=csv";
    let whole = unless_busy(async || used.ask(query).await).await;
    assert_eq!((whole.status.as_u16(), whole.text().lines().count()), (200, 10_001));
    let one_more = seed.replace("'m' ||", "'n' ||");
    client.execute(&one_more, &[&used.keys[0].id.uuid().to_string(), &1]).await.unwrap();
    let refused = used.ask(query).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (400, "invalid_value"));
    assert!(refused.text().contains("10000 lines"), "{}", refused.text());
}

/// Checklist 55: what is another organisation's is told like what is not there.
#[tokio::test]
async fn an_organisation_sees_its_own_usage_alone() {
    let used = used().await;
    let (edge, operator) = (&used.edge, &used.operator);
    let ask = async |person: &Person, org: OrgId| {
        edge.api(person, Method::GET, &format!("/usage?to=2026-11-22&org_id={org}"), Value::Null).await
    };
    let stranger = edge.log_in("stranger@example.com").await;
    let own = ask(&stranger, stranger.org_id).await.json();
    assert_eq!(own["totals"]["prompt_tokens"], 1_000_000);
    for (person, org) in [(&stranger, operator.org_id), (operator, stranger.org_id)] {
        let refused = ask(person, org).await;
        assert_eq!((refused.status.as_u16(), refused.code().as_str()), (404, "org_not_found"));
    }
    // A member sees it who may, and no other.
    let team = edge.org(&stranger, "Team").await;
    for (role, status) in [("viewer", 200), ("billing", 200)] {
        let email = format!("{role}@example.com");
        let member = edge.person(&email).await;
        edge.enrol(team, &member, role).await;
        assert_eq!(ask(&member, team).await.status, status, "{role}");
    }
    let blind = edge.person("blind@example.com").await;
    let role = edge.own_role(&stranger, team, "Blind", &["keys:read"]).await;
    edge.enrol(team, &blind, &role.to_string()).await;
    let refused = ask(&blind, team).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (403, "permission_denied"));
}
