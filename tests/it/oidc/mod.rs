//! Signing in with an outside provider: a real OpenID provider that others wrote, and what stands in for GitHub.

mod github;
mod linking;
mod refusals;

use nest_tests::{
    Answer, OidcProvider, TestEdge,
    browser::query,
    oidc_provider::{ClientSpec, OidcAccount},
};
use reqwest::{
    Url,
    header::{COOKIE, SET_COOKIE},
};
use serde_json::{Value, json};
use tokio_postgres::types::ToSql;

const CLIENT_SECRET: &str = "a secret: of any% characters";

/// Where the provider `id` sends people back to; nothing listens there.
fn callback_url(id: &str) -> String {
    format!("http://127.0.0.1:8787/api/v1/auth/oidc/{id}/callback")
}

/// A provider that knows us as `id`, with an account `ann`.
async fn provider(id: &str) -> OidcProvider {
    let provider = OidcProvider::start(&[ClientSpec::new(id, CLIENT_SECRET, &callback_url(id))]).await;
    provider.add_account(&OidcAccount::verified("ann", "Ann@Example.com")).await;
    provider
}

/// `provider` as the setting has it; the client is called as the provider is.
fn entry(provider: &OidcProvider, id: &str) -> Value {
    json!({ "id": id, "name": format!("The {id}"), "issuer": provider.issuer, "client_id": id,
            "client_secret": CLIENT_SECRET })
}

/// An edge with these providers.
async fn edge(providers: &[Value], more: &[(&str, &str)]) -> TestEdge {
    let providers = Value::from(providers).to_string();
    let settings: Vec<_> = [("OIDC_PROVIDERS", providers.as_str())].into_iter().chain(more.iter().copied()).collect();
    TestEdge::start(&settings).await
}

/// A provider called `corp`, and an edge that knows it.
async fn setup(more: &[(&str, &str)]) -> (OidcProvider, TestEdge) {
    let provider = provider("corp").await;
    let edge = edge(&[entry(&provider, "corp")], more).await;
    (provider, edge)
}

/// A sign-in that has been begun.
struct Begun {
    /// At the provider.
    url: Url,
    cookie: String,
}

async fn begin(edge: &TestEdge, id: &str) -> Begun {
    let answer = ask(edge, &format!("/api/v1/auth/oidc/{id}?redirect=/console%3Ftab%3D1"), "").await;
    assert_eq!(answer.status, 302, "{}", answer.text());
    Begun { url: answer.header("location").parse().unwrap(), cookie: set_cookie(&answer, "__Host-nest_oidc") }
}

/// Asks as a browser with these cookies does, and follows no redirect.
async fn ask(edge: &TestEdge, path: &str, cookie: &str) -> Answer {
    Answer::read(edge.get(path).header(COOKIE, cookie).send().await.unwrap()).await
}

/// `name=value` as a browser sends it back.
fn set_cookie(answer: &Answer, name: &str) -> String {
    let all: Vec<_> = answer.headers.get_all(SET_COOKIE).iter().map(|it| it.to_str().unwrap()).collect();
    let wanted = all.iter().find(|it| it.starts_with(&format!("{name}=")));
    let wanted = wanted.unwrap_or_else(|| panic!("no {name} in {all:?}: {}", answer.text()));
    wanted.split(';').next().unwrap().to_owned()
}

/// Takes the browser back to the edge, which listens elsewhere than the provider was told.
async fn come_back(edge: &TestEdge, back: &Url, cookie: &str) -> Answer {
    ask(edge, &format!("{}?{}", back.path(), back.query().unwrap_or_default()), cookie).await
}

/// A whole sign-in as `sub` with the OpenID provider `id`.
async fn sign_in(edge: &TestEdge, provider: &OidcProvider, id: &str, sub: &str) -> Answer {
    let begun = begin(edge, id).await;
    let back = provider.authorize(begun.url.as_str(), sub).await;
    assert!(back.as_str().starts_with(&callback_url(id)), "{back}");
    come_back(edge, &back, &begun.cookie).await
}

/// Who is logged in by the cookie of an answer that sends them on.
async fn me(edge: &TestEdge, answer: &Answer) -> Value {
    assert_eq!(answer.status, 302, "{}", answer.text());
    assert_eq!(answer.header("location"), "/console?tab=1");
    let me = ask(edge, "/api/v1/me", &set_cookie(answer, "__Host-nest_session")).await;
    assert_eq!(me.status, 200, "{}", me.text());
    me.json()
}

/// The one number that `sql` gives.
async fn count(edge: &TestEdge, sql: &str, params: &[&(dyn ToSql + Sync)]) -> i64 {
    edge.db.connect().await.query_one(sql, params).await.unwrap().get(0)
}

async fn entries(edge: &TestEdge, action: &str) -> i64 {
    count(edge, "select count(*) from audit_log where action = $1", &[&action]).await
}

fn face(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), if answer.status == 302 { String::new() } else { answer.code() })
}

#[tokio::test]
async fn providers_are_listed_by_name_and_nothing_else_is_told() {
    let (_provider, edge) = setup(&[]).await;
    let listed = ask(&edge, "/api/v1/auth/oidc", "").await;
    assert_eq!(listed.json(), json!({ "data": [{ "id": "corp", "name": "The corp" }] }));
    let none = ask(&TestEdge::start(&[]).await, "/api/v1/auth/oidc", "").await;
    assert_eq!(none.json(), json!({ "data": [] }));
    assert_eq!(face(&ask(&edge, "/api/v1/auth/oidc/other", "").await), (404, "provider_not_found".to_owned()));
}

