//! Each kind of secret at each place that takes one: it opens its own places, and none else.

use super::me;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL};
use nest_tests::{
    Answer, OauthClient, TestEdge,
    edge::{OPERATOR, PASSWORD},
    oauth::As,
};
use reqwest::{
    Method,
    header::{AUTHORIZATION, COOKIE, SET_COOKIE},
};
use serde_json::json;
use sha2::{Digest as _, Sha256};

const COOKIE_NAME: &str = "__Host-nest_session";

/// One of each kind, all of the same person; made anew for each place, since some places use them up.
async fn one_of_each(edge: &TestEdge) -> Vec<(&'static str, String)> {
    let person = edge.log_in(OPERATOR).await;
    let client = edge.oauth_client(Some(person.org_id), "org:read").await;
    let own = edge.oauth("token", As::Basic(&client), &[("grant_type", "client_credentials")]).await;
    let own = own.json()["access_token"].as_str().unwrap().to_owned();
    let (mailed, challenge) = in_tables(edge).await;
    vec![
        ("access token", person.access_token),
        ("refresh token", person.refresh_token),
        ("cookie", cookie_session(edge).await),
        ("client's token", own),
        ("client's secret", client.secret),
        ("client's id", client.id.to_string()),
        ("API key", edge.key().await.text),
        ("mailed token", mailed),
        ("challenge", challenge),
        ("join token", edge.invite(60_000).await),
        ("session's id", edge_session(edge).await),
        ("password", PASSWORD.to_owned()),
    ]
}

/// A session of the console.
async fn cookie_session(edge: &TestEdge) -> String {
    let body = json!({ "email": OPERATOR, "password": PASSWORD, "cookie": true });
    let answer = edge.post("/api/v1/auth/login").json(&body).send().await.unwrap();
    let cookie = answer.headers()[SET_COOKIE].to_str().unwrap();
    let (name, rest) = cookie.split_once('=').unwrap();
    assert_eq!(name, COOKIE_NAME);
    rest.split(';').next().unwrap().to_owned()
}

async fn edge_session(edge: &TestEdge) -> String {
    let row = edge.db.connect().await.query_one("select id::text from sessions limit 1", &[]).await.unwrap();
    format!("sess_{}", row.get::<_, String>(0).replace('-', ""))
}

/// Secrets of which the tables hold the hash: one from a mail, and one between the factors.
async fn in_tables(edge: &TestEdge) -> (String, String) {
    let text =
        |kind: &str| format!("nest_{kind}_{}", BASE64URL.encode(Sha256::digest(format!("{kind} {}", edge.now().0))));
    let (mailed, challenge) = (text("mail"), text("mfa"));
    let database = edge.db.connect().await;
    let hash = |text: &str| Sha256::digest(text).to_vec();
    let rows = "
        insert into mailed_tokens (token_hash, user_id, purpose, email, created_at, expires_at)
        select $1, id, 'password_reset', email, now(), now() + interval '1 d' from users where email = $2
        on conflict do nothing";
    database.execute(rows, &[&hash(&mailed), &OPERATOR]).await.unwrap();
    let rows = "
        insert into challenges (token_hash, user_id, purpose, state, created_at, expires_at)
        select $1, id, 'login', '{}', now(), now() + interval '1 d' from users where email = $2
        on conflict do nothing";
    database.execute(rows, &[&hash(&challenge), &OPERATOR]).await.unwrap();
    (mailed, challenge)
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Bearer,
    Cookie,
    Refresh,
    RefreshGrant,
    ClientSecret,
    Models,
    Introspection,
}

/// What opens each place.
const PLACES: [(Place, &[&str]); 7] = [
    (Place::Bearer, &["access token"]),
    (Place::Cookie, &["cookie"]),
    (Place::Refresh, &["refresh token"]),
    (Place::RefreshGrant, &["refresh token"]),
    (Place::ClientSecret, &["client's secret"]),
    (Place::Models, &["API key"]),
    (Place::Introspection, &["access token", "refresh token", "client's token"]),
];

impl Place {
    /// Whether `secret` opens it.
    async fn opens(self, edge: &TestEdge, platform: &OauthClient, id: &str, secret: &str) -> bool {
        let answer = match self {
            Self::Bearer => me(edge, secret).await,
            Self::Cookie => {
                let request = edge.request(Method::GET, "/api/v1/me").header(COOKIE, format!("{COOKIE_NAME}={secret}"));
                Answer::read(request.send().await.unwrap()).await
            }
            Self::Refresh => {
                let body = json!({ "refresh_token": secret });
                Answer::read(edge.post("/api/v1/auth/refresh").json(&body).send().await.unwrap()).await
            }
            Self::RefreshGrant => {
                edge.oauth("token", As::Nest, &[("grant_type", "refresh_token"), ("refresh_token", secret)]).await
            }
            Self::ClientSecret => {
                let client = OauthClient { id: id.parse().unwrap(), secret: secret.to_owned() };
                edge.oauth("token", As::Basic(&client), &[("grant_type", "client_credentials")]).await
            }
            Self::Models => {
                let request = edge.get("/v1/models").header(AUTHORIZATION, format!("Bearer {secret}"));
                Answer::read(request.send().await.unwrap()).await
            }
            Self::Introspection => {
                let answer = edge.oauth("introspect", As::Basic(platform), &[("token", secret)]).await;
                assert_eq!(answer.status, 200);
                return answer.json()["active"] == true;
            }
        };
        let refused = [400, 401, 403].contains(&answer.status.as_u16());
        assert!(refused || answer.status == 200, "{self:?}: {} {}", answer.status, answer.text());
        !refused
    }
}

/// Checklist 31: the full cross matrix.
#[tokio::test]
async fn each_kind_of_secret_opens_its_own_places_and_no_other() {
    let edge = TestEdge::start(&[]).await;
    let platform = edge.oauth_client(None, "").await;
    let mut wrong = Vec::new();
    for (place, opened_by) in PLACES {
        let kinds = one_of_each(&edge).await;
        let id = kinds.iter().find(|(kind, _)| *kind == "client's id").unwrap().1.clone();
        for (kind, secret) in &kinds {
            let opens = place.opens(&edge, &platform, &id, secret).await;
            if opens != opened_by.contains(kind) {
                wrong.push(format!("a {kind} at {place:?}: opens is {opens}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Checklist 31: a prefix is not what makes a secret what it is.
#[tokio::test]
async fn a_secret_with_another_kind_s_prefix_is_none_of_either() {
    let edge = TestEdge::start(&[]).await;
    let person = edge.log_in(OPERATOR).await;
    let platform = edge.oauth_client(None, "").await;
    let cookie = cookie_session(&edge).await;
    let as_cookie = person.refresh_token.replacen("nest_refresh_", "nest_session_", 1);
    let as_refresh = cookie.replacen("nest_session_", "nest_refresh_", 1);
    let none = platform.id.to_string();
    assert!(!Place::Cookie.opens(&edge, &platform, &none, &as_cookie).await);
    for place in [Place::Refresh, Place::RefreshGrant, Place::Introspection] {
        assert!(!place.opens(&edge, &platform, &none, &as_refresh).await, "{place:?}");
    }
    assert!(Place::Cookie.opens(&edge, &platform, &none, &cookie).await);
    assert!(Place::Refresh.opens(&edge, &platform, &none, &person.refresh_token).await);
}
