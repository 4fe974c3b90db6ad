//! Requests at the same time: a stream holds its place until it ends, whichever way.

use super::Limited;
use crate::upstream::{count_to, streamed};
use edge_core::limits::Quota;
use nest_tests::{Answer, EventReader, IssuedKey, PATIENCE};
use std::time::Duration;
use tokio::time::{sleep, timeout};

async fn one_at_a_time() -> (Limited, IssuedKey) {
    let limited = Limited::start(&[]).await;
    let key = limited.key(Quota { concurrent: Some(1), ..Quota::default() }).await;
    (limited, key)
}

async fn stream(limited: &Limited, key: &IssuedKey) -> EventReader {
    let request = limited.edge.post("/v1/chat/completions").bearer_auth(&key.text).json(&streamed(&count_to(5)));
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    EventReader::new(response)
}

/// Asks until there is a place: an end is noticed behind the stream.
async fn until_free(limited: &Limited, key: &IssuedKey) -> Answer {
    let ask = async {
        loop {
            let answer = limited.chat(key).await;
            if answer.status != 429 {
                return answer;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, ask).await.expect("a place becomes free soon")
}

#[tokio::test]
async fn a_stream_holds_its_place_until_its_end() {
    let (limited, key) = one_at_a_time().await;
    let steps = limited.groq.step();
    let mut reader = stream(&limited, &key).await;
    steps.release(1);
    reader.next().await.unwrap();
    let refused = limited.chat(&key).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (429, "rate_limit_exceeded"));
    assert_eq!(refused.header("retry-after"), "1");
    let text = refused.text();
    assert!(text.contains("this API key may have 1 request at the same time"), "{text}");
    drop(steps);
    while reader.next().await.is_some() {}
    assert_eq!(until_free(&limited, &key).await.status, 200);
}

#[tokio::test]
async fn a_client_that_leaves_gives_its_place_back() {
    let (limited, key) = one_at_a_time().await;
    let steps = limited.groq.step();
    let mut reader = stream(&limited, &key).await;
    steps.release(1);
    reader.next().await.unwrap();
    assert_eq!(limited.chat(&key).await.status, 429);
    drop(reader);
    drop(steps);
    assert_eq!(until_free(&limited, &key).await.status, 200);
}

#[tokio::test]
async fn a_failed_call_gives_its_place_back() {
    let (limited, key) = one_at_a_time().await;
    for fault in ["500", "reset-head", "429=7"] {
        limited.groq.set_fault(fault.parse().unwrap());
        let first = limited.chat(&key).await;
        assert_ne!(first.code(), "rate_limit_exceeded", "{fault}");
    }
    limited.groq.clear_faults();
    assert_eq!(until_free(&limited, &key).await.status, 200);
}
