//! The password grant, for our own programs, and refreshing by the same endpoint.

use super::{audited, given, me, refusal};
use nest_tests::{
    TestEdge,
    edge::{OPERATOR, PASSWORD},
    mint,
    oauth::As,
};

const GOOD: [(&str, &str); 3] = [("grant_type", "password"), ("username", OPERATOR), ("password", PASSWORD)];

/// Checklist 35, 36 and 37.
#[tokio::test]
async fn our_own_programs_log_in_with_a_password_and_refresh() {
    let edge = TestEdge::start(&[]).await;
    let tokens = edge.oauth("token", As::Nest, &GOOD).await;
    let (access, refresh) = (given(&tokens, "access_token"), given(&tokens, "refresh_token"));
    assert_eq!((given(&tokens, "token_type").as_str(), given(&tokens, "scope").as_str()), ("Bearer", "all"));
    assert_eq!(tokens.json()["expires_in"], 600);
    assert_eq!(me(&edge, &access).await, 200);
    assert_eq!(audited(&edge, "auth.login").await, 1);

    let again = [("grant_type", "refresh_token"), ("refresh_token", &refresh)];
    let turned = edge.oauth("token", As::Nest, &again).await;
    assert_eq!(me(&edge, &given(&turned, "access_token")).await, 200);
    // Who tries the same once more, within the grace, is told that it happened, and gets nothing.
    let retry = edge.oauth("token", As::Nest, &again).await;
    assert_eq!(refusal(&retry), (409, "refresh_in_progress".to_owned()));
    assert_eq!(retry.header("retry-after"), "1");
    edge.advance_ms(10_001);
    assert_eq!(refusal(&edge.oauth("token", As::Nest, &again).await), (400, "invalid_grant".to_owned()));
    assert_eq!(me(&edge, &given(&turned, "access_token")).await, 401);
}

/// Checklist 35.
#[tokio::test]
async fn the_password_grant_is_fenced() {
    let edge = TestEdge::start(&[]).await;
    let third_party = edge.oauth_client(None, "").await;
    for client in [As::Basic(&third_party), As::Post(&third_party)] {
        assert_eq!(refusal(&edge.oauth("token", client, &GOOD).await), (400, "unauthorized_client".to_owned()));
    }
    assert_eq!(refusal(&edge.oauth("token", As::Form, &GOOD).await), (401, "invalid_client".to_owned()));
    // No answer tells whether the account is there.
    let wrong = [("grant_type", "password"), ("username", OPERATOR), ("password", "correct horse batterx")];
    let nobody = [("grant_type", "password"), ("username", "nobody@example.com"), ("password", PASSWORD)];
    let no_address = [("grant_type", "password"), ("username", "nobody"), ("password", PASSWORD)];
    let first = edge.oauth("token", As::Nest, &wrong).await;
    assert_eq!(refusal(&first), (400, "invalid_grant".to_owned()));
    for other in [nobody, no_address] {
        let other = edge.oauth("token", As::Nest, &other).await;
        assert_eq!((other.status, &other.body), (first.status, &first.body));
    }
    for missing in ["username", "password"] {
        let rest: Vec<_> = GOOD.into_iter().filter(|(name, _)| *name != missing).collect();
        let answer = edge.oauth("token", As::Nest, &rest).await;
        assert_eq!(refusal(&answer), (400, "invalid_request".to_owned()), "no {missing}");
    }
    let client = edge.db.connect().await;
    let second = "
        insert into totp_secrets (user_id, sealed, created_at, confirmed_at)
        select id, '\\x00', now(), now() from users where email = $1";
    client.execute(second, &[&OPERATOR]).await.unwrap();
    assert_eq!(refusal(&edge.oauth("token", As::Nest, &GOOD).await), (400, "invalid_grant".to_owned()));
    let sessions: i64 = client.query_one("select count(*) from sessions", &[]).await.unwrap().get(0);
    assert_eq!(sessions, 0);
}

