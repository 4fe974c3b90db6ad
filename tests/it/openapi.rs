//! `openapi.json`: what every host serves is what the routes say of themselves.

use crate::NEST;
use nest_tests::{Answer, TestEdge, lasting, program::Nest, python};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

const FILE: &str = include_str!("../../edge/public/openapi.json");

/// Writes that say everything in their path.
const WITHOUT_BODY: &[&str] = &[
    "postAdminOrgsByOrganisationRestore",
    "postAdminUsersByUserRestore",
    "postAuthLogout",
    "postAuthMfaPasskeysOptions",
    "postAuthMfaRecoveryCodes",
    "postAuthMfaTotp",
    "postBillingPortal",
];

/// Answers whose status says it all.
const WITHOUT_ANSWER: &[&str] = &["postAuthRevoke"];

fn document() -> Value {
    serde_json::from_str(&edge_core::document::json()).unwrap()
}

/// Every operation, with its method.
fn operations(document: &Value) -> Vec<(&str, &Map<String, Value>)> {
    let paths = document["paths"].as_object().unwrap().values();
    let operations = paths.flat_map(|it| it.as_object().unwrap().iter());
    operations.map(|(method, it)| (method.as_str(), it.as_object().unwrap())).collect()
}

#[test]
fn the_file_is_what_the_routes_say() {
    assert!(edge_core::document::json() == FILE, "edge/public/openapi.json is out of date: run `cargo xtask openapi`");
}

#[tokio::test]
async fn every_host_serves_the_file_and_nest_prints_it() {
    let edge = TestEdge::start(&[]).await;
    let served = Answer::read(edge.get("/openapi.json").send().await.unwrap()).await;
    assert_eq!((served.status.as_u16(), served.header("content-type")), (200, "application/json"));
    assert!(served.text() == FILE, "the host serves another file than edge/public/openapi.json");
    let printed = Nest::new(NEST, &lasting::folder("openapi"), "openapi").run().await;
    assert!(printed.ok() == edge_core::document::json(), "{printed:?}");
}

#[test]
fn every_route_is_an_operation_of_its_own() {
    let document = document();
    let operations = operations(&document);
    assert_eq!(operations.len(), edge_core::routes().len(), "two routes have one path and method");
    let ids: BTreeSet<_> = operations.iter().map(|(_, it)| it["operationId"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), operations.len(), "two operations have one name");
}

#[test]
fn every_operation_says_what_it_takes_and_gives() {
    for (method, operation) in operations(&document()) {
        let id = operation["operationId"].as_str().unwrap();
        let answers = operation["responses"].as_object().unwrap();
        let told = |it: &String| it.starts_with('2') || it.starts_with('3');
        assert!(answers.keys().any(told), "{id} does not say what it gives: .gives::<T>() on its route");
        let takes = operation.contains_key("requestBody") || WITHOUT_BODY.contains(&id);
        let writes = ["post", "put", "patch"].contains(&method);
        assert!(!writes || takes, "{id} does not say what it takes: .takes::<T>() on its route");
        let says = |status: &str| status.starts_with("20") && status != "204" && !WITHOUT_ANSWER.contains(&id);
        for (status, answer) in answers.iter().filter(|(status, _)| says(status)) {
            let content = answer["content"].as_object().unwrap_or_else(|| panic!("{id} {status} has no body"));
            assert!(content.values().all(|it| it["schema"].is_object()), "{id} {status}");
        }
        for failed in ["4XX", "5XX"] {
            let shape = if id.contains("V1") { "OpenAiError" } else { "Problem" };
            let expected = format!("#/components/responses/{shape}");
            assert_eq!(answers[failed]["$ref"], *expected, "{id} {failed}");
        }
        let summary = operation["summary"].as_str().unwrap();
        assert!(summary.ends_with('.') && summary.len() > 10, "{id}: {summary}");
    }
}

/// What a route needs, its operation demands.
#[test]
fn every_operation_says_who_may_use_it() {
    let document = document();
    let schemes = document["components"]["securitySchemes"].as_object().unwrap();
    for route in edge_core::routes() {
        let prefix = if route.prefixed { "/api/v1" } else { "" };
        let path = format!("{prefix}{}", route.path.replace("{*", "{"));
        let operation = &document["paths"][&path][route.method.as_str().to_lowercase()];
        let security = operation["security"].as_array().unwrap_or_else(|| panic!("{path} has no operation"));
        assert_eq!(security.is_empty(), route.access.principal == edge_core::Principal::Anyone, "{path}");
        for name in security.iter().flat_map(|it| it.as_object().unwrap().keys()) {
            assert!(schemes.contains_key(name), "{path}: {name}");
        }
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        for name in path.split('/').filter_map(|it| it.strip_prefix('{')?.strip_suffix('}')) {
            assert!(parameters.iter().any(|it| it["name"] == name && it["in"] == "path"), "{path}: {name}");
        }
    }
}

#[tokio::test]
async fn the_document_is_valid_openapi() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../edge/public/openapi.json");
    let told = python::script("openapi.py").env("OPENAPI", file).run().await;
    assert_eq!(told, "valid\n");
}

/// The descriptions are a feature of the core, and hosts that are deployed as WebAssembly do not ask for it.
#[test]
fn no_deployed_edge_carries_the_descriptions() {
    let manifest = |path: &str| std::fs::read_to_string(format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    for host in ["cloudflare", "spin", "postgres"] {
        assert!(!manifest(&format!("edge/{host}/Cargo.toml")).contains("openapi"), "{host} turns the feature on");
    }
    let core: toml::Table = toml::from_str(&manifest("edge/core/Cargo.toml")).unwrap();
    assert!(core["features"].get("default").is_none(), "a feature of the core is on unless turned off");
    let workspace: toml::Table = toml::from_str(&manifest("Cargo.toml")).unwrap();
    let core = &workspace["workspace"]["dependencies"]["edge-core"];
    assert!(core.get("features").is_none(), "everybody who names the core gets a feature: {core}");
}
