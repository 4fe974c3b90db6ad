//! Ending tokens (RFC 7009).

use super::{audited, given, me, refusal};
use nest_tests::{Person, TestEdge, edge::OPERATOR, oauth::As};

/// Checklist 36.
#[tokio::test]
async fn any_token_of_a_session_ends_it_when_it_is_revoked() {
    let edge = TestEdge::start(&[]).await;
    type Pick = fn(&Person) -> &str;
    let picks: [Pick; 2] = [|it| &it.refresh_token, |it| &it.access_token];
    for (nth, pick) in picks.into_iter().enumerate() {
        let person = edge.log_in(OPERATOR).await;
        let fields = [("token", pick(&person)), ("token_type_hint", "refresh_token")];
        for _ in 0..2 {
            let answer = edge.oauth("revoke", As::Nest, &fields).await;
            assert_eq!((answer.status.as_u16(), answer.text(), answer.header("cache-control")), (200, "", "no-store"));
        }
        assert_eq!(me(&edge, &person.access_token).await, 401);
        let refresh = [("grant_type", "refresh_token"), ("refresh_token", person.refresh_token.as_str())];
        assert_eq!(refusal(&edge.oauth("token", As::Nest, &refresh).await).1, "invalid_grant");
        assert_eq!(
            audited(&edge, "auth.token_revoked").await,
            1 + i64::try_from(nth).unwrap(),
            "once for each session"
        );
    }
    let who = "select distinct actor_id = 'user_' || replace(users.id::text, '-', '')
        from audit_log, users where action = 'auth.token_revoked' and users.email = $1";
    let named: bool = edge.db.connect().await.query_one(who, &[&OPERATOR]).await.unwrap().get(0);
    assert!(named, "the entry names the session's person");
}

/// A token that was turned already still shows that its holder once had the newest.
#[tokio::test]
async fn an_older_refresh_token_ends_its_session_too() {
    let edge = TestEdge::start(&[]).await;
    let person = edge.log_in(OPERATOR).await;
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", person.refresh_token.as_str())];
    let newest = given(&edge.oauth("token", As::Nest, &refresh).await, "access_token");
    assert_eq!(edge.oauth("revoke", As::Nest, &[("token", &person.refresh_token)]).await.status, 200);
    assert_eq!(me(&edge, &newest).await, 401);
}

/// Checklist 36: 200 for what is unknown.
#[tokio::test]
async fn what_is_no_token_is_revoked_already_and_what_is_another_s_is_not() {
    let edge = TestEdge::start(&[]).await;
    let person = edge.log_in(OPERATOR).await;
    let client = edge.oauth_client(Some(person.org_id), "keys:read").await;
    let token =
        given(&edge.oauth("token", As::Basic(&client), &[("grant_type", "client_credentials")]).await, "access_token");
    let cut = &person.refresh_token[..person.refresh_token.len() - 1];
    for unknown in ["x", "nest_refresh_", cut, &format!("{}x", person.access_token), &client.secret] {
        for who in [As::Nest, As::Basic(&client)] {
            assert_eq!(edge.oauth("revoke", who, &[("token", unknown)]).await.status, 200, "{unknown}");
        }
    }
    for token in [&person.refresh_token, &person.access_token] {
        let answer = edge.oauth("revoke", As::Basic(&client), &[("token", token)]).await;
        assert_eq!(refusal(&answer), (400, "invalid_grant".to_owned()));
    }
    let own = edge.oauth("revoke", As::Basic(&client), &[("token", &token)]).await;
    assert_eq!(refusal(&own), (400, "unsupported_token_type".to_owned()));
    assert_eq!(refusal(&edge.oauth("revoke", As::Form, &[("token", "x")]).await), (401, "invalid_client".to_owned()));
    assert_eq!(refusal(&edge.oauth("revoke", As::Nest, &[]).await), (400, "invalid_request".to_owned()));
    assert_eq!((me(&edge, &person.access_token).await, audited(&edge, "auth.token_revoked").await), (200, 0));
}
