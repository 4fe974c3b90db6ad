//! `nest` as a person or a script types it: what it prints, and how it ends.

use crate::NEST;
use nest_tests::{
    Answer, TestDb, TestEdge,
    edge::OPERATOR,
    lasting,
    program::{Nest, Ran},
};
use serde_json::Value;

/// Runs `nest LINE` in a folder of its own, on `db`.
async fn nest(db: &TestDb, line: &str) -> Ran {
    Nest::new(NEST, &lasting::folder("cli"), line).env("DATABASE_URL", db.url()).run().await
}

#[tokio::test]
async fn where_nothing_runs_status_says_so() {
    let dir = lasting::folder("cli");
    for line in ["status", "status --json", "keys ls", "migrate status"] {
        let ran = Nest::new(NEST, &dir, line).run().await;
        assert_eq!(ran.code, 3, "{line}: {ran:?}");
        assert!(ran.stdout.is_empty() && ran.stderr.contains("nest dev"), "{line}: {ran:?}");
    }
    let told = Nest::new(NEST, &dir, "status --json").run().await.stderr;
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["exit_code"], 3);
}

#[tokio::test]
async fn wrong_usage_ends_with_2() {
    let dir = lasting::folder("cli");
    for line in ["nonsense", "keys create", "keys revoke no-id", "dev --port eighty", "db reset"] {
        let ran = Nest::new(NEST, &dir, line).run().await;
        assert_eq!(ran.code, 2, "{line}: {ran:?}");
    }
    let production = Nest::new(NEST, &dir, "dev").env("APP_ENV", "production").run().await;
    assert_eq!(production.code, 2, "{production:?}");
    assert!(production.stderr.contains("nest serve"), "{production:?}");
}

#[tokio::test]
async fn a_key_is_made_shown_once_listed_and_revoked() {
    let edge = TestEdge::start(&[]).await;
    let made = nest(&edge.db, "keys create --name ci --expires-in-days 30 --json").await.json();
    let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    let models = async || Answer::read(edge.get("/v1/models").bearer_auth(key).send().await.unwrap()).await;
    assert_eq!(models().await.status, 200);

    for line in ["keys ls", "keys ls --json"] {
        let listed = nest(&edge.db, line).await;
        assert!(listed.ok().contains(id) && listed.ok().contains("ci"), "{listed:?}");
        assert!(!listed.ok().contains(&key[14..key.len() - 4]), "a list shows no key");
    }
    let listed = nest(&edge.db, "keys ls --json").await.json();
    assert_eq!(listed[0]["last_four"], key[key.len() - 4..]);
    assert!(listed[0]["expires_at"].is_i64() && listed[0]["revoked_at"].is_null());

    for _ in 0..2 {
        let revoked = nest(&edge.db, &format!("keys revoke {id} --json")).await.json();
        assert_eq!((&revoked["id"], &revoked["revoked"]), (&made["id"], &Value::Bool(true)));
    }
    edge.advance_ms(5_000);
    assert_eq!(models().await.code(), "revoked_api_key");
    let unknown = nest(&edge.db, "keys revoke key_00000000000070008000000000000000").await;
    assert_eq!(unknown.code, 1, "{unknown:?}");
}

#[tokio::test]
async fn usage_is_summed_up_for_people_and_for_spreadsheets() {
    let edge = TestEdge::start(&[]).await;
    let key = edge.key().await;
    for number in 0..3 {
        let call = serde_json::json!({ "model": format!("made-up-{number}"), "messages": [] });
        assert_eq!(edge.chat(&key, &call).await.status, 404);
    }
    edge.usage_when(|rows| rows.len() == 3).await;
    // From the sums alone.
    edge.db.connect().await.batch_execute("truncate usage").await.unwrap();
    let totals = nest(&edge.db, "usage --json").await.json();
    assert_eq!((&totals[0]["calls"], &totals[0]["completed"]), (&3.into(), &0.into()), "{totals}");
    assert_eq!((&totals[0]["key_name"], &totals[0]["model"]), (&"test".into(), &"".into()), "{totals}");
    let table = nest(&edge.db, "usage --days 1").await;
    assert!(table.ok().starts_with("Since ") && table.ok().contains("MEAN LATENCY"), "{table:?}");
    let csv = nest(&edge.db, "usage --csv").await;
    let lines: Vec<&str> = csv.ok().lines().collect();
    assert_eq!(
        lines[0],
        "key_id,key_name,model,calls,completed,prompt_tokens,completion_tokens,cost_usd,mean_latency_ms"
    );
    assert!(lines[1].starts_with(&format!("{},test,,3,0,0,0,0,", key.id)) && lines.len() == 2, "{csv:?}");
    for line in ["usage --csv --calls", "usage --csv --json", "usage --days 0"] {
        assert_eq!(nest(&edge.db, line).await.code, 2, "{line}");
    }
}

