//! A flood of log-ins on the native edge: memory stays within what the cores can use, and the rest is told to wait.

use crate::NEST;
use futures_util::future::join_all;
use nest_tests::{
    TestDb,
    edge::{GENEROUS, OPERATOR, PASSWORD, client},
    lasting,
    program::Nest,
};
use serde_json::json;
use std::thread;

/// The most memory that a process ever had, in KiB.
fn peak_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|it| it.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Checklist 5: as many hashes at once as there are cores, a bounded queue, and 503 with `Retry-After` beyond it.
#[tokio::test]
async fn five_hundred_log_ins_at_once_use_the_memory_of_as_many_hashes_as_there_are_cores() {
    let db = TestDb::migrated().await;
    let serve = Nest::new(NEST, &lasting::folder("login-flood"), "serve").env("DATABASE_URL", db.url());
    let serve = serve.env("SECRET_KEY", "0123456789abcdefghijklmnopqrstuvwxyz").env("PORT", "0");
    let mut running = serve.env("LOGIN_TRIES_PER_ADDRESS", "1000000").env("ADDRESS_LIMITS", GENEROUS).start();
    let said = running.until("listens on http://").await.pop().unwrap();
    let address = said.split_once("listens on http://").unwrap().1;
    let end = address.find(|it: char| !(it.is_ascii_digit() || ".:".contains(it))).unwrap_or(address.len());
    let url = format!("http://{}", &address[..end]);
    let pid = running.child.id().unwrap();
    // Its log is read on, or it would wait for a reader.
    let _log = tokio::spawn(async move { while running.line().await.is_some() {} });
    let client = client();
    // Five hundred connections and statements cost something, too: that much is the baseline, with one hash.
    let ask = |body: serde_json::Value| client.post(format!("{url}/api/v1/auth/login")).json(&body).send();
    let right = || ask(json!({ "email": OPERATOR, "password": PASSWORD }));
    assert_eq!(right().await.unwrap().status(), 200);
    let refused = |_| client.post(format!("{url}/api/v1/auth/verify")).json(&json!({ "token": once() })).send();
    let warm = join_all((0..500).map(refused)).await;
    assert!(warm.into_iter().all(|it| it.unwrap().status() == 400));
    let baseline_kib = peak_kib(pid);

    let answers = join_all((0..500).map(|_| right())).await;
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    let busy: Vec<_> = answers.iter().filter(|it| it.status() == 503).collect();
    let served = answers.iter().filter(|it| it.status() == 200).count();
    assert!(!busy.is_empty() && busy.iter().all(|it| it.headers()["retry-after"] == "1"));
    // Some may meet the pause that others' tries began, before these are given back.
    let waiting = answers.iter().filter(|it| it.status() == 401).count();
    assert_eq!(busy.len() + served + waiting, 500, "{answers:?}");

    let cores = thread::available_parallelism().unwrap().get() as u64;
    let hash_kib = 19_456 + 19_456 / 10;
    let grown_kib = peak_kib(pid).saturating_sub(baseline_kib);
    assert!(grown_kib <= cores * hash_kib, "{grown_kib} KiB more than {baseline_kib} KiB, on {cores} cores");
    // What was refused as busy is no failure.
    assert_eq!(right().await.unwrap().status(), 200);
}

fn once() -> String {
    format!("nest_once_{}", "A".repeat(43))
}
