//! Several processes and one store.

use crate::{
    NEST,
    limits::{Limited, key},
    upstream::count_to,
};
use edge_core::limits::Quota;
use embedded::groq::API_KEY;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use nest_tests::{
    IssuedKey,
    edge::GENEROUS,
    lasting,
    program::{Nest, Running},
};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// `nest serve` beside the test's own edge: the same database, upstream and store.
struct Served {
    url: String,
    program: Running,
}

impl Served {
    async fn start(limited: &Limited) -> Self {
        let port = embedded::port::free().unwrap();
        let mut serve = Nest::new(NEST, &lasting::folder("serve"), "serve")
            .env("DATABASE_URL", limited.edge.db.url())
            .env("DATABASE_CONNECTIONS", "2")
            .env("PORT", &port.to_string())
            .env("SECRET_KEY", "0123456789abcdefghijklmnopqrstuvwxyz")
            .env("OPENAI_BASE_URL", &limited.groq.url())
            .env("GROQ_API_KEY", API_KEY)
            .env("ADDRESS_LIMITS", GENEROUS)
            // A thousand requests at once are more than a moment's work, and the store is no worse for it.
            .env("UPSTASH_TIMEOUT_MS", "10000");
        for (name, value) in limited.upstash.settings() {
            serve = serve.env(name, value);
        }
        let mut program = serve.start();
        program.until("the edge listens on").await;
        Self { url: format!("http://127.0.0.1:{port}"), program }
    }
}

/// The status of a call; none when its process is gone.
async fn status(client: reqwest::Client, url: String, key: String) -> Option<u16> {
    let request = client.post(format!("{url}/v1/chat/completions")).bearer_auth(key).json(&count_to(1));
    Some(request.send().await.ok()?.status().as_u16())
}

fn a_day(requests: u64) -> Quota {
    Quota { requests_per_day: Some(requests), ..Quota::default() }
}

/// Counts the answers of `calls` calls at once, in turn to each of `urls`.
async fn at_once(urls: &[String], key: &IssuedKey, calls: usize) -> (usize, usize) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let all: FuturesUnordered<_> = (0..calls)
        .map(|number| {
            let call = status(client.clone(), urls[number % urls.len()].clone(), key.text.clone());
            tokio::spawn(call)
        })
        .collect();
    let statuses: Vec<Option<u16>> = all.map(Result::unwrap).collect().await;
    let count = |wanted| statuses.iter().filter(|it| **it == Some(wanted)).count();
    assert_eq!(count(200) + count(429), calls, "{statuses:?}");
    (count(200), count(429))
}

/// Checklist 60.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_thousand_at_once_from_two_processes_exactly_as_many_pass_as_may() {
    let limited = Limited::start(&[]).await;
    let key = key(&limited.edge, a_day(100)).await;
    let (first, second) = (Served::start(&limited).await, Served::start(&limited).await);
    assert_eq!(at_once(&[first.url, second.url], &key, 1_000).await, (100, 900));
    drop((first.program, second.program));
}

/// Checklist 60.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_processes_of_which_one_is_killed_never_exceed_a_limit() {
    const LIMIT: u64 = 300;
    let limited = Limited::start(&[]).await;
    let key = key(&limited.edge, a_day(LIMIT)).await;
    let mut all = Vec::new();
    for _ in 0..4 {
        all.push(Served::start(&limited).await);
    }
    let urls: Vec<String> = all.iter().map(|it| it.url.clone()).collect();
    let passed = Arc::new(AtomicUsize::new(0));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let callers: Vec<_> = (0..24)
        .map(|number| {
            let (client, url, key) = (client.clone(), urls[number % 4].clone(), key.text.clone());
            let passed = passed.clone();
            tokio::spawn(async move {
                for _ in 0..30 {
                    match status(client.clone(), url.clone(), key.clone()).await {
                        Some(200) => passed.fetch_add(1, Ordering::SeqCst),
                        Some(429) => 0,
                        Some(other) => panic!("{other}"),
                        None => return,
                    };
                }
            })
        })
        .collect();
    // In the middle of it, with whatever it holds: nothing of the process runs after that.
    while passed.load(Ordering::SeqCst) < 60 {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    all[0].program.child.kill().await.unwrap();
    for caller in callers {
        caller.await.unwrap();
    }
    let (more, _) = at_once(&urls[1..], &key, 60).await;
    let passed = passed.load(Ordering::SeqCst) + more;
    assert!(passed as u64 <= LIMIT, "{passed}");
    // What the dead one had taken ahead is lost, and no more: an eighth of what was left, at a time.
    assert!(passed as u64 >= LIMIT / 2, "{passed}");
    // The upstream was asked by nobody else; what was on its way at the kill got no answer.
    let asked = limited.groq.requests();
    let asked = asked.iter().filter(|it| it.path.ends_with("/chat/completions")).count();
    assert!(asked as u64 <= LIMIT, "{asked}");
}