#[tokio::test]
async fn an_operator_is_made_once_and_their_organisation_must_be_named_where_there_are_two() {
    let db = TestDb::migrated().await;
    let again = nest(&db, &format!("admin create --email {OPERATOR}")).await;
    assert!(again.code == 1 && again.stderr.contains("has an account already"), "{again:?}");
    let bad = nest(&db, "admin create --email nobody").await;
    assert!(bad.code != 0 && bad.stderr.contains("e-mail"), "{bad:?}");
    let made = nest(&db, "admin create --email ada@example.com --org Second --json").await.json();
    let unclear = nest(&db, "keys create --name x").await;
    assert_eq!(unclear.code, 2, "{unclear:?}");
    let org = made["org"].as_str().unwrap();
    assert!(unclear.stderr.contains(org) && unclear.stderr.contains("Second"), "{unclear:?}");
    assert_eq!(nest(&db, &format!("keys create --name x --org {org} --json")).await.json()["org"], made["org"]);
}

/// Checklist 14: a fresh database has nobody in it; the first operator sets a password by a link that is shown once, works
/// once, and within an hour.
#[tokio::test]
async fn there_is_no_account_until_one_is_made_and_then_a_link_sets_its_password() {
    let db = TestDb::empty().await;
    nest(&db, "migrate up").await.ok();
    let client = db.connect().await;
    let people = async || client.query_one("select count(*) from users", &[]).await.unwrap().get::<_, i64>(0);
    assert_eq!(people().await, 0);

    let edge = TestEdge::on(&db, &[]).await;
    let set = async |token: &str, password: &str| {
        let body = serde_json::json!({ "token": token, "password": password });
        Answer::read(edge.post("/api/v1/auth/password/reset").json(&body).send().await.unwrap()).await
    };
    let shown = nest(&db, "admin create --email root@example.com").await;
    let token = shown.ok().split_once("/account.html#reset=").unwrap().1.split_whitespace().next().unwrap().to_owned();
    assert_eq!(people().await, 1);
    assert_eq!(set(&token, "short").await.code(), "password_refused");
    assert_eq!(set(&token, "kxo94 plm22 vbb17").await.status, 200);
    assert_eq!(set(&token, "wq0 zz4 trombone 88").await.code(), "invalid_one_time_token");
    assert_eq!(edge.try_log_in("root@example.com", "kxo94 plm22 vbb17").await.status, 200);
    let stored = client.query_one("select count(*) from mailed_tokens where used_at is null", &[]).await.unwrap();
    assert_eq!(stored.get::<_, i64>(0), 0);

    let late = nest(&db, "admin create --email late@example.com --json").await.json();
    assert!(late.get("password").is_none(), "{late}");
    let lives_ms = late["expires_at"].as_i64().unwrap() - edge.now().0;
    assert!((1..=3_600_000).contains(&lives_ms), "{lives_ms}");
    edge.advance_ms(3_600_000);
    assert_eq!(set(late["token"].as_str().unwrap(), "kxo94 plm22 vbb17").await.code(), "invalid_one_time_token");
    let acts = "select count(*) from audit_log where action = 'auth.operator_created' and actor_kind = 'operator'";
    assert_eq!(client.query_one(acts, &[]).await.unwrap().get::<_, i64>(0), 2);

    let weak = nest(&db, "admin create --email weak@example.com --password password1234567").await;
    assert!(weak.code == 1 && weak.stderr.contains("password"), "{weak:?}");
    nest(&db, "admin create --email known@example.com --password kxo94-plm22-vbb17").await.ok();
    assert_eq!(edge.try_log_in("known@example.com", "kxo94-plm22-vbb17").await.status, 200);
}

