//! `bench-recognition`: what it costs to recognise a key that was seen before, by the code that every call goes through.
//!
//! Prints one line of JSON, in nanoseconds. It is a plain program, so that it runs as WebAssembly, too.

mod one_key;

use edge_core::{Config, Edge, Host, Store, keys};
use futures_util::FutureExt as _;
use http::{
    Request,
    header::{AUTHORIZATION, HeaderValue},
    request::Parts,
};
use one_key::OneKey;
use secrecy::ExposeSecret as _;
use serde_json::json;
use shared::id::OrgId;
use std::{hint::black_box, sync::Arc, time::Instant};

/// Calls that are timed together: a clock costs as much as a call.
const BATCH: u32 = 1_000;
const BATCHES: usize = 500;

fn main() {
    // Nothing grows old while it is measured.
    let settings = [("SECRET_KEY", "0123456789abcdefghijklmnopqrstuvwxyz"), ("KEY_CACHE_MS", "3600000")];
    let lookup = |name: &str| settings.iter().find(|(it, _)| *it == name).map(|(_, value)| (*value).to_owned());
    let edge = Edge::new(Config::load(&lookup).expect("these settings are good"));
    let host = Arc::new(OneKey::default());
    let text = make(&host);
    let wrong = format!("{}{}", &text[..text.len() - 1], if text.ends_with('A') { 'B' } else { 'A' });
    let (right, wrong) = (parts(&text), parts(&wrong));
    let known = measure(&edge, &host, &right, true);
    let refused = measure(&edge, &host, &wrong, false);
    let reads = host.reads();
    println!(
        "{}",
        json!({ "known_key_ns": known, "wrong_checksum_ns": refused, "batch": BATCH, "batches": BATCHES, "reads": reads })
    );
}

/// A key, and its text.
fn make(host: &Arc<OneKey>) -> String {
    let store = Store::new(host.clone());
    let org = OrgId::new(host.now(), [7; 10]);
    let new = keys::NewKey::inference(org, "bench");
    let issued = keys::issue(&**host, &store, &new).now_or_never().expect("nothing is waited for");
    issued.unwrap_or_else(|error| panic!("{error}")).key.expose_secret().to_owned()
}

fn parts(text: &str) -> Parts {
    let (mut parts, ()) = Request::post("/v1/chat/completions").body(()).expect("a plain request").into_parts();
    parts.headers.insert(AUTHORIZATION, HeaderValue::try_from(format!("Bearer {text}")).expect("a key is plain"));
    parts
}

/// Median and 99th percentile of what a call takes, over batches.
fn measure(edge: &Edge, host: &Arc<OneKey>, parts: &Parts, known: bool) -> serde_json::Value {
    let call = || {
        let caller = edge.caller(host.clone(), black_box(parts)).now_or_never().expect("nothing is waited for");
        assert_eq!(black_box(caller).is_ok(), known);
    };
    let mut batches: Vec<f64> = (0..BATCHES + BATCHES / 10)
        .map(|_| {
            let began = Instant::now();
            (0..BATCH).for_each(|_| call());
            began.elapsed().as_secs_f64() * 1e9 / f64::from(BATCH)
        })
        .skip(BATCHES / 10)
        .collect();
    batches.sort_by(f64::total_cmp);
    json!({ "p50": batches[BATCHES / 2].round(), "p99": batches[BATCHES * 99 / 100].round() })
}
