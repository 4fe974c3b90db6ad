//! An edge that is killed while it serves: its journal keeps what Postgres has not got yet.

use crate::{
    NEST,
    settlement::{WORD_NANOS, words_priced},
    upstream::{count_to, streamed},
};
use embedded::groq::{API_KEY, FakeGroq, Fault};
use futures_util::future::join_all;
use nest_tests::{
    IssuedKey, PATIENCE, TestEdge, edge::client, lasting, program::Nest, program::Running, usage::assert_rolled_up,
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::{sleep, timeout};

/// Callers at a time.
const CALLERS: usize = 16;

/// What of a killed edge's calls is known outside: the words of each answer that arrived whole, by its id.
type Arrived = Mutex<HashMap<String, u64>>;

/// `nest serve` in a folder of its own, again and again.
struct Served {
    folder: PathBuf,
    database_url: String,
    upstream: String,
    port: u16,
}

impl Served {
    fn new(edge: &TestEdge, groq: &FakeGroq) -> Self {
        let folder = lasting::folder("journal");
        let port = embedded::port::free().unwrap();
        Self { folder, database_url: edge.db.url().to_owned(), upstream: groq.url(), port }
    }

    async fn start(&self) -> Running {
        let serve = Nest::new(NEST, &self.folder, "serve").env("DATABASE_URL", &self.database_url);
        let serve = serve.env("PORT", &self.port.to_string()).env("SECRET_KEY", "0123456789abcdefghijklmnopqrstuvwxyz");
        let mut program = serve.env("OPENAI_BASE_URL", &self.upstream).env("GROQ_API_KEY", API_KEY).start();
        program.until("the edge listens on").await;
        program
    }

    fn journal(&self) -> PathBuf {
        self.folder.join(".nest/usage.journal")
    }

    /// One call, and what of it arrived whole.
    async fn call(&self, client: &reqwest::Client, key: &IssuedKey, number: usize, arrived: &Arrived) {
        let words = 1 + number % 40;
        let body = if number.is_multiple_of(3) { count_to(words) } else { streamed(&count_to(words)) };
        let url = format!("http://127.0.0.1:{}/v1/chat/completions", self.port);
        let Ok(response) = client.post(url).bearer_auth(&key.text).json(&body).send().await else {
            // The edge is dead, or not there yet.
            return sleep(Duration::from_millis(20)).await;
        };
        if response.status() != 200 {
            return;
        }
        let id = nest_tests::answer::request_id(response.headers()).uuid().to_string();
        if response.bytes().await.is_ok() {
            arrived.lock().unwrap().insert(id, words as u64);
        }
    }
}

/// How often an edge is killed: a few times, unless `NEST_KILLS` says more.
fn kills() -> u64 {
    std::env::var("NEST_KILLS").ok().map_or(3, |it| it.parse().expect("NEST_KILLS is a number"))
}

/// What the rows say: how many there are for calls of the upstream, and the words of those that were billed.
async fn recorded(edge: &TestEdge) -> (usize, BTreeMap<String, (String, u64)>) {
    let rows = nest_tests::usage::rows(&edge.db.connect().await).await;
    let of_upstream = rows.iter().filter(|it| it.upstream.is_some()).count();
    (of_upstream, rows.into_iter().map(|it| (it.request_id, (it.outcome, it.completion_tokens))).collect())
}

/// Checklist 85 and 86: whatever arrived is in the bill, exactly and once, and no call of the upstream has no row.
#[tokio::test]
async fn an_edge_that_is_killed_loses_no_call() {
    let edge = TestEdge::start(&[]).await;
    let groq = FakeGroq::start(([127, 0, 0, 1], 0).into()).await.unwrap();
    groq.set_fault(Fault::Gap { ms: 3 });
    let (served, key) = (Arc::new(Served::new(&edge, &groq)), Arc::new(edge.key().await));
    let org = words_priced(&edge).await;
    // Each edge that dies keeps for a minute what it had leased.
    edge.grant(org, "900000").await;
    let (arrived, over) = (Arc::new(Arrived::default()), Arc::new(AtomicBool::new(false)));
    let numbers = Arc::new(AtomicUsize::new(0));
    let mut program = served.start().await;
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (served, key, arrived) = (served.clone(), key.clone(), arrived.clone());
            let (over, numbers, client) = (over.clone(), numbers.clone(), client());
            tokio::spawn(async move {
                while !over.load(Ordering::SeqCst) {
                    served.call(&client, &key, numbers.fetch_add(1, Ordering::SeqCst), &arrived).await;
                }
            })
        })
        .collect();
    for kill in 0..kills() {
        // Somewhere among the answers, however slow the machine is.
        let (before, wanted) = (arrived.lock().unwrap().len(), 1 + usize::try_from(kill * 7 % 23).unwrap());
        let wait = async {
            while arrived.lock().unwrap().len() < before + wanted {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, wait).await.expect("the edge answers");
        sleep(Duration::from_millis(kill * 7_919 % 60)).await;
        // SIGKILL: nothing of the process runs after it.
        program.child.kill().await.unwrap();
        program = served.start().await;
    }
    over.store(true, Ordering::SeqCst);
    join_all(callers).await;
    program.child.kill().await.unwrap();
    let mut last = served.start().await;
    assert_eq!(fs::metadata(served.journal()).unwrap().len(), 0, "what was in the journal is in Postgres");
    last.child.kill().await.unwrap();

    let (of_upstream, rows) = recorded(&edge).await;
    let arrived = std::mem::take(&mut *arrived.lock().unwrap());
    for (id, words) in &arrived {
        assert_eq!(rows.get(id), Some(&("completed".to_owned(), *words)), "{id}");
    }
    let seen = groq.requests().iter().filter(|it| it.path.ends_with("/chat/completions")).count();
    let failed = rows.values().filter(|it| it.0 == "failed").count();
    // A call is journalled before it is sent, so one that was killed between the two has a row and was never seen.
    assert!(
        of_upstream >= seen && of_upstream - seen <= failed,
        "{seen} calls seen, {of_upstream} rows, {failed} failed"
    );
    assert!(failed <= CALLERS * usize::try_from(kills() + 1).unwrap(), "{failed} calls ran when an edge was killed");
    assert!(rows.values().all(|(outcome, words)| outcome != "failed" || *words == 0), "nobody pays for our crash");
    assert!(arrived.len() as u64 > kills(), "{} answers arrived", arrived.len());
    assert_rolled_up(&edge.db.connect().await).await;
    let words: u64 = rows.values().map(|it| it.1).sum();
    let wallet = edge.wallet(org).await;
    assert_eq!(wallet.revenue_nanos, i64::try_from(words).unwrap() * WORD_NANOS, "each word is charged once");
    // What the dead had leased is free a minute later.
    edge.advance_ms(61_000);
    edge.ticker().tick().await;
    assert_eq!(edge.wallet(org).await.held_nanos, 0);
    println!("{} kills: {seen} calls, {} answers that arrived, {failed} failed", kills(), arrived.len());
}

