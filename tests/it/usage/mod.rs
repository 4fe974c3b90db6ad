//! Usage: every call of a known key is recorded once, whatever becomes of it, and told in sums.

mod cut;
mod report;
mod rollups;

use crate::upstream::{MODEL, Setup, count_to, streamed};
use embedded::groq::{API_KEY, FakeGroq, Outcome, Steps};
use futures_util::future::join_all;
use nest_tests::{EventReader, Kind, PATIENCE, PrivateDb, TestEdge, answer::request_id};
use shared::id::RequestId;
use tokio::time::timeout;

/// A stream that stands still after four events: what holds it there, its id, and its reader.
async fn begun(setup: &Setup) -> (Steps, RequestId, EventReader) {
    let steps = setup.groq.step();
    let response = setup.stream(&count_to(50)).await;
    let id = request_id(response.headers());
    let mut reader = EventReader::new(response);
    steps.release(4);
    for _ in 0..4 {
        timeout(PATIENCE, reader.next()).await.unwrap().unwrap();
    }
    (steps, id, reader)
}

#[tokio::test]
async fn a_row_says_who_asked_for_what_and_what_it_took() {
    let setup = Setup::with(&[]).await;
    for body in [count_to(5), streamed(&count_to(5))] {
        let answer = setup.edge.chat(&setup.key, &body).await;
        let row = setup.edge.usage(answer.request_id()).await;
        assert_eq!(row.key_id, setup.key.id.uuid().to_string());
        assert_eq!((row.endpoint.as_str(), row.model.as_str()), ("chat.completions", MODEL));
        assert_eq!((row.status, row.outcome.as_str()), (200, "completed"));
        assert_eq!(row.stream, body["stream"] == true);
        assert!(row.prompt_tokens > 0 && row.completion_tokens == 5);
        assert!(row.first_byte_ms.unwrap() <= row.latency_ms);
    }
}

#[tokio::test]
async fn rows_of_answers_that_have_just_gone_out_survive_the_end_of_the_instance() {
    let setup = Setup::with(&[]).await;
    let calls = (0..60).map(|number| if number % 2 == 0 { count_to(3) } else { streamed(&count_to(3)) });
    let answers =
        join_all(calls.map(|body| async move { body }).map(|body| async { setup.chat(&body.await).await })).await;
    let Setup { edge, groq: _groq, .. } = setup;
    let db = edge.db.clone();
    // At once: nothing waits for the rows but the host.
    edge.stop().await;
    let mut ids: Vec<String> = answers.iter().map(|it| it.request_id().uuid().to_string()).collect();
    let rows = nest_tests::usage::rows(&db.connect().await).await;
    let mut recorded: Vec<String> = rows.into_iter().map(|it| it.request_id).collect();
    ids.sort_unstable();
    recorded.sort_unstable();
    assert_eq!(recorded, ids);
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_takes_the_upstream_s_work_with_it() {
    let setup = Setup::with(&[("DRAIN_MS", "0")]).await;
    let (_steps, id, reader) = begun(&setup).await;
    drop(reader);
    timeout(PATIENCE, setup.groq.until(|seen| seen[0].outcome == Outcome::Aborted)).await.unwrap();
    let row = setup.edge.usage(id).await;
    assert_eq!((row.outcome.as_str(), row.status), ("client_left", 200));
    // The role, and three words.
    assert_eq!((row.completion_tokens, row.tokens_source.as_str()), (3, "counted"));
}

#[tokio::test]
async fn a_client_that_leaves_before_its_answer_takes_the_upstream_s_work_with_it() {
    let setup = Setup::with(&[]).await;
    let steps = setup.groq.step();
    let request = setup.edge.post("/v1/chat/completions").bearer_auth(&setup.key.text).json(&count_to(5));
    let call = tokio::spawn(request.send());
    timeout(PATIENCE, setup.groq.until(|seen| !seen.is_empty())).await.unwrap();
    call.abort();
    if Kind::chosen() == Kind::Spin {
        // Before an answer has begun Spin tells its component nothing of a client that leaves: the call runs on.
        drop(steps);
        let rows = setup.edge.usage_when(|rows| !rows.is_empty()).await;
        assert_eq!((rows.len(), rows[0].outcome.as_str(), rows[0].completion_tokens), (1, "completed", 5));
        return;
    }
    timeout(PATIENCE, setup.groq.until(|seen| seen[0].outcome == Outcome::Aborted)).await.unwrap();
    let rows = setup.edge.usage_when(|rows| !rows.is_empty()).await;
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].outcome.as_str(), rows[0].status), ("client_left", 499));
    assert_eq!((rows[0].completion_tokens, rows[0].tokens_source.as_str()), (0, "none"));
    drop(steps);
}

#[tokio::test]
async fn a_call_that_ends_while_the_database_is_away_is_recorded_when_it_is_back() {
    let mut private = PrivateDb::start().await;
    let groq = FakeGroq::start(([127, 0, 0, 1], 0).into()).await.unwrap();
    let edge = TestEdge::on(&private.db, &[("OPENAI_BASE_URL", &groq.url()), ("GROQ_API_KEY", API_KEY)]).await;
    let key = edge.key().await;
    assert_eq!(edge.chat(&key, &count_to(1)).await.status, 200);
    edge.usage_when(|rows| rows.len() == 1).await;
    private.stop().await;
    let mut ids = Vec::new();
    for body in [count_to(2), streamed(&count_to(2))] {
        let answer = edge.chat(&key, &body).await;
        assert_eq!(answer.status, 200, "a known key needs no database");
        ids.push(answer.request_id());
    }
    private.start_again().await;
    for id in ids {
        assert_eq!(edge.usage(id).await.outcome, "completed");
    }
    edge.stop().await;
    assert_eq!(nest_tests::usage::rows(&private.db.connect().await).await.len(), 3, "each once");
    private.stop().await;
}

#[tokio::test]
async fn an_edge_that_is_stopped_finishes_its_answers_and_writes_their_rows() {
    let setup = Setup::with(&[]).await;
    let steps = setup.groq.step();
    let mut reader = EventReader::new(setup.stream(&count_to(5)).await);
    steps.release(2);
    for _ in 0..2 {
        timeout(PATIENCE, reader.next()).await.unwrap().unwrap();
    }
    let Setup { edge, groq: _groq, .. } = setup;
    let db = edge.db.clone();
    let stopping = tokio::spawn(edge.stop());
    drop(steps);
    let mut last = Vec::new();
    while let Some(event) = timeout(PATIENCE, reader.next()).await.unwrap() {
        last = event;
    }
    assert_eq!(last, b"data: [DONE]\n\n");
    timeout(PATIENCE, stopping).await.unwrap().unwrap();
    let rows = nest_tests::usage::rows(&db.connect().await).await;
    assert_eq!((rows.len(), rows[0].outcome.as_str()), (1, "completed"));
}
