//! Clients that others wrote: openid-client and oauth4webapi in Node, Authlib in Python.

use nest_tests::{
    Gate, Script, TestEdge,
    edge::{OPERATOR, PASSWORD},
    npm, python,
};

/// An edge at an address that it knows as its own, whichever host it runs on.
async fn edge_with_an_address() -> (Gate, TestEdge) {
    let gate = Gate::listen().await;
    let edge = TestEdge::start(&[("PUBLIC_URL", &gate.url())]).await;
    gate.lead_to(edge.url.strip_prefix("http://").unwrap().parse().unwrap());
    (gate, edge)
}

async fn run(script: Script) {
    let (gate, edge) = edge_with_an_address().await;
    let org = edge.log_in(OPERATOR).await.org_id;
    let client = edge.oauth_client(Some(org), "keys:read usage:read").await;
    let platform = edge.oauth_client(None, "").await;
    let mut script = script.env("ISSUER", &gate.url()).env("USERNAME", OPERATOR).env("PASSWORD", PASSWORD);
    for (name, client) in [("CLIENT", client), ("PLATFORM", platform)] {
        script = script.env(&format!("{name}_ID"), &client.id.to_string());
        script = script.env(&format!("{name}_SECRET"), &client.secret);
    }
    assert_eq!(script.run().await, "ok\n");
}

/// Checklist 34 and 36.
#[tokio::test]
async fn openid_client_works_as_it_is() {
    run(npm::script("oauth_openid_client.mjs")).await;
}

/// Checklist 34 and 36.
#[tokio::test]
async fn oauth4webapi_works_as_it_is() {
    run(npm::script("oauth_oauth4webapi.mjs")).await;
}

/// Checklist 36.
#[tokio::test]
async fn authlib_works_as_it_is() {
    run(python::script("oauth.py")).await;
}