#[tokio::test]
async fn the_schema_is_shown_and_brought_up_to_date() {
    let db = TestDb::empty().await;
    let states = async || {
        let shown = nest(&db, "migrate status --json").await.json();
        shown.as_array().unwrap().iter().map(|it| it["applied"] == true).collect::<Vec<_>>()
    };
    assert!(states().await.iter().all(|it| !it));
    for line in ["keys ls", "serve"] {
        let early = Nest::new(NEST, &lasting::folder("cli"), line);
        let early = early.env("DATABASE_URL", db.url()).env("SECRET_KEY", "0123456789abcdefghijklmnopqrstuvwxyz");
        let early = early.env("PORT", "0").run().await;
        assert!(early.code == 3 && early.stderr.contains("`nest migrate up`"), "{line}: {early:?}");
    }
    let applied = nest(&db, "migrate up --json").await.json();
    assert_eq!(applied["applied"].as_array().unwrap().len(), states().await.len());
    assert!(states().await.iter().all(|it| *it));
    assert_eq!(nest(&db, "migrate up --json").await.json()["applied"], serde_json::json!([]));
}

#[tokio::test]
async fn settings_are_shown_without_their_secrets() {
    let dir = lasting::folder("cli");
    let with_secrets = |line: &str| {
        let secrets = ["SECRET_KEY", "GROQ_API_KEY", "NODE_JOIN_TOKEN", "POSTGRES_PASSWORD"];
        let nest = secrets.into_iter().fold(Nest::new(NEST, &dir, line), |nest, name| nest.env(name, "c4nary"));
        nest.env("DATABASE_URL", "mysql://user:c4nary@host/db").env("PORT", "c4nary-port")
    };
    for line in ["config show", "config show --json"] {
        let shown = with_secrets(line).run().await;
        let secrets = shown.ok().matches("c4nary").count();
        assert!(secrets == 1 && shown.ok().contains("c4nary-port"), "only what is no secret is shown: {shown:?}");
        for setting in edge_core::config::SETTINGS.iter().chain(gpu_node::SETTINGS) {
            assert!(shown.ok().contains(setting.name), "{} is not shown", setting.name);
        }
    }
    let checked = with_secrets("config check").run().await;
    assert_eq!(checked.code, 1);
    for name in ["SECRET_KEY", "DATABASE_URL", "PORT"] {
        assert!(checked.stderr.contains(name), "{checked:?}");
    }
    assert!(!checked.stderr.contains("c4nary"), "{checked:?}");
}

#[tokio::test]
async fn a_dot_env_file_counts_less_than_the_environment() {
    let dir = lasting::folder("cli");
    std::fs::write(dir.join(".env"), "PORT=1111\nPROJECT_NAME=Ours\n").unwrap();
    let shown = Nest::new(NEST, &dir, "config show --json").env("PORT", "2222").run().await.json();
    let of = |name: &str| shown.as_array().unwrap().iter().find(|it| it["name"] == name).unwrap().clone();
    assert_eq!((&of("PORT")["value"], &of("PORT")["source"]), (&"2222".into(), &"environment".into()));
    assert_eq!((&of("PROJECT_NAME")["value"], &of("PROJECT_NAME")["source"]), (&"Ours".into(), &".env".into()));
    assert_eq!(of("NODE_PORT")["source"], "default");
}

#[tokio::test]
async fn the_example_of_settings_is_what_the_program_prints() {
    let printed = Nest::new(NEST, &lasting::folder("cli"), "config example").run().await;
    let file = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../.env.example")).unwrap();
    assert_eq!(printed.ok(), file, "run `cargo run -- config example > .env.example`");
}