/// What another process has left is written before the first request, once, and damage is left out.
#[tokio::test]
async fn a_journal_is_written_at_start_and_once() {
    let edge = TestEdge::start(&[]).await;
    let groq = FakeGroq::start(([127, 0, 0, 1], 0).into()).await.unwrap();
    let (served, key) = (Served::new(&edge, &groq), edge.key().await);
    let org: String = edge.db.connect().await.query_one("select org_id::text from api_keys", &[]).await.unwrap().get(0);
    let line = |number: u8, outcome: &str, words: u64, key_id: &str| {
        let row = json!({
            "request_id": format!("00000000-0000-7000-8000-0000000000{number:02}"), "org_id": org,
            "key_id": key_id, "endpoint": "chat.completions", "model": "m", "upstream": "groq", "stream": true,
            "status": 200, "outcome": outcome, "prompt_tokens": 1, "completion_tokens": words, "cached_tokens": 0,
            "reasoning_tokens": 0, "tokens_source": "upstream", "cost_nanos": 0, "upstream_cost_nanos": 0,
            "price_version": Value::Null, "lease_id": Value::Null, "started_at_ms": 1_790_000_000_000_i64,
            "first_byte_ms": 1, "latency_ms": 2,
        });
        format!("{row}\n")
    };
    let own = key.id.uuid().to_string();
    let lines = [
        line(1, "failed", 0, &own),
        line(2, "failed", 0, &own),
        line(1, "completed", 7, &own),
        // Of a database that is gone.
        line(3, "completed", 9, "00000000-0000-7000-8000-000000000099"),
        "{\"request_id\": \"0000".to_owned(),
    ];
    write(&served.journal(), &lines.concat());
    for _ in 0..2 {
        served.start().await.child.kill().await.unwrap();
        let (_, rows) = recorded(&edge).await;
        let seen: Vec<_> = rows.into_values().collect();
        assert_eq!(seen, [("completed".to_owned(), 7), ("failed".to_owned(), 0)]);
        assert_eq!(fs::metadata(served.journal()).unwrap().len(), 0);
        write(&served.journal(), &lines.concat());
    }
    assert_eq!(assert_rolled_up(&edge.db.connect().await).await, 2);
}

/// Two edges would forget each other's calls.
#[tokio::test]
async fn a_journal_has_one_edge() {
    let edge = TestEdge::start(&[]).await;
    let groq = FakeGroq::start(([127, 0, 0, 1], 0).into()).await.unwrap();
    let served = Served::new(&edge, &groq);
    let _first = served.start().await;
    let second = Nest::new(NEST, &served.folder, "serve").env("DATABASE_URL", &served.database_url);
    let second = second.env("PORT", &embedded::port::free().unwrap().to_string());
    let ran = second.env("SECRET_KEY", "0123456789abcdefghijklmnopqrstuvwxyz").run().await;
    assert!(ran.code != 0 && ran.stderr.contains("USAGE_JOURNAL"), "{ran:?}");
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}