/// Checklist 35: whoever has a second factor brings its code in the same form.
#[tokio::test]
async fn with_a_second_factor_the_form_needs_its_code() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person_with_app("ada@example.com").await;
    let form = [("grant_type", "password"), ("username", "ada@example.com"), ("password", PASSWORD)];
    let with = async |code: &str| edge.oauth("token", As::Nest, &[form.as_slice(), &[("otp", code)]].concat()).await;
    assert_eq!(refusal(&edge.oauth("token", As::Nest, &form).await), (400, "invalid_grant".to_owned()));
    for wrong in [ada.app.wrong_code(edge.now()).as_str(), "no code", "' or 1=1"] {
        assert_eq!(refusal(&with(wrong).await), (400, "invalid_grant".to_owned()), "{wrong}");
    }
    let code = ada.app.code(edge.now());
    let tokens = with(&code).await;
    let access = given(&tokens, "access_token");
    assert_eq!((me(&edge, &access).await, mint::claims(&access)["acr"].as_str()), (200, Some("aal2")));
    assert_eq!(refusal(&with(&code).await), (400, "invalid_grant".to_owned()), "a code is good once");
}

/// Checklist 35.
#[tokio::test]
async fn one_setting_turns_the_password_grant_off() {
    let edge = TestEdge::start(&[("PASSWORD_GRANT", "false")]).await;
    assert_eq!(refusal(&edge.oauth("token", As::Nest, &GOOD).await), (400, "unsupported_grant_type".to_owned()));
    // The other way in stays open, and so does refreshing.
    let person = edge.log_in(OPERATOR).await;
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", person.refresh_token.as_str())];
    assert_eq!(me(&edge, &given(&edge.oauth("token", As::Nest, &refresh).await, "access_token")).await, 200);
}

#[tokio::test]
async fn a_session_may_be_narrowed_and_stays_so() {
    let edge = TestEdge::start(&[]).await;
    let narrowed = [GOOD.as_slice(), &[("scope", "usage:read keys:read")]].concat();
    let tokens = edge.oauth("token", As::Nest, &narrowed).await;
    assert_eq!(given(&tokens, "scope"), "keys:read usage:read");
    assert_eq!(mint::claims(&given(&tokens, "access_token"))["scope"], "keys:read usage:read");
    // It speaks for its person in organisations alone.
    assert_eq!(me(&edge, &given(&tokens, "access_token")).await, 403);
    let refresh = given(&tokens, "refresh_token");
    let wider = [("grant_type", "refresh_token"), ("refresh_token", refresh.as_str()), ("scope", "org:delete")];
    let turned = edge.oauth("token", As::Nest, &wider).await;
    assert_eq!(given(&turned, "scope"), "keys:read usage:read");
    assert_eq!(me(&edge, &given(&turned, "access_token")).await, 403);
    for scope in ["keys:fly", "openid", "all keys:read"] {
        let unknown = [GOOD.as_slice(), &[("scope", scope)]].concat();
        let answer = edge.oauth("token", As::Nest, &unknown).await;
        assert_eq!(refusal(&answer), (400, "invalid_scope".to_owned()), "{scope}");
    }
}

/// A refresh token is its client's: another, whoever it is, neither turns it nor ends its session.
#[tokio::test]
async fn a_session_is_refreshed_by_the_client_alone_that_it_was_opened_through() {
    let edge = TestEdge::start(&[]).await;
    let person = edge.log_in(OPERATOR).await;
    let (own, other) = (edge.oauth_client(None, "").await, edge.oauth_client(None, "").await);
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", person.refresh_token.as_str())];
    assert_eq!(refusal(&edge.oauth("token", As::Basic(&own), &refresh).await), (400, "invalid_grant".to_owned()));
    assert_eq!(me(&edge, &person.access_token).await, 200);
    let client = edge.db.connect().await;
    client.execute("update sessions set client_id = $1", &[&own.id.to_string()]).await.unwrap();
    for stranger in [As::Nest, As::Post(&other)] {
        assert_eq!(refusal(&edge.oauth("token", stranger, &refresh).await), (400, "invalid_grant".to_owned()));
    }
    let turned = edge.oauth("token", As::Basic(&own), &refresh).await;
    assert_eq!(mint::claims(&given(&turned, "access_token"))["client_id"], own.id.to_string());
}
