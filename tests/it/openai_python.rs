//! The official Python client, unchanged, against a served edge.

use crate::NEST;
use nest_tests::{ScriptedNode, Stack, TestEdge, double::nowhere, python};

#[tokio::test]
async fn the_official_client_works_as_it_is() {
    let stack = Stack::shared(NEST).await;
    assert_eq!(python::openai("client.py", &stack.edge.url, &stack.edge.key().await.text).run().await, "ok\n");
}

#[tokio::test]
async fn the_official_client_retries_an_outage_as_it_is_told_and_then_says_so() {
    let edge = TestEdge::start(&[]).await;
    let key = edge.key().await;
    let _gone = ScriptedNode::join_at(&edge, &nowhere()).await;
    let last_id = python::openai("outage.py", &edge.url, &key.text).run().await;
    // One call, and one try again.
    let rows = edge.usage_when(|rows| rows.len() == 2).await;
    let uuid = last_id.trim().strip_prefix("req_").unwrap();
    assert_eq!(rows[1].request_id.replace('-', ""), uuid);
}
