//! Who gets to the operators' routes, and what these routes never do.

use super::{act, ask, me, operated, refused, suspend};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use edge_core::{Principal, Route};
use nest_tests::{Answer, TestEdge, edge::OPERATOR, person::Person};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

/// The operators' routes.
fn routes() -> Vec<Route> {
    edge_core::routes().into_iter().filter(|it| it.path.starts_with("/admin")).collect()
}

/// A route's path for `person` and their organisation, below `/api/v1/admin`.
fn path(route: &Route, person: &Person) -> String {
    let path = route.path.strip_prefix("/admin").unwrap().replace("{user}", &person.user_id.to_string());
    let path = path.replace("{organisation}", &person.org_id.to_string());
    path.replace("{session}", &session_id(person))
}

/// Which session an access token is of.
fn session_id(person: &Person) -> String {
    let claims = person.access_token.split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    claims["sid"].as_str().unwrap().to_owned()
}

/// A body that the route would take.
fn body(route: &Route) -> Option<Value> {
    match route.path.rsplit('/').next().unwrap() {
        "suspend" => Some(json!({ "reason": "spam" })),
        "operator" => Some(json!({ "operator": true })),
        "limits" if route.method == Method::PUT => Some(json!({ "limits": {} })),
        "credit" => Some(json!({ "usd": "5" })),
        "prices" if route.method == Method::POST => {
            Some(json!({ "data": [{ "model": "m", "price": { "input": "0.5", "output": "0.5" } }] }))
        }
        "plans" if route.method == Method::PUT => {
            Some(json!({ "plans": [{ "id": "pro", "name": "Pro", "price_cents": 2_000, "monthly_credit_usd": "25" }] }))
        }
        _ => None,
    }
}

async fn acts(edge: &TestEdge) -> i64 {
    let count = "select count(*) from audit_log where action like 'admin.%'";
    edge.db.connect().await.query_one(count, &[]).await.unwrap().get(0)
}

/// Checklists 57, 109: also not the owner of the organisation in question, nor about oneself.
#[tokio::test]
async fn nobody_but_operators_gets_to_what_operators_do() {
    let (edge, operator) = operated().await;
    let owner = edge.person("owner@example.com").await;
    let key = edge.key().await;
    for route in routes() {
        assert!(route.prefixed && route.access.principal == Principal::Operator, "{}", route.path);
        let (path, body) = (path(&route, &owner), body(&route));
        let by_owner = refused(&edge, &owner, route.method.clone(), &path, body.clone()).await;
        assert_eq!(by_owner, (403, "operator_required".to_owned()), "{path}");
        for (token, code) in [
            (None, "missing_token"),
            (Some(&key.text), "invalid_token"),
            (Some(&operator.refresh_token), "invalid_token"),
        ] {
            let request = edge.request(route.method.clone(), &format!("/api/v1/admin{path}"));
            let request = token.into_iter().fold(request, RequestBuilder::bearer_auth);
            let request = body.iter().fold(request, RequestBuilder::json);
            let answer = Answer::read(request.send().await.unwrap()).await;
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (401, code), "{path}");
        }
    }
    assert_eq!(acts(&edge).await, 0, "what is refused leaves nothing");
    assert_eq!(me(&edge, &owner).await, "200");
}

/// Checklists 33, 57: an operator's right ends with their session, and a session that was narrowed never had it.
#[tokio::test]
async fn an_operator_who_is_suspended_or_narrowed_is_none() {
    let (edge, operator) = operated().await;
    let second = edge.person("second@example.com").await;
    let grant = format!("/users/{}/operator", second.user_id);
    act(&edge, &operator, Method::PUT, &grant, Some(json!({ "operator": true }))).await;
    let second = edge.log_in("second@example.com").await;
    let db = edge.db.connect().await;
    let narrow = "update sessions set scope = $1 where user_id = $2::text::uuid and ended_at is null";
    let uuid = second.user_id.uuid().to_string();
    for (scope, expected) in [("usage:read", (403, "insufficient_scope")), ("all", (200, ""))] {
        assert_eq!(db.execute(narrow, &[&scope, &uuid]).await.unwrap(), 1);
        let answer = ask(&edge, &second, Method::GET, "/users", None).await;
        let code = if answer.status == 200 { String::new() } else { answer.code() };
        assert_eq!((answer.status.as_u16(), code.as_str()), expected);
    }
    suspend(&edge, &operator, second.user_id).await;
    for route in routes() {
        let answer = refused(&edge, &second, route.method.clone(), &path(&route, &second), body(&route)).await;
        assert_eq!(answer, (401, "session_ended".to_owned()), "{}", route.path);
    }
}

