//! What an edge remembers between requests: how often the database is asked, and by how many statements it is told.
//!
//! Natively that is the process, on Workers the isolate. Spin promises nothing beyond a request, so these do not run there.

use crate::{
    keys::{admitted, refused, verdict},
    upstream::{Setup, count_to, streamed},
};
use futures_util::future::join_all;
use nest_tests::TestEdge;
use std::time::Duration;
use tokio::time::sleep;

/// The statements that look a key up.
async fn lookups(edge: &TestEdge) -> usize {
    edge.statements("where key.id =").await
}

#[tokio::test]
async fn under_load_a_revocation_counts_after_one_refresh() {
    let edge = TestEdge::start(&[("KEY_CACHE_MS", "5000")]).await;
    let key = edge.key().await;
    assert_eq!(verdict(&edge, &key).await, admitted());
    edge.revoke(&key).await;
    // An ageing entry still admits, and is read anew behind the answer.
    edge.advance_ms(1_000);
    assert_eq!(verdict(&edge, &key).await, admitted());
    for _ in 0..1_000 {
        if verdict(&edge, &key).await == refused("revoked_api_key") {
            assert_eq!(lookups(&edge).await, 2);
            return;
        }
    }
    panic!("the refresh never reached the cache");
}

#[tokio::test]
async fn many_calls_within_a_second_ask_the_database_once() {
    let edge = TestEdge::start(&[]).await;
    let key = edge.key().await;
    for _ in 0..20 {
        // The clock stands almost still, however slow this machine is.
        let before = edge.now();
        assert_eq!(verdict(&edge, &key).await, admitted());
        edge.advance_ms(before.since_ms(edge.now()));
    }
    assert_eq!(lookups(&edge).await, 1);
}

#[tokio::test]
async fn what_cannot_be_a_key_asks_no_database() {
    let edge = TestEdge::start(&[]).await;
    let key = edge.key().await;
    let mut wrong = key.text.clone();
    let last = wrong.pop().unwrap();
    wrong.push(if last == 'A' { 'B' } else { 'A' });
    for text in [wrong.as_str(), "sk-abc", "nest_live_", &key.text.replace("live", "test")] {
        let response = edge.get("/v1/models").bearer_auth(text).send().await.unwrap();
        assert_eq!(response.status(), 401, "{text}");
    }
    assert_eq!(edge.statements("").await, 0);
}

#[tokio::test]
async fn a_well_formed_key_with_another_secret_is_unknown() {
    let (edge, other) = (TestEdge::start(&[]).await, TestEdge::start(&[]).await);
    // The form and the checksum are right; only this edge's database has no such row.
    let foreign = other.key().await;
    assert_eq!(verdict(&edge, &foreign).await, refused("invalid_api_key"));
    assert_eq!(lookups(&edge).await, 1);
}

#[tokio::test]
async fn a_hundred_calls_at_once_make_a_hundred_rows_in_fewer_statements() {
    let setup = Setup::with(&[("DATABASE_CONNECTIONS", "4")]).await;
    let calls = (0..100).map(|number| {
        let body = if number % 2 == 0 { count_to(3) } else { streamed(&count_to(3)) };
        async move { body }
    });
    let answers = join_all(calls.map(|body| async { setup.chat(&body.await).await })).await;
    let mut ids: Vec<String> = answers.iter().map(|it| it.request_id().uuid().to_string()).collect();
    let rows = setup.edge.usage_when(|rows| rows.len() >= 100).await;
    let statements = setup.edge.statements("insert into usage").await;
    let mut recorded: Vec<String> = rows.into_iter().map(|it| it.request_id).collect();
    ids.sort_unstable();
    recorded.sort_unstable();
    assert_eq!(recorded, ids);
    assert!((1..100).contains(&statements), "{statements}");
}

/// Checklist 50's part: what watches over streams costs one look for all of a key, and none for those that end soon.
#[tokio::test]
async fn the_streams_of_a_key_share_one_look_and_short_ones_need_none() {
    let setup = Setup::with(&[]).await;
    let before = lookups(&setup.edge).await;
    join_all((0..10).map(|_| async { setup.chat(&streamed(&count_to(3))).await })).await;
    setup.edge.usage_when(|rows| rows.len() == 10).await;
    let steps = setup.groq.step();
    let streams = join_all((0..20).map(|_| async { setup.stream(&count_to(3)).await })).await;
    // A busy machine may have begun the streams when the entry was a second old, and so have read it anew.
    let begun = lookups(&setup.edge).await;
    assert!(begun <= before + 2, "{before} {begun}");
    // All look once within this time, and none twice.
    sleep(Duration::from_millis(3_500)).await;
    let looks = lookups(&setup.edge).await - begun;
    assert!((1..=2).contains(&looks), "{looks}");
    drop(steps);
    drop(streams);
}
