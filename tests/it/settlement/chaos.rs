//! Clients that cut the line at any byte of a stream.

use super::words_priced;
use crate::upstream::{Setup, count_to};
use embedded::groq::Fault;
use futures_util::{StreamExt as _, stream};
use nest_tests::{answer::request_id, usage::assert_rolled_up};
use std::collections::BTreeMap;

/// How many streams at a time.
const AT_ONCE: usize = 20;

/// How many in all: few, unless `NEST_CUT_STREAMS` says more.
fn streams() -> usize {
    std::env::var("NEST_CUT_STREAMS").ok().map_or(60, |it| it.parse().expect("NEST_CUT_STREAMS is a number"))
}

/// Numbers that look random, the same on every run.
fn scattered(number: usize, below: usize) -> usize {
    let mixed = (number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    usize::try_from((mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 33).unwrap() % below
}

/// Checklist 84: exactly one row for each stream, and its tokens are those that the upstream counted, never 0.
#[tokio::test]
async fn a_stream_that_is_cut_at_any_byte_is_billed_once_and_exactly() {
    let setup = Setup::with(&[]).await;
    let org = words_priced(&setup.edge).await;
    setup.groq.set_fault(Fault::Gap { ms: 2 });
    let streams = streams();
    let words = |number| 1 + scattered(number, 40);
    let cut = async |number: usize| {
        let words = words(number);
        let response = setup.stream(&count_to(words)).await;
        let id = request_id(response.headers()).uuid().to_string();
        // Up to some bytes past its end: those are read whole.
        let mut left = scattered(number + 7_919, 800 + (words + 4) * 400);
        let mut chunks = response.bytes_stream();
        while let Some(Ok(chunk)) = chunks.next().await {
            if chunk.len() >= left {
                break;
            }
            left -= chunk.len();
        }
        (id, words as u64)
    };
    let expected: BTreeMap<String, u64> =
        stream::iter(0..streams).map(cut).buffer_unordered(AT_ONCE).collect::<BTreeMap<_, _>>().await;
    assert_eq!(expected.len(), streams);
    let rows = setup.edge.usage_when(|rows| rows.len() >= streams).await;
    let billed: BTreeMap<String, u64> =
        rows.iter().map(|row| (row.request_id.clone(), row.completion_tokens)).collect();
    assert_eq!((rows.len(), billed), (streams, expected));
    assert!(rows.iter().all(|row| row.tokens_source == "upstream" && row.prompt_tokens > 0));
    let left = rows.iter().filter(|row| row.outcome == "client_left").count();
    assert!(left * 4 > streams && left < streams, "{left} of {streams} streams were cut");
    let calls = setup.groq.requests().iter().filter(|it| it.path.ends_with("/chat/completions")).count();
    assert_eq!(calls, streams, "the upstream saw each once");
    assert_eq!(assert_rolled_up(&setup.edge.db.connect().await).await, i64::try_from(streams).unwrap());
    let words: i64 = rows.iter().map(|row| i64::try_from(row.completion_tokens).unwrap()).sum();
    assert_eq!(setup.edge.wallet(org).await.revenue_nanos, words * super::WORD_NANOS);
    println!("{streams} streams, {left} of them cut: one row each, with the upstream's own count");
}
