//! A stream ends with its key.

use super::begun;
use crate::upstream::{Setup, count_to, streamed};
use embedded::groq::{API_KEY, FakeGroq, Outcome};
use futures_util::future::{join, join3};
use nest_tests::{Answer, EventReader, PATIENCE, PrivateDb, TestEdge};
use shared::openai::error::ErrorBody;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// What is promised.
const WITHIN: Duration = Duration::from_secs(5);

/// Longer than until the second look at a key.
const TWO_LOOKS: Duration = Duration::from_millis(5_500);

/// The error event that ends the stream of a key after `ending`, and what is recorded.
async fn cut_after(ending: impl AsyncFnOnce(&Setup)) -> String {
    let setup = Setup::with(&[]).await;
    let (_steps, id, mut reader) = begun(&setup).await;
    let ended = Instant::now();
    ending(&setup).await;
    let last = timeout(PATIENCE, reader.next()).await.unwrap().expect("a word before the end");
    let took = ended.elapsed();
    assert!(took <= WITHIN, "the stream went on for {took:?}");
    assert_eq!(timeout(PATIENCE, reader.next()).await.unwrap(), None);
    timeout(PATIENCE, setup.groq.until(|seen| seen[0].outcome == Outcome::Aborted)).await.unwrap();
    let row = setup.edge.usage(id).await;
    assert_eq!((row.outcome.as_str(), row.status), ("revoked", 200));
    // The role, and three words.
    assert_eq!((row.completion_tokens, row.tokens_source.as_str()), (3, "counted"));
    let text = String::from_utf8(last).unwrap();
    let body: ErrorBody = serde_json::from_str(text.trim().strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(body.error.request_id, Some(id.to_string()));
    body.error.code.unwrap()
}

async fn change(setup: &Setup, change: &str) {
    setup.edge.db.connect().await.batch_execute(change).await.unwrap();
}

/// Checklist 50: within five seconds, whatever ended the key, and with its own word for it.
#[tokio::test]
async fn a_stream_is_cut_when_its_key_ends() {
    let (revoked, expired, suspended) = join3(
        cut_after(async |setup| setup.edge.revoke(&setup.key).await),
        cut_after(async |setup| change(setup, "update api_keys set expires_at = now(), version = version + 1").await),
        cut_after(async |setup| change(setup, "update orgs set suspended_at = now()").await),
    )
    .await;
    assert_eq!([revoked, expired, suspended], ["revoked_api_key", "expired_api_key", "org_suspended"]);
}

/// A stream that nobody has a reason to end goes on, and so does a whole answer, which is paid for already.
#[tokio::test]
async fn other_answers_go_on() {
    let streams = async {
        let setup = Setup::with(&[]).await;
        let steps = setup.groq.step();
        let mut reader = EventReader::new(setup.stream(&count_to(3)).await);
        steps.release(1);
        timeout(PATIENCE, reader.next()).await.unwrap().unwrap();
        // Nothing tells that nothing happens.
        sleep(TWO_LOOKS).await;
        drop(steps);
        let mut last = Vec::new();
        while let Some(event) = timeout(PATIENCE, reader.next()).await.unwrap() {
            last = event;
        }
        assert_eq!(last, b"data: [DONE]\n\n");
        assert_eq!(setup.edge.usage_when(|rows| rows.len() == 1).await[0].outcome, "completed");
    };
    let whole = async {
        let setup = Setup::with(&[]).await;
        let steps = setup.groq.step();
        let request = setup.edge.post("/v1/chat/completions").bearer_auth(&setup.key.text).json(&count_to(5));
        let call = tokio::spawn(request.send());
        timeout(PATIENCE, setup.groq.until(|seen| !seen.is_empty())).await.unwrap();
        setup.edge.revoke(&setup.key).await;
        sleep(TWO_LOOKS).await;
        drop(steps);
        let answer = Answer::read(call.await.unwrap().unwrap()).await;
        assert_eq!(answer.status, 200);
        assert_eq!(setup.edge.usage(answer.request_id()).await.outcome, "completed");
    };
    join(streams, whole).await;
}

/// Nothing is known of a key while the database is away, and no stream ends for that.
#[tokio::test]
async fn a_stream_goes_on_while_the_database_is_away() {
    let mut private = PrivateDb::start().await;
    let groq = FakeGroq::start(([127, 0, 0, 1], 0).into()).await.unwrap();
    let edge = TestEdge::on(&private.db, &[("OPENAI_BASE_URL", &groq.url()), ("GROQ_API_KEY", API_KEY)]).await;
    let key = edge.key().await;
    assert_eq!(edge.chat(&key, &count_to(1)).await.status, 200);
    edge.usage_when(|rows| rows.len() == 1).await;
    let steps = groq.step();
    let request = edge.post("/v1/chat/completions").bearer_auth(&key.text).json(&streamed(&count_to(3)));
    let mut reader = EventReader::new(request.send().await.unwrap());
    steps.release(1);
    timeout(PATIENCE, reader.next()).await.unwrap().unwrap();
    private.stop().await;
    sleep(TWO_LOOKS).await;
    drop(steps);
    let mut last = Vec::new();
    while let Some(event) = timeout(PATIENCE, reader.next()).await.unwrap() {
        last = event;
    }
    assert_eq!(last, b"data: [DONE]\n\n");
    private.start_again().await;
    edge.usage_when(|rows| rows.len() == 2 && rows[1].outcome == "completed").await;
    edge.stop().await;
    private.stop().await;
}