/// Checklist 20: the address to come back to is the configured one, whatever the request calls us.
#[tokio::test]
async fn a_browser_is_sent_with_state_nonce_and_pkce_to_where_the_settings_say() {
    let (provider, edge) = setup(&[("PUBLIC_URL", "https://nest.example.com")]).await;
    let request = edge.get("/api/v1/auth/oidc/corp").header("x-forwarded-host", "evil.example");
    let request = request.header("forwarded", "host=evil.example").header("x-forwarded-proto", "ftp");
    let answer = Answer::read(request.send().await.unwrap()).await;
    assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (302, "no-store"));
    let url: Url = answer.header("location").parse().unwrap();
    assert!(url.as_str().starts_with(&provider.issuer), "{url}");
    for (name, value) in [
        ("redirect_uri", "https://nest.example.com/api/v1/auth/oidc/corp/callback"),
        ("response_type", "code"),
        ("client_id", "corp"),
        ("scope", "openid email profile"),
        ("code_challenge_method", "S256"),
    ] {
        assert_eq!(query(&url, name).as_deref(), Some(value), "{url}");
    }
    for secret in ["state", "nonce", "code_challenge"] {
        assert_eq!(query(&url, secret).unwrap().len(), 43, "{secret} in {url}");
    }
    let cookie = answer.header("set-cookie");
    assert!(cookie.starts_with("__Host-nest_oidc="), "{cookie}");
    assert!(cookie.ends_with("; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=600"), "{cookie}");
    assert!(!cookie.contains(&query(&url, "state").unwrap()), "what is in the cookie can be read");
}

#[tokio::test]
async fn whoever_signs_in_first_gets_an_account_and_later_the_same() {
    let (provider, edge) = setup(&[]).await;
    let first = sign_in(&edge, &provider, "corp", "ann").await;
    let ann = me(&edge, &first).await;
    assert_eq!(
        (&ann["email"], &ann["name"], &ann["amr"]),
        (&json!("ann@example.com"), &json!("ann"), &json!(["oidc"]))
    );
    assert!(set_cookie(&first, "__Host-nest_oidc").ends_with('='), "the attempt is over");
    let own = "select count(*) from memberships join orgs on orgs.id = org_id join users on users.id = user_id
        where email = 'ann@example.com' and personal and role = 'owner'";
    assert_eq!(count(&edge, own, &[]).await, 1);
    assert_eq!(entries(&edge, "auth.signed_up").await, 1);

    // The name at the provider is the identity, and not the address.
    let renamed = OidcAccount::verified("ann", "ann@new.example");
    provider.add_account(&renamed).await;
    provider.rotate_keys().await;
    let again = me(&edge, &sign_in(&edge, &provider, "corp", "ann").await).await;
    assert_eq!((&again["id"], &again["email"]), (&ann["id"], &ann["email"]));
    assert_ne!(again["session_id"], ann["session_id"]);
    let logins = "select count(*) from audit_log where action = 'auth.login' and actor_id = $1";
    assert_eq!(count(&edge, logins, &[&ann["id"].as_str().unwrap()]).await, 2);
    assert_eq!((entries(&edge, "auth.signed_up").await, entries(&edge, "auth.identity_linked").await), (1, 0));
}

#[tokio::test]
async fn tokens_are_verified_by_each_algorithm_and_the_secret_is_told_either_way() {
    let provider = provider("rs256").await;
    let mut entries = Vec::new();
    for (algorithm, method) in
        [("RS256", "client_secret_basic"), ("ES256", "client_secret_post"), ("EdDSA", "client_secret_basic")]
    {
        let id = algorithm.to_lowercase();
        let mut client = ClientSpec::new(&id, CLIENT_SECRET, &callback_url(&id));
        client.id_token_signed_response_alg = algorithm.to_owned();
        client.token_endpoint_auth_method = method.to_owned();
        provider.add_client(&client).await;
        let mut entry = entry(&provider, &id);
        entry["token_auth"] = json!(method);
        entries.push(entry);
    }
    let edge = edge(&entries, &[]).await;
    for id in ["rs256", "es256", "eddsa"] {
        let ann = me(&edge, &sign_in(&edge, &provider, id, "ann").await).await;
        assert_eq!(ann["email"], "ann@example.com", "{id}");
    }
    assert_eq!(count(&edge, "select count(*) from users where not operator", &[]).await, 1);
}

#[tokio::test]
async fn arrivals_at_the_same_moment_make_one_account() {
    const PERSONAL: &str = "memberships join orgs on orgs.id = org_id join users on users.id = user_id
        where personal and not operator";
    let (provider, edge) = setup(&[]).await;
    let mut begun = Vec::new();
    for _ in 0..8 {
        let attempt = begin(&edge, "corp").await;
        begun.push((provider.authorize(attempt.url.as_str(), "ann").await, attempt.cookie));
    }
    let answers = begun.iter().map(|(back, cookie)| come_back(&edge, back, cookie));
    for answer in futures_util::future::join_all(answers).await {
        me(&edge, &answer).await;
    }
    for table in ["users where not operator", "identities", PERSONAL] {
        assert_eq!(count(&edge, &format!("select count(*) from {table}"), &[]).await, 1, "{table}");
    }
    assert_eq!(entries(&edge, "auth.signed_up").await, 1);
}
