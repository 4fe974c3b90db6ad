//! Official clients, unchanged, at their limits. Checklist 66.

use crate::limits::Limited;
use edge_core::limits::Quota;
use embedded::groq::Fault;
use nest_tests::{Script, npm, python};

/// One at a time, of which the first falls silent after its first event.
async fn occupied() -> (Limited, nest_tests::IssuedKey) {
    // A place is free as soon as its client has left: nothing of the silent answer is waited for.
    let limited = Limited::start(&[("DRAIN_MS", "0")]).await;
    let quota = Quota { concurrent: Some(1), tokens_per_minute: Some(50_000), ..Quota::default() };
    let key = limited.key(quota).await;
    limited.groq.fail_next(1, Fault::StallAfter { events: 1 });
    (limited, key)
}

#[tokio::test]
async fn the_python_clients_wait_as_they_are_told_and_give_up_where_waiting_helps_nobody() {
    for library in ["openai", "groq", "anthropic"] {
        stands(python::script("limits.py"), library).await;
    }
}

#[tokio::test]
async fn the_javascript_clients_wait_as_they_are_told_and_give_up_where_waiting_helps_nobody() {
    for library in ["openai", "groq", "anthropic"] {
        stands(npm::script("limits.mjs"), library).await;
    }
}

/// `client` with `library`. OpenAI's takes the one place in each case.
async fn stands(client: Script, library: &str) {
    let (limited, key) = occupied().await;
    let (url, key) = (&limited.edge.url, &key.text);
    let client = client.env("LIBRARY", library).env("OPENAI_BASE_URL", &format!("{url}/v1")).env("OPENAI_API_KEY", key);
    let client = client.env("GROQ_BASE_URL", url).env("GROQ_API_KEY", key);
    let client = client.env("ANTHROPIC_BASE_URL", url).env("ANTHROPIC_AUTH_TOKEN", key);
    assert_eq!(client.run().await, "ok\n", "{library}");
    // One that fell silent, and one that came through: those that were refused went nowhere.
    let asked = limited.groq.requests();
    assert_eq!(asked.iter().filter(|it| it.path.ends_with("/chat/completions")).count(), 2, "{library}");
}
