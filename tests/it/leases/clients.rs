//! Official clients, unchanged, at their limits. Checklist 66.

use crate::limits::Limited;
use edge_core::limits::Quota;
use embedded::groq::Fault;
use nest_tests::{Script, npm, python};

/// One at a time, of which the first falls silent after its first event.
async fn occupied() -> (Limited, nest_tests::IssuedKey) {
    let limited = Limited::start(&[]).await;
    let quota = Quota { concurrent: Some(1), tokens_per_minute: Some(50_000), ..Quota::default() };
    let key = limited.key(quota).await;
    limited.groq.fail_next(1, Fault::StallAfter { events: 1 });
    (limited, key)
}

#[tokio::test]
async fn the_python_client_waits_as_it_is_told_and_gives_up_where_waiting_helps_nobody() {
    stands(|url, key| python::openai("limits.py", url, key)).await;
}

#[tokio::test]
async fn the_javascript_client_waits_as_it_is_told_and_gives_up_where_waiting_helps_nobody() {
    stands(|url, key| {
        npm::script("limits.mjs").env("OPENAI_BASE_URL", &format!("{url}/v1")).env("OPENAI_API_KEY", key)
    })
    .await;
}

async fn stands(client: impl Fn(&str, &str) -> Script) {
    let (limited, key) = occupied().await;
    assert_eq!(client(&limited.edge.url, &key.text).run().await, "ok\n");
    // One that fell silent, and one that came through: those that were refused went nowhere.
    let asked = limited.groq.requests();
    assert_eq!(asked.iter().filter(|it| it.path.ends_with("/chat/completions")).count(), 2);
}
