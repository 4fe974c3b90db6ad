//! Two edges that lose the store of counters and the database while they serve.

use super::{WORD_NANOS, words_priced};
use crate::upstream::{count_to, streamed};
use edge_core::billing::audit::audit;
use embedded::groq::{API_KEY, FakeGroq, Fault, Outcome};
use futures_util::{StreamExt as _, future::join_all};
use nest_tests::{FakeUpstash, IssuedKey, Kind, PATIENCE, PrivateDb, TestEdge, usage::assert_rolled_up};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::{sleep, timeout};

/// Callers of each edge.
const CALLERS: usize = 6;

/// Calls one edge until `over`. Every fourth stream is left after its first bytes.
async fn load(edge: &TestEdge, key: &IssuedKey, numbers: &AtomicUsize, over: &AtomicBool) {
    while !over.load(Ordering::SeqCst) {
        let number = numbers.fetch_add(1, Ordering::SeqCst);
        let words = 1 + number % 30;
        let body = if number.is_multiple_of(3) { count_to(words) } else { streamed(&count_to(words)) };
        let request = edge.post("/v1/chat/completions").bearer_auth(&key.text).json(&body);
        let response = timeout(PATIENCE, request.send()).await.expect("nobody waits for what is away").unwrap();
        if response.status() != 200 {
            // Nothing was asked of the upstream: the money could not be leased.
            assert_eq!(response.status(), 503);
            sleep(Duration::from_millis(20)).await;
        } else if number % 4 == 2 {
            drop(response.bytes_stream().next().await);
        } else {
            response.bytes().await.unwrap();
        }
    }
}

/// Words that the upstream has served, by its own record.
fn served(groq: &FakeGroq) -> (usize, i64) {
    let calls = groq.requests().into_iter().filter(|it| it.path.ends_with("/chat/completions"));
    let words = calls.map(|seen| {
        assert_eq!(seen.outcome, Outcome::Finished, "{:?}", seen.body);
        let asked = seen.body["messages"][0]["content"].as_str().unwrap();
        asked.strip_prefix("Count to ").unwrap().parse::<i64>().unwrap()
    });
    words.fold((0, 0), |(calls, sum), words| (calls + 1, sum + words))
}

/// Checklist 86: what is charged is what the upstream served, to the last word.
#[tokio::test]
async fn what_is_charged_is_what_was_served_whatever_was_away() {
    let mut private = PrivateDb::start().await;
    let (upstash, groq) = (FakeUpstash::start().await, FakeGroq::start(([127, 0, 0, 1], 0).into()).await.unwrap());
    let url = groq.url();
    let upstream = [("OPENAI_BASE_URL", url.as_str()), ("GROQ_API_KEY", API_KEY)];
    let settings = [&upstream, &upstash.settings()[..]].concat();
    let edges = [TestEdge::on(&private.db, &settings).await, TestEdge::on(&private.db, &settings).await];
    let edges = Arc::new(edges);
    let key = Arc::new(edges[0].key().await);
    let org = words_priced(&edges[0]).await;
    groq.set_fault(Fault::Gap { ms: 3 });
    let (numbers, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let callers: Vec<_> = (0..2 * CALLERS)
        .map(|caller| {
            let (edges, key, numbers, over) = (edges.clone(), key.clone(), numbers.clone(), over.clone());
            tokio::spawn(async move { load(&edges[caller % 2], &key, &numbers, &over).await })
        })
        .collect();
    sleep(Duration::from_millis(800)).await;
    upstash.close().await;
    sleep(Duration::from_millis(500)).await;
    private.stop().await;
    sleep(Duration::from_millis(1_500)).await;
    private.start_again().await;
    sleep(Duration::from_millis(1_200)).await;
    upstash.open().await;
    sleep(Duration::from_millis(800)).await;
    over.store(true, Ordering::SeqCst);
    for caller in join_all(callers).await {
        caller.unwrap();
    }
    timeout(PATIENCE, groq.until(|seen| seen.iter().all(|it| it.outcome != Outcome::Open))).await.unwrap();
    let (calls, words) = served(&groq);
    // Where nothing is remembered, nothing is served while the database is away.
    let least = if Kind::chosen() == Kind::Spin { 5 } else { 50 };
    assert!(calls > least, "{calls} calls were served");
    let rows = edges[0].usage_when(|rows| rows.iter().filter(|it| it.upstream.is_some()).count() >= calls).await;
    assert_eq!(rows.iter().filter(|it| it.upstream.is_some()).count(), calls, "one row for each");
    assert!(rows.iter().any(|row| row.outcome == "client_left"));
    assert_eq!(edges[0].wallet(org).await.revenue_nanos, words * WORD_NANOS, "{calls} calls");
    assert_rolled_up(&private.db.connect().await).await;
    let audited = audit(&edges[0].store()).await.unwrap();
    assert!(audited.findings.is_empty() && audited.entries > 0, "{audited:?}");
    for edge in Arc::into_inner(edges).expect("the callers have ended") {
        edge.stop().await;
    }
    private.stop().await;
}
