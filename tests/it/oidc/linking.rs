//! Whose account an identity opens, and how it is taken away again.

use super::{CLIENT_SECRET, ask, count, edge, entries, entry, face, me, provider, set_cookie, setup, sign_in};
use nest_tests::{
    Answer, TestEdge,
    browser::query,
    edge::PASSWORD,
    oidc_provider::{ClientSpec, OidcAccount},
};
use reqwest::{Method, Url};
use serde_json::{Value, json};

async fn delete(edge: &TestEdge, path: &str, cookie: &str) -> Answer {
    let request = edge.request(Method::DELETE, path).header("cookie", cookie).header("sec-fetch-site", "same-origin");
    Answer::read(request.send().await.unwrap()).await
}

async fn identities(edge: &TestEdge, cookie: &str) -> Value {
    ask(edge, "/api/v1/auth/identities", cookie).await.json()
}

#[tokio::test]
async fn a_verified_address_finds_its_account_and_the_owner_is_told() {
    let (provider, edge) = setup(&[]).await;
    let ann = edge.person("ann@example.com").await;
    let linked = sign_in(&edge, &provider, "corp", "ann").await;
    assert_eq!(me(&edge, &linked).await["id"], ann.user_id.to_string());
    assert_eq!((entries(&edge, "auth.identity_linked").await, entries(&edge, "auth.signed_up").await), (1, 0));
    let told = "select count(*) from mail_outbox where recipient = 'ann@example.com' and template = 'identity_linked'";
    assert_eq!(count(&edge, told, &[]).await, 1);
    let actor =
        "select count(*) from audit_log where action = 'auth.identity_linked' and actor_id = $1 and target = $1";
    assert_eq!(count(&edge, actor, &[&ann.user_id.to_string()]).await, 1);
    // The second time nothing is new.
    me(&edge, &sign_in(&edge, &provider, "corp", "ann").await).await;
    assert_eq!((entries(&edge, "auth.identity_linked").await, count(&edge, told, &[]).await), (1, 1));
    assert_eq!(edge.try_log_in("ann@example.com", PASSWORD).await.status, 200);
}

/// An address that a provider has given to somebody else opens nothing here.
#[tokio::test]
async fn a_second_account_of_a_provider_is_not_linked() {
    let (provider, edge) = setup(&[]).await;
    me(&edge, &sign_in(&edge, &provider, "corp", "ann").await).await;
    provider.add_account(&OidcAccount::verified("successor", "ann@example.com")).await;
    let refused = sign_in(&edge, &provider, "corp", "successor").await;
    assert_eq!(face(&refused), (409, "identity_conflict".to_owned()));
    assert_eq!(count(&edge, "select count(*) from identities", &[]).await, 1);
    assert_eq!(count(&edge, "select count(*) from sessions", &[]).await, 1);
}

#[tokio::test]
async fn a_suspended_person_does_not_get_in_and_nothing_is_linked() {
    let (provider, edge) = setup(&[]).await;
    edge.make_account("ann@example.com").await;
    let client = edge.db.connect().await;
    client.execute("update users set suspended_at = now() where not operator", &[]).await.unwrap();
    assert_eq!(face(&sign_in(&edge, &provider, "corp", "ann").await), (401, "invalid_credentials".to_owned()));
    assert_eq!(count(&edge, "select count(*) from identities", &[]).await, 0);
    client.execute("update users set suspended_at = null", &[]).await.unwrap();
    me(&edge, &sign_in(&edge, &provider, "corp", "ann").await).await;
    client.execute("update users set suspended_at = now() where not operator", &[]).await.unwrap();
    assert_eq!(face(&sign_in(&edge, &provider, "corp", "ann").await), (401, "invalid_credentials".to_owned()));
}

#[tokio::test]
async fn an_identity_is_removed_but_never_the_last_way_in() {
    let provider = provider("corp").await;
    provider.add_client(&ClientSpec::new("club", CLIENT_SECRET, &super::callback_url("club"))).await;
    let edge = edge(&[entry(&provider, "corp"), entry(&provider, "club")], &[]).await;
    let session = sign_in(&edge, &provider, "corp", "ann").await;
    let cookie = set_cookie(&session, "__Host-nest_session");
    let listed = identities(&edge, &cookie).await;
    assert_eq!(listed["has_password"], false);
    assert_eq!((&listed["data"][0]["provider"], &listed["data"][0]["name"]), (&json!("corp"), &json!("The corp")));
    assert_eq!(listed["data"][0]["email"], "ann@example.com");

    let path = |id: &str| format!("/api/v1/auth/identities/{id}");
    assert_eq!(face(&delete(&edge, &path("corp"), &cookie).await), (409, "last_way_in".to_owned()));
    assert_eq!(face(&delete(&edge, &path("club"), &cookie).await), (404, "identity_not_found".to_owned()));
    sign_in(&edge, &provider, "club", "ann").await;
    // Two removals at once leave one of the two.
    let (one, other) = (path("corp"), path("club"));
    let (one, other) = tokio::join!(delete(&edge, &one, &cookie), delete(&edge, &other, &cookie));
    let mut both = [one.status.as_u16(), other.status.as_u16()];
    both.sort_unstable();
    assert_eq!(both, [204, 409]);
    assert_eq!(identities(&edge, &cookie).await["data"].as_array().unwrap().len(), 1);
    assert_eq!(entries(&edge, "auth.identity_unlinked").await, 1);

    let with_password = "update users set password_hash = (select password_hash from users where operator limit 1)";
    edge.db.connect().await.execute(with_password, &[]).await.unwrap();
    for (id, status) in [("corp", 204), ("club", 204)] {
        let known = identities(&edge, &cookie).await["data"][0]["provider"] == id;
        if known {
            assert_eq!(delete(&edge, &path(id), &cookie).await.status, status);
        }
    }
    assert_eq!(identities(&edge, &cookie).await, json!({ "data": [], "has_password": true }));
}

