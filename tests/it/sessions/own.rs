//! One's own sessions: seen, counted, ended, and how their tokens are kept.

use super::{field, live, me, refresh};
use nest_tests::{Answer, Person, TestEdge, edge::OPERATOR};
use reqwest::Method;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

async fn listed(edge: &TestEdge, person: &Person) -> Vec<Value> {
    let answer = edge.by(person, Method::GET, "/api/v1/auth/sessions").send().await.unwrap();
    Answer::read(answer).await.json()["data"].as_array().unwrap().clone()
}

/// Checklist 43 and 44: one sees and ends one's own, each log-in has one of its own, and others' are not there.
#[tokio::test]
async fn people_see_and_end_their_own_sessions_and_nobody_else_s() {
    let edge = TestEdge::start(&[]).await;
    let (first, second) = (edge.person("ada@example.com").await, edge.log_in("ada@example.com").await);
    let other = edge.person("bob@example.com").await;
    let own = listed(&edge, &second).await;
    assert_eq!(own.len(), 2);
    assert_ne!(own[0]["id"], own[1]["id"]);
    let current: Vec<bool> = own.iter().map(|it| it["current"].as_bool().unwrap()).collect();
    assert_eq!(current, [true, false], "newest first");
    for secret in ["token", "hash"] {
        assert!(own.iter().all(|it| it.as_object().unwrap().keys().all(|key| !key.contains(secret))), "{own:?}");
    }
    let end = async |person: &Person, id: &str| {
        let path = format!("/api/v1/auth/sessions/{id}");
        Answer::read(edge.by(person, Method::DELETE, &path).send().await.unwrap()).await
    };
    let id = own[1]["id"].as_str().unwrap();
    let (foreign, unknown) = (end(&other, id).await, end(&other, "sess_00000000000070008000000000000000").await);
    assert_eq!((foreign.status.as_u16(), foreign.code()), (404, unknown.code()));
    assert_eq!(me(&edge, &first.access_token).await.0, 200);
    assert_eq!(end(&second, id).await.status, 204);
    assert_eq!(end(&second, id).await.status, 404);
    assert_eq!(me(&edge, &first.access_token).await, (401, "session_ended".to_owned()));
    assert_eq!(listed(&edge, &second).await.len(), 1);
}

/// Checklist 43: fifty at most, as docs/oauth.md says; the one that was not used for longest makes room.
#[tokio::test]
async fn beyond_fifty_sessions_the_least_used_ends() {
    let edge = TestEdge::start(&[]).await;
    let oldest = edge.log_in(OPERATOR).await;
    let database = edge.db.connect().await;
    let more = "
        insert into sessions (id, user_id, transport, token_hash, rotated_at, client_id, scope, amr, auth_time,
            created_at, last_seen_at, idle_until, expires_at)
        select gen_random_uuid(), user_id, transport, sha256(nth::text::bytea), rotated_at, client_id, scope, amr,
            auth_time, created_at, last_seen_at + nth * interval '1 ms', idle_until, expires_at
        from sessions, generate_series(1, 49) nth";
    database.batch_execute(more).await.unwrap();
    assert_eq!((live(&edge).await, me(&edge, &oldest.access_token).await.0), (50, 200));
    edge.advance_ms(1_000);
    let newest = edge.log_in(OPERATOR).await;
    assert_eq!((live(&edge).await, me(&edge, &newest.access_token).await.0), (50, 200));
    assert_eq!(me(&edge, &oldest.access_token).await, (401, "session_ended".to_owned()));
    let reasons = "select count(*) from sessions where end_reason = 'too_many'";
    assert_eq!(database.query_one(reasons, &[]).await.unwrap().get::<_, i64>(0), 1);
}

/// Checklist 38: 256 bits of chance, and nothing but the hash of the newest in any table.
#[tokio::test]
async fn of_a_refresh_token_only_the_newest_one_s_hash_is_stored() {
    let edge = TestEdge::start(&[]).await;
    let first = edge.log_in(OPERATOR).await.refresh_token;
    let second = field(&refresh(&edge, &first).await, "refresh_token");
    let database = edge.db.connect().await;
    let stored: Vec<u8> = database.query_one("select token_hash from sessions", &[]).await.unwrap().get(0);
    assert_eq!(stored, Sha256::digest(&second).to_vec());
    // Session, number, secret of 32 bytes, tag of 16: no two tokens share the secret.
    let secret = |token: &str| token["nest_refresh_".len()..][27..70].to_owned();
    assert_ne!(secret(&first), secret(&second));
    let tables = "select table_name::text from information_schema.tables where table_schema = 'public'";
    for table in database.query(tables, &[]).await.unwrap() {
        let table: String = table.get(0);
        let rows = format!("select count(*) from \"{table}\" row where strpos(row::text, $1) > 0");
        for token in [&first, &second] {
            let found: i64 = database.query_one(&rows, &[&secret(token)]).await.unwrap().get(0);
            assert_eq!(found, 0, "{table} holds a token");
        }
    }
}
