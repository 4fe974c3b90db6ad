//! What people do: accounts, sessions, organisations, roles, members and keys.

use super::{
    extras::Extras,
    factors::second_factors,
    machines::{forms, models, operators},
    money::money,
    run::{Act, Run, field},
};
use fake_stripe::FakeStripe;
use nest_tests::{edge::PASSWORD, person::Person};
use reqwest::Method;
use serde_json::{Value, json};
use shared::id::{OrgId, UserId};

/// Authenticators make passkeys for secure pages alone.
pub(super) const ORIGIN: &str = "https://console.nest.example";

/// A second password.
const ANOTHER: &str = "a stapled lantern behind the moon";

/// What a key may be made with beside what is said of it here, and what it may be changed to.
const OF_A_NEW_KEY: &[&str] = &[
    "environment",
    "scopes",
    "models",
    "ip_allow",
    "expires_at",
    "limits.requests_per_minute",
    "limits.requests_per_day",
    "limits.tokens_per_minute",
    "limits.tokens_per_day",
];
const OF_A_KEY: &[&str] = &[
    "disabled",
    "models",
    "ip_allow",
    "expires_at",
    "limits.requests_per_minute",
    "limits.requests_per_day",
    "limits.tokens_per_minute",
    "limits.tokens_per_day",
];

/// Everything once, on an edge of its own.
pub(super) async fn script(extras: Extras) -> Run {
    let stripe = FakeStripe::start().await;
    let mut run = Run::start(&[&stripe.settings()[..], &[("PUBLIC_URL", ORIGIN)]].concat(), extras).await;
    let ada = run.edge.person("ada@example.com").await;
    let bob = run.edge.person("bob@example.com").await;
    accounts(&mut run).await;
    sessions(&mut run).await;
    let org =
        field(&run.act(Some(&ada), Act::new(Method::POST, "/orgs", &[], json!({ "name": "Engines" }))).await, "id");
    let org = org.as_str();
    let name = json!({ "name": "Analytical Engines" });
    run.act(Some(&ada), Act::new(Method::PATCH, "/orgs/{org}", &[org], name)).await;
    invitations(&mut run, &ada, &bob, org).await;
    roles(&mut run, &ada, org).await;
    members(&mut run, &ada, &bob, org).await;
    keys(&mut run, &ada).await;
    second_factors(&mut run).await;
    forms(&mut run, &ada).await;
    models(&mut run).await;
    operators(&mut run).await;
    money(&mut run, &stripe).await;
    run.act(Some(&ada), Act::new(Method::DELETE, "/orgs/{org}", &[org], json!({}))).await;
    run
}

/// An account from its sign-up, with its password and address changed, and asked for again.
async fn accounts(run: &mut Run) {
    let (old, new) = ("kim@example.com", "kim@example.org");
    let strength = Act::new(Method::POST, "/auth/password/strength", &[], json!({ "password": PASSWORD }));
    run.act(None, strength.taking(&["email", "name"])).await;
    let signup = json!({ "email": old, "password": PASSWORD });
    run.act(None, Act::new(Method::POST, "/auth/signup", &[], signup).taking(&["name"])).await;
    let token = async |run: &Run, address: &str| json!({ "token": run.edge.last_mail(address).await.token() });
    let proof = token(run, old).await;
    run.act(None, Act::new(Method::POST, "/auth/verify", &[], proof)).await;
    run.act(None, Act::new(Method::POST, "/auth/password/forgot", &[], json!({ "email": old }))).await;
    let mut reset = token(run, old).await;
    reset["password"] = json!(ANOTHER);
    let reset = Act::new(Method::POST, "/auth/password/reset", &[], reset).taking(&["revoke_api_keys"]);
    run.act(None, reset).await;
    let login = json!({ "email": old, "password": ANOTHER });
    let login = Act::new(Method::POST, "/auth/login", &[], login).taking(&["cookie", "device_token"]);
    let kim = bearer(field(&run.act(None, login).await, "access_token"));
    let change = json!({ "current_password": ANOTHER, "new_password": PASSWORD });
    run.act(Some(&kim), Act::new(Method::POST, "/auth/password/change", &[], change)).await;
    run.act(Some(&kim), Act::new(Method::PATCH, "/me", &[], json!({ "name": "Kim" }))).await;
    run.act(Some(&kim), Act::new(Method::POST, "/me/email", &[], json!({ "email": new }))).await;
    let proof = token(run, new).await;
    run.act(None, Act::new(Method::POST, "/auth/verify", &[], proof)).await;
}

/// Someone of whom only the access token matters.
pub(super) fn bearer(access_token: String) -> Person {
    Person {
        user_id: UserId::from_uuid(uuid::Uuid::nil()),
        email: String::new(),
        org_id: OrgId::from_uuid(uuid::Uuid::nil()),
        access_token,
        refresh_token: String::new(),
    }
}

