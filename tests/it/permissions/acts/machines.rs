//! What programs and nodes do, and those who operate the service.

use super::{
    run::{Act, Run, field},
    script::bearer,
};
use axum::{Json, Router, routing::post};
use nest_tests::{
    Double, Person,
    edge::OPERATOR,
    scripted_node::{MODEL, heartbeat, registration},
};
use reqwest::Method;
use serde_json::{Value, json};
use shared::node::{CallKey, ServedModel, Task};

/// The node's other model.
const EMBEDDING: &str = "scripted-embedding";

/// Forms of OAuth 2.0: a client's token, what it is worth, and the end of a session.
pub(super) async fn forms(run: &mut Run, ada: &Person) {
    let client = run.edge.oauth_client(None, "").await;
    let own = run.edge.oauth_client(Some(ada.org_id), "keys:read").await;
    let (id, own_id) = (client.id.to_string(), own.id.to_string());
    let grant = json!({ "grant_type": "client_credentials", "client_id": own_id, "client_secret": own.secret });
    let grant = Act::new(Method::POST, "/auth/token", &[], grant).form();
    let takes = ["otp", "password", "refresh_token", "scope", "username"];
    let token = field(&run.act(None, grant.taking(&takes)).await, "access_token");
    let ask = json!({ "token": token, "client_id": id, "client_secret": client.secret });
    let ask = Act::new(Method::POST, "/auth/introspect", &[], ask).form();
    let told = run.act(None, ask.taking(&["token_type_hint"])).await;
    assert_eq!(told.json()["scope"], "keys:read", "{}", told.text());
    let second = run.edge.log_in("ada@example.com").await;
    let revoke = json!({ "token": second.refresh_token, "client_id": "nest" });
    let revoke = Act::new(Method::POST, "/auth/revoke", &[], revoke).form();
    run.act(None, revoke.taking(&["client_secret", "token_type_hint"])).await;
}

/// A node that joins and is ready, and a key's calls of its models.
pub(super) async fn models(run: &mut Run) {
    let (key, server) = (CallKey::from_seed([7; 32]), Double::serve(node()).await);
    let token = run.edge.invite(600_000).await;
    let mut joins = registration(&key, &server.url, Some(&token));
    joins.models.push(ServedModel { id: EMBEDDING.to_owned(), task: Task::Embedding, context_tokens: 512 });
    let joins = Act::new(Method::POST, "/nodes/register", &[], serde_json::to_value(&joins).unwrap()).signed(&key);
    let id = field(&run.act(None, joins).await, "node_id").parse().unwrap();
    let beats = serde_json::to_value(heartbeat(id, true)).unwrap();
    run.act(None, Act::new(Method::POST, "/nodes/heartbeat", &[], beats).signed(&key)).await;

    let caller = bearer(run.edge.key().await.text);
    let messages = json!([{ "role": "user", "content": "Hello" }]);
    for (path, body) in [
        ("/v1/chat/completions", json!({ "model": MODEL, "messages": messages })),
        ("/v1/completions", json!({ "model": MODEL, "prompt": "Hello" })),
        ("/v1/embeddings", json!({ "model": EMBEDDING, "input": "Hello" })),
    ] {
        run.act(Some(&caller), Act::new(Method::POST, path, &[], body).taking_what_is_documented()).await;
    }
    run.edge.usage_when(|rows| rows.len() == 3).await;
}

/// Answers every call alike.
fn node() -> Router {
    let usage = json!({ "prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4 });
    let answer = |body: Value| post(move || async move { Json(body) });
    Router::new()
        .route(
            "/v1/chat/completions",
            answer(json!({ "choices": [{ "message": { "content": "Hi" } }], "usage": usage })),
        )
        .route("/v1/completions", answer(json!({ "choices": [{ "text": "Hi" }], "usage": usage })))
        .route("/v1/embeddings", answer(json!({ "data": [{ "embedding": [1.0] }], "usage": usage })))
}

/// What operators do to a person and to their organisation, and what somebody does who leaves an outside provider.
pub(super) async fn operators(run: &mut Run) {
    let zoe = run.edge.person("zoe@example.com").await;
    leaves_a_provider(run, &zoe).await;
    let operator = run.edge.log_in(OPERATOR).await;
    let (user, org) = (zoe.user_id.to_string(), zoe.org_id.to_string());
    let sessions = run.edge.api(&operator, Method::GET, &format!("/admin/users/{user}/sessions"), Value::Null).await;
    let session = sessions.json()["data"][0]["id"].as_str().unwrap().to_owned();
    run.edge.log_in("zoe@example.com").await;
    let limits = json!({ "limits": { "concurrent": 5 } });
    let of_limits = ["requests_per_minute", "requests_per_day", "tokens_per_minute", "tokens_per_day"]
        .map(|it| format!("limits.{it}"));
    let of_limits = of_limits.each_ref().map(String::as_str);
    let (user, org) = (&[user.as_str()][..], &[org.as_str()][..]);
    let one = &[user[0], session.as_str()][..];
    let spam = || json!({ "reason": "spam" });
    let acts = [
        Act::new(Method::DELETE, "/admin/users/{user}/sessions/{session}", one, json!({})),
        Act::new(Method::DELETE, "/admin/users/{user}/sessions", user, json!({})),
        Act::new(Method::PUT, "/admin/orgs/{organisation}/limits", org, limits).taking(&of_limits),
        Act::new(Method::POST, "/admin/orgs/{organisation}/suspend", org, spam()),
        Act::new(Method::POST, "/admin/orgs/{organisation}/restore", org, json!({})),
        Act::new(Method::POST, "/admin/users/{user}/suspend", user, spam()).taking(&["personal_org"]),
        Act::new(Method::POST, "/admin/users/{user}/restore", user, json!({})),
        Act::new(Method::PUT, "/admin/users/{user}/operator", user, json!({ "operator": true })),
    ];
    for act in acts {
        run.act(Some(&operator), act).await;
    }
}

async fn leaves_a_provider(run: &mut Run, zoe: &Person) {
    let link = "
        insert into identities (provider, subject, user_id, email, created_at)
        values ('corp', 'zoe', $1::text::uuid, 'zoe@example.com', now())";
    run.edge.db.connect().await.execute(link, &[&zoe.user_id.uuid().to_string()]).await.unwrap();
    run.act(Some(zoe), Act::new(Method::DELETE, "/auth/identities/{provider}", &["corp"], json!({}))).await;
}
