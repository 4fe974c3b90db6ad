//! Everything that ends a session, and how soon: at the next request, on every edge.

use super::{field, live, me, refresh};
use nest_tests::{Answer, Person, TestEdge, edge::OPERATOR, oauth::As};
use reqwest::Method;
use serde_json::Value;

const ENDED: (u16, &str) = (401, "session_ended");

async fn now_at(edge: &TestEdge, person: &Person) -> (u16, String) {
    me(edge, &person.access_token).await
}

fn is(answer: &(u16, String), expected: (u16, &str)) -> bool {
    (answer.0, answer.1.as_str()) == expected
}

async fn session_id(edge: &TestEdge, person: &Person) -> String {
    let me: Value = edge.by(person, Method::GET, "/api/v1/me").send().await.unwrap().json().await.unwrap();
    me["session_id"].as_str().unwrap().to_owned()
}

/// Checklist 33 and 43: whatever ends a session at one edge, the very next request is refused at another, though its
/// access token has not expired.
#[tokio::test]
async fn what_ends_a_session_at_one_edge_ends_it_at_the_other_at_once() {
    let here = TestEdge::start(&[]).await;
    let there = TestEdge::on(&here.db, &[]).await;
    for way in ["logout", "its own list", "all others", "revoked", "reuse"] {
        let (person, owner) = (here.log_in(OPERATOR).await, here.log_in(OPERATOR).await);
        assert_eq!(now_at(&there, &person).await.0, 200, "{way}");
        let by = |person: &Person, method: Method, path: &str| here.by(person, method, path).send();
        let status = match way {
            "logout" => by(&person, Method::POST, "/api/v1/auth/logout").await.unwrap().status().as_u16(),
            "its own list" => {
                let path = format!("/api/v1/auth/sessions/{}", session_id(&here, &person).await);
                by(&owner, Method::DELETE, &path).await.unwrap().status().as_u16()
            }
            "all others" => by(&owner, Method::DELETE, "/api/v1/auth/sessions").await.unwrap().status().as_u16(),
            "revoked" => here.oauth("revoke", As::Nest, &[("token", &person.refresh_token)]).await.status.as_u16(),
            _ => {
                refresh(&here, &person.refresh_token).await;
                here.advance_ms(10_001);
                refresh(&here, &person.refresh_token).await.status.as_u16()
            }
        };
        assert!([200, 204, 401].contains(&status), "{way}: {status}");
        assert!(is(&now_at(&there, &person).await, ENDED), "{way}");
        assert_eq!(refresh(&there, &person.refresh_token).await.code(), "session_ended", "{way}");
        assert_eq!(now_at(&there, &owner).await.0, 200, "{way}");
        assert_eq!(live(&here).await, 1, "{way}");
        by(&owner, Method::POST, "/api/v1/auth/logout").await.unwrap();
    }
}

/// Checklist 33.
#[tokio::test]
async fn a_suspended_person_is_out_at_once_on_every_edge() {
    let here = TestEdge::start(&[]).await;
    let there = TestEdge::on(&here.db, &[]).await;
    let person = here.person("ada@example.com").await;
    let database = here.db.connect().await;
    assert_eq!(now_at(&there, &person).await.0, 200);
    database.execute("update users set suspended_at = now() where email = $1", &[&person.email]).await.unwrap();
    for edge in [&here, &there] {
        assert!(is(&now_at(edge, &person).await, ENDED));
        assert_eq!(refresh(edge, &person.refresh_token).await.code(), "session_ended");
        assert_eq!(edge.try_log_in(&person.email, nest_tests::edge::PASSWORD).await.code(), "invalid_credentials");
    }
}

/// Checklist 33: whoever takes a right away counts the person's version up; a token that still tells of it is too old.
#[tokio::test]
async fn an_operator_whose_right_is_taken_has_lost_it_at_the_next_request() {
    let here = TestEdge::start(&[]).await;
    let there = TestEdge::on(&here.db, &[]).await;
    let person = here.log_in(OPERATOR).await;
    let take = "update users set operator = false, version = version + 1 where email = $1";
    here.db.connect().await.execute(take, &[&OPERATOR]).await.unwrap();
    assert!(is(&now_at(&there, &person).await, (401, "expired_token")));
    let fresh = field(&refresh(&there, &person.refresh_token).await, "access_token");
    let me = Answer::read(here.get("/api/v1/me").bearer_auth(fresh).send().await.unwrap()).await;
    assert_eq!(me.json()["operator"], false);
}

/// Checklist 38 and 43: it ends after a time without use, and in any case at its end.
#[tokio::test]
async fn a_session_ends_by_its_settings_used_or_not() {
    const DAY_MS: i64 = 86_400_000;
    let edge = TestEdge::start(&[("SESSION_IDLE_DAYS", "2"), ("SESSION_DAYS", "5")]).await;
    let unused = edge.log_in(OPERATOR).await.refresh_token;
    let mut used = edge.log_in(OPERATOR).await.refresh_token;
    edge.advance_ms(2 * DAY_MS - 60_000);
    used = field(&refresh(&edge, &used).await, "refresh_token");
    edge.advance_ms(120_000);
    assert_eq!(refresh(&edge, &unused).await.code(), "session_ended");
    for _ in 0..2 {
        let turned = refresh(&edge, &used).await;
        assert_eq!(turned.status, 200, "{}", turned.text());
        used = field(&turned, "refresh_token");
        edge.advance_ms(DAY_MS + DAY_MS / 4);
    }
    let last = refresh(&edge, &used).await;
    edge.advance_ms(DAY_MS);
    assert_eq!(last.status, 200, "four days and a half");
    assert_eq!(refresh(&edge, &field(&last, "refresh_token")).await.code(), "session_ended", "five days are over");
}