/// Sessions.
async fn sessions(run: &mut Run) {
    run.edge.make_account("eve@example.com").await;
    let login = json!({ "email": "eve@example.com", "password": PASSWORD });
    let act = || Act::new(Method::POST, "/auth/login", &[], login.clone()).taking(&["cookie", "device_token"]);
    run.act(None, act()).await;
    let second = run.act(None, act()).await;
    let refresh = json!({ "refresh_token": field(&second, "refresh_token") });
    run.act(None, Act::new(Method::POST, "/auth/refresh", &[], refresh)).await;
    let eve = run.edge.log_in("eve@example.com").await;
    let sessions = run.edge.api(&eve, Method::GET, "/auth/sessions", Value::Null).await.json();
    let other = sessions["data"].as_array().unwrap().iter().find(|it| it["current"] == false).unwrap()["id"].clone();
    let other = other.as_str().unwrap();
    run.act(Some(&eve), Act::new(Method::DELETE, "/auth/sessions/{session}", &[other], json!({}))).await;
    run.act(Some(&eve), Act::new(Method::DELETE, "/auth/sessions", &[], json!({}))).await;
    let proof = Act::new(Method::POST, "/auth/reauthenticate", &[], json!({ "password": PASSWORD })).taking(&["code"]);
    let eve = bearer(field(&run.act(Some(&eve), proof).await, "access_token"));
    run.act(Some(&eve), Act::new(Method::POST, "/auth/logout", &[], json!({}))).await;
}

/// One that is taken back, one that is accepted, and one that makes an account.
async fn invitations(run: &mut Run, ada: &Person, bob: &Person, org: &str) {
    let invite = |email: &str| {
        let body = json!({ "email": email, "role": "viewer" });
        Act::new(Method::POST, "/orgs/{org}/invitations", std::slice::from_ref(&org), body)
    };
    let dropped = field(&run.act(Some(ada), invite("dropped@example.com")).await, "id");
    let path = "/orgs/{org}/invitations/{invitation}";
    run.act(Some(ada), Act::new(Method::DELETE, path, &[org, &dropped], json!({}))).await;
    run.act(Some(ada), invite("bob@example.com")).await;
    let token = json!({ "token": run.edge.invitation_token("bob@example.com").await });
    run.act(Some(bob), Act::new(Method::POST, "/invitations/accept", &[], token)).await;
    run.act(Some(ada), invite("new@example.com")).await;
    let token = run.edge.invitation_token("new@example.com").await;
    let join = json!({ "token": token, "password": PASSWORD });
    run.act(None, Act::new(Method::POST, "/invitations/join", &[], join).taking(&["name"])).await;
}

/// Roles and clients.
async fn roles(run: &mut Run, ada: &Person, org: &str) {
    let body = json!({ "name": "Looking", "permissions": ["org:read"] });
    let role =
        field(&run.act(Some(ada), Act::new(Method::POST, "/orgs/{org}/roles", &[org], body.clone())).await, "id");
    let path = "/orgs/{org}/roles/{role}";
    let rename = json!({ "name": "Watching" });
    run.act(Some(ada), Act::new(Method::PATCH, path, &[org, &role], rename).taking(&["permissions"])).await;
    run.act(Some(ada), Act::new(Method::DELETE, path, &[org, &role], json!({}))).await;
    let made = run.act(Some(ada), Act::new(Method::POST, "/orgs/{org}/clients", &[org], body)).await;
    let client = field(&made, "client_id");
    run.act(Some(ada), Act::new(Method::DELETE, "/orgs/{org}/clients/{client}", &[org, &client], json!({}))).await;
}

/// A key of one's own organisation.
async fn keys(run: &mut Run, ada: &Person) {
    let body = json!({ "name": "ci", "limits": { "concurrent": 9 }, "spend": { "cap_usd": "5", "period": "day" } });
    let create = Act::new(Method::POST, "/keys", &[], body).taking(OF_A_NEW_KEY);
    let key = field(&run.act(Some(ada), create).await, "id");
    let body = json!({ "name": "deploy", "limits": { "concurrent": 8 }, "spend": { "cap_usd": "6", "period": "day" } });
    let key = &[key.as_str()][..];
    run.act(Some(ada), Act::new(Method::PATCH, "/keys/{key}", key, body).taking(OF_A_KEY)).await;
    run.act(Some(ada), Act::new(Method::POST, "/keys/{key}/rotate", key, json!({ "overlap_seconds": 60 }))).await;
    run.act(Some(ada), Act::new(Method::DELETE, "/keys/{key}", key, json!({}))).await;
}

async fn members(run: &mut Run, ada: &Person, bob: &Person, org: &str) {
    let path = "/orgs/{org}/members/{user}";
    let bob = bob.user_id.to_string();
    run.act(Some(ada), Act::new(Method::PATCH, path, &[org, &bob], json!({ "role": "member" }))).await;
    let spend = json!({ "spend": { "cap_usd": "5", "period": "month" } });
    run.act(Some(ada), Act::new(Method::PUT, "/orgs/{org}/members/{user}/spend", &[org, &bob], spend.clone())).await;
    run.act(Some(ada), Act::new(Method::PUT, "/billing/spend", &[], spend)).await;
    run.act(Some(ada), Act::new(Method::DELETE, path, &[org, &bob], json!({}))).await;
}
