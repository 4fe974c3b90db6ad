//! The console's cookie, and pages that are not ours.

use nest_tests::{
    Answer, TestEdge,
    edge::{OPERATOR, PASSWORD},
};
use reqwest::{
    Method,
    header::{COOKIE, SET_COOKIE},
};
use serde_json::json;

/// What a browser tells of the page that asks, and whether it is one of ours.
const PAGES: [(&[(&str, &str)], bool); 12] = [
    (&[("sec-fetch-site", "same-origin")], true),
    (&[("origin", "https://nest.example.com")], true),
    (&[("sec-fetch-site", "same-origin"), ("origin", "https://nest.example.com")], true),
    (&[("sec-fetch-site", "cross-site")], false),
    (&[("sec-fetch-site", "same-site"), ("origin", "https://nest.example.com")], false),
    (&[("sec-fetch-site", "none")], false),
    (&[("sec-fetch-site", "")], false),
    (&[("origin", "null")], false),
    (&[("origin", "http://nest.example.com")], false),
    (&[("origin", "https://nest.example.com:8443")], false),
    (&[("origin", "https://nest.example.com.attacker.example")], false),
    (&[("origin", "https://attacker.example")], false),
];

/// Checklist 106, as far as sessions go: a cookie acts for its own pages alone, and only where something is changed
/// must it be known which page asks.
#[tokio::test]
async fn a_cookie_acts_for_our_own_pages_alone() {
    let edge = TestEdge::start(&[("PUBLIC_URL", "https://nest.example.com")]).await;
    let body = json!({ "email": OPERATOR, "password": PASSWORD, "cookie": true });
    let answer = edge.post("/api/v1/auth/login").json(&body).send().await.unwrap();
    let set = answer.headers()[SET_COOKIE].to_str().unwrap().to_owned();
    let (cookie, flags) = set.split_once(';').unwrap();
    assert_eq!(flags, " Path=/; Secure; HttpOnly; SameSite=Strict");
    assert!(cookie.starts_with("__Host-nest_session=nest_session_"));
    let ask = async |method: Method, headers: &[(&str, &str)]| {
        let request = edge.request(method, if headers.is_empty() { "/api/v1/me" } else { "/api/v1/auth/sessions" });
        let request = headers.iter().fold(request.header(COOKIE, cookie), |it, (name, value)| it.header(*name, *value));
        Answer::read(request.send().await.unwrap()).await
    };
    assert_eq!(ask(Method::GET, &[]).await.status, 200);
    for (headers, ours) in PAGES {
        assert_eq!(ask(Method::GET, headers).await.status, 200, "{headers:?}");
        let changed = ask(Method::DELETE, headers).await;
        let expected = if ours { 204 } else { 403 };
        assert_eq!(changed.status, expected, "{headers:?}");
        assert!(ours || changed.code() == "foreign_origin", "{headers:?}");
    }
    let silent = edge.request(Method::DELETE, "/api/v1/auth/sessions").header(COOKIE, cookie).send().await.unwrap();
    assert_eq!(silent.status(), 403, "a request that does not tell is not one of our pages'");
    // Others' cookies beside it do not matter, nor how they are written.
    for other in [format!("a=b; {cookie}"), format!("{cookie}; =; x"), format!(";;{cookie}")] {
        let me = edge.get("/api/v1/me").header(COOKIE, &other).send().await.unwrap();
        assert_eq!(me.status(), 200, "{other}");
    }
    for wrong in ["__Host-nest_session=", "__Host-nest_session=x", "nest_session=x", &cookie.replace("__Host-", "")] {
        let me = edge.get("/api/v1/me").header(COOKIE, wrong).send().await.unwrap();
        assert_eq!(me.status(), 401, "{wrong}");
    }
}

/// Checklist 106: where no token is asked for, a page of another site must not act either: it could log its visitor in as
/// somebody else. Programs tell no origin, and are let through.
#[tokio::test]
async fn another_site_s_page_cannot_log_its_visitor_in() {
    let edge = TestEdge::start(&[("PUBLIC_URL", "https://nest.example.com")]).await;
    let body = json!({ "email": OPERATOR, "password": PASSWORD, "cookie": true });
    for (headers, ours) in PAGES {
        let request = edge.post("/api/v1/auth/login").json(&body);
        let request = headers.iter().fold(request, |it, (name, value)| it.header(*name, *value));
        let answer = Answer::read(request.send().await.unwrap()).await;
        assert_eq!(answer.status.as_u16(), if ours { 200 } else { 403 }, "{headers:?}");
        assert_eq!(answer.headers.contains_key(SET_COOKIE), ours, "{headers:?}");
    }
    // Whoever proves a right by a header needs no page: another site cannot send it.
    let person = edge.log_in(OPERATOR).await;
    let request =
        edge.by(&person, Method::DELETE, "/api/v1/auth/sessions").header("origin", "https://attacker.example");
    assert_eq!(request.send().await.unwrap().status(), 204);
}