#[tokio::test]
async fn removing_an_identity_needs_a_fresh_proof_and_is_one_s_own() {
    let (provider, edge) = setup(&[]).await;
    edge.make_account("ann@example.com").await;
    let session = sign_in(&edge, &provider, "corp", "ann").await;
    let cookie = set_cookie(&session, "__Host-nest_session");
    let bob = edge.person("bob@example.com").await;
    let stolen = edge.by(&bob, Method::DELETE, "/api/v1/auth/identities/corp").send().await.unwrap();
    assert_eq!(Answer::read(stolen).await.code(), "identity_not_found");
    edge.advance_ms(300_001);
    let late = delete(&edge, "/api/v1/auth/identities/corp", &cookie).await;
    assert_eq!(face(&late), (403, "reauthentication_required".to_owned()));
    assert_eq!(identities(&edge, &cookie).await["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn where_sign_up_is_closed_only_accounts_and_invited_people_get_in() {
    let open = provider("corp").await;
    let mut closed = entry(&open, "corp");
    closed["allow_signup"] = json!(false);
    let by_provider = edge(&[closed], &[]).await;
    let by_service = edge(&[entry(&open, "corp")], &[("SIGNUP_OPEN", "false")]).await;
    for edge in [by_provider, by_service] {
        open.add_account(&OidcAccount::verified("bob", "bob@example.com")).await;
        open.add_account(&OidcAccount::verified("cleo", "cleo@example.com")).await;
        assert_eq!(face(&sign_in(&edge, &open, "corp", "ann").await), (403, "signup_closed".to_owned()));
        assert_eq!(count(&edge, "select count(*) from users where not operator", &[]).await, 0);
        edge.make_account("bob@example.com").await;
        me(&edge, &sign_in(&edge, &open, "corp", "bob").await).await;
        let invite = "insert into invitations (id, org_id, email, role, token_hash, invited_by, created_at, expires_at)
            select gen_random_uuid(), org_id, 'cleo@example.com', 'member', decode(repeat('00', 32), 'hex'), user_id,
                now(), now() + interval '1 hour' from memberships limit 1";
        edge.db.connect().await.execute(invite, &[]).await.unwrap();
        me(&edge, &sign_in(&edge, &open, "corp", "cleo").await).await;
    }
}

/// A provider vouches for the first factor alone.
#[tokio::test]
async fn a_second_factor_is_asked_for_before_there_is_a_session() {
    let (provider, edge) = setup(&[]).await;
    let ann = edge.person_with_app("ann@example.com").await;
    let sessions = "select count(*) from sessions where transport = 'cookie'";
    let half = sign_in(&edge, &provider, "corp", "ann").await;
    assert_eq!(half.status, 302, "{}", half.text());
    assert!(!half.headers.get_all("set-cookie").iter().any(|it| it.to_str().unwrap().contains("nest_session")));
    assert_eq!(count(&edge, sessions, &[]).await, 0);
    let page = Url::parse("http://localhost").unwrap().join(half.header("location")).unwrap();
    assert_eq!((page.path(), page.query()), ("/account.html", None));
    let told = Url::parse(&format!("http://localhost/?{}", page.fragment().unwrap())).unwrap();
    assert_eq!(query(&told, "redirect").as_deref(), Some("/console?tab=1"));

    let challenge = query(&told, "second_factor").unwrap();
    let whole = edge.verify_totp(&challenge, &ann.app.code(edge.now())).await;
    assert_eq!(whole.status, 200, "{}", whole.text());
    let session = ask(&edge, "/api/v1/me", &set_cookie(&whole, "__Host-nest_session")).await.json();
    assert_eq!(session["id"], ann.person.user_id.to_string());
    let amr: Vec<_> = session["amr"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    assert!(amr.contains(&"oidc") && amr.contains(&"mfa"), "{amr:?}");
    assert_eq!(count(&edge, sessions, &[]).await, 1);
}