/// What gives or takes rights needs a proof of the last five minutes; looking, and ending sessions, does not.
#[tokio::test]
async fn what_gives_or_takes_rights_needs_a_fresh_proof() {
    let (edge, operator) = operated().await;
    let person = edge.person("ada@example.com").await;
    edge.advance_ms(300_001);
    let mut fresh = Vec::new();
    for route in routes() {
        let answer = ask(&edge, &operator, route.method.clone(), &path(&route, &person), body(&route)).await;
        if answer.status == StatusCode::FORBIDDEN {
            assert_eq!(answer.code(), "reauthentication_required", "{}", route.path);
            fresh.push(route.path);
        }
        assert_eq!(route.access.fresh, answer.status == StatusCode::FORBIDDEN, "{}", route.path);
    }
    let expected = [
        "/admin/orgs/{organisation}/credit",
        "/admin/prices",
        "/admin/plans",
        "/admin/users/{user}/suspend",
        "/admin/users/{user}/restore",
        "/admin/users/{user}/operator",
        "/admin/orgs/{organisation}/suspend",
        "/admin/orgs/{organisation}/restore",
        "/admin/orgs/{organisation}/limits",
    ];
    assert_eq!(fresh, expected);
}

/// Impersonation, never: there are these routes and no others, and none of them answers with anything that logs in.
/// Whoever adds a route to the list says by it that it acts in the operator's own name alone.
#[tokio::test]
async fn no_operator_acts_as_somebody_else() {
    let listed: Vec<String> = routes().iter().map(|it| format!("{} {}", it.method, it.path)).collect();
    assert_eq!(
        listed,
        [
            "POST /admin/orgs/{organisation}/credit",
            "GET /admin/prices",
            "POST /admin/prices",
            "GET /admin/plans",
            "PUT /admin/plans",
            "GET /admin/users",
            "GET /admin/users/{user}",
            "POST /admin/users/{user}/suspend",
            "POST /admin/users/{user}/restore",
            "PUT /admin/users/{user}/operator",
            "GET /admin/users/{user}/sessions",
            "DELETE /admin/users/{user}/sessions",
            "DELETE /admin/users/{user}/sessions/{session}",
            "GET /admin/orgs",
            "GET /admin/orgs/{organisation}",
            "POST /admin/orgs/{organisation}/suspend",
            "POST /admin/orgs/{organisation}/restore",
            "GET /admin/orgs/{organisation}/limits",
            "PUT /admin/orgs/{organisation}/limits",
            "GET /admin/audit",
            "GET /admin/audit/status",
        ]
    );
    let (edge, operator) = operated().await;
    let person = edge.person("ada@example.com").await;
    let db = edge.db.connect().await;
    let live = "select count(*) from sessions where ended_at is null";
    let before: i64 = db.query_one(live, &[]).await.unwrap().get(0);
    for route in routes() {
        let answer = ask(&edge, &operator, route.method.clone(), &path(&route, &person), body(&route)).await;
        let expected = match route.path.rsplit('/').next().unwrap() {
            // The person's session is ended by then: by their suspension.
            "{session}" => 404,
            _ if route.method == Method::GET => 200,
            "credit" => 200,
            "prices" => 201,
            _ => 204,
        };
        assert_eq!(answer.status, expected, "{}: {}", route.path, answer.text());
        assert!(answer.headers.get("set-cookie").is_none(), "{}", route.path);
        for secret in ["nest_refresh_", "nest_session_", "eyJ", "token\":", "$argon2", "secret", "_hash"] {
            assert!(!answer.text().contains(secret), "{secret} in {}: {}", route.path, answer.text());
        }
    }
    let after: i64 = db.query_one(live, &[]).await.unwrap().get(0);
    assert!(after < before, "no route opens a session");
    let answer = Answer::read(edge.by(&operator, Method::GET, "/api/v1/me").send().await.unwrap()).await;
    assert_eq!(answer.json()["email"], OPERATOR, "the operator is who they were");
}

/// Checklist 109: what everyone may ask tells that the edge answers, and nothing else.
#[tokio::test]
async fn public_health_tells_no_version() {
    let edge = TestEdge::start(&[]).await;
    for (path, status) in [("/v1/endpoints/health", "healthy"), ("/healthz", "alive"), ("/readyz", "ready")] {
        let answer = Answer::read(edge.get(path).send().await.unwrap()).await;
        assert_eq!(answer.json(), json!({ "status": status }), "{path}");
        for name in ["server", "x-powered-by", "via"] {
            let told = answer.header(name);
            assert!(!told.chars().any(|it| it.is_ascii_digit()), "{path}: {name}: {told}");
        }
    }
}
