//! `nest dev`: one command, everything running, and nothing left behind, however it ends.

use crate::NEST;
use nest_tests::{
    PATIENCE, lasting,
    node::{self, CHAT, EMBEDDING},
    program::{Nest, Running, heirs},
    python,
};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::{io::AsyncReadExt as _, process::Command, time::timeout};

/// Marks every process that descends from one `nest dev`.
const MARK: &str = "NEST_TEST_STACK";

struct Dev {
    running: Running,
    banner: Vec<String>,
    status: Value,
}

impl Dev {
    /// Starts everything in `dir`, and waits until it says that it is ready.
    async fn start(dir: &Path, ports: [u16; 2], mark: &str) -> Self {
        let line = format!("dev --port {} --node-port {}", ports[0], ports[1]);
        let mut running = Nest::new(NEST, dir, &line).env(MARK, mark).start();
        let banner = running.until("Ctrl-C stops everything").await;
        let status = Nest::new(NEST, dir, "status --json").run().await.json();
        Self { running, banner, status }
    }

    fn pids(&self) -> Vec<Pid> {
        let pids = self.status["pids"].as_object().unwrap();
        let names: Vec<&str> = pids.keys().map(String::as_str).collect();
        assert_eq!(names, ["dev", "edge", "node", "postgres"]);
        pids.values().map(|it| Pid::from_raw(i32::try_from(it.as_i64().unwrap()).unwrap()).unwrap()).collect()
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.running.child.id().unwrap().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits until none of the processes is left. Nobody tells of the end of another's child, hence the looking.
    async fn is_gone(&self, mark: &str) {
        let started = Instant::now();
        loop {
            let left: Vec<Pid> = self.pids().into_iter().filter(|pid| test_kill_process(*pid).is_ok()).collect();
            let heirs = heirs(MARK, mark);
            if left.is_empty() && heirs.is_empty() {
                return;
            }
            assert!(started.elapsed() < 2 * PATIENCE, "still there: {left:?} {heirs:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Runs a part of the banner in a shell, as printed, and waits until it prints `words`; then its user has seen enough.
async fn try_it(script: &str, path: &str, words: &str) {
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).env("PATH", path).stdout(Stdio::piped()).kill_on_drop(true);
    let mut shell = shell.spawn().unwrap();
    let (mut stdout, mut seen) = (shell.stdout.take().unwrap(), Vec::new());
    let read = async {
        while !String::from_utf8_lossy(&seen).contains(words) {
            assert!(stdout.read_buf(&mut seen).await.unwrap() > 0, "{script}\n{}", String::from_utf8_lossy(&seen));
        }
    };
    timeout(2 * PATIENCE, read).await.unwrap();
}

#[tokio::test]
async fn one_command_runs_everything_and_leaves_nothing_behind() {
    node::models().await;
    let dir = lasting::folder("dev");
    let ports = [(); 2].map(|()| embedded::port::free().unwrap());
    let mark = dir.to_str().unwrap();
    let mut dev = Dev::start(&dir, ports, mark).await;

    let status = &dev.status;
    assert_eq!((&status["ready"], &status["host"]), (&json!(true), &json!("native")));
    assert_eq!(status["edge"], format!("http://127.0.0.1:{}", ports[0]));
    assert_eq!(status["node"], format!("http://127.0.0.1:{}", ports[1]));
    let fields =
        ["console", "database_url", "demo", "edge", "fake_stripe", "host", "models", "node", "outbox", "pids", "ready"];
    for field in fields {
        assert!(status.get(field).is_some(), "status has no {field}");
    }
    let models: Vec<&str> = status["models"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    assert!([CHAT, EMBEDDING].into_iter().chain(embedded::groq::MODELS).all(|it| models.contains(&it)), "{models:?}");
    let stripe = status["fake_stripe"].as_str().unwrap();
    let page = nest_tests::edge::client().get(stripe).send().await.unwrap();
    assert!(page.text().await.unwrap().contains(&format!("{}/webhooks/stripe", status["edge"].as_str().unwrap())));
    let demo = &status["demo"];
    assert!(["email", "password", "api_key", "org"].iter().all(|it| demo[it].is_string()));

    // What is printed works as printed.
    let path = std::env::var("PATH").unwrap();
    let curl = dev.banner.iter().find(|it| it.trim_start().starts_with("curl ")).unwrap();
    try_it(curl, &path, "\"content\":").await;
    let start = dev.banner.iter().position(|it| it.starts_with("python3 - <<'EOF'")).unwrap();
    let end = start + dev.banner[start..].iter().position(|it| it == "EOF").unwrap();
    let python = Path::new(python::interpreter().await).parent().unwrap();
    // The model puts a space between its words.
    try_it(&dev.banner[start..=end].join("\n"), &format!("{}:{path}", python.display()), " ").await;
    let edge = status["edge"].as_str().unwrap();
    let ask = json!({ "model": "llama-3.3-70b-versatile", "messages": [{ "role": "user", "content": "Hello" }] });
    let ask = nest_tests::edge::client().post(format!("{edge}/v1/chat/completions")).json(&ask);
    let key = demo["api_key"].as_str().unwrap().to_owned();
    assert_eq!(ask.bearer_auth(&key).send().await.unwrap().status(), 200, "the stand-in for Groq answers");

    // A second one does not disturb the first, and says who is in its way.
    let second = Nest::new(NEST, &dir, &format!("dev --port {}", ports[0])).run().await;
    assert!(second.code == 1 && second.stderr.contains(&ports[0].to_string()), "{second:?}");
    let ports_free = [(); 2].map(|()| embedded::port::free().unwrap());
    let line = format!("dev --port {} --node-port {}", ports_free[0], ports_free[1]);
    let second = Nest::new(NEST, &dir, &line).run().await;
    assert!(second.code == 1 && second.stderr.contains("runs already"), "{second:?}");

    // Ctrl-C ends all of it, in order.
    dev.signal(Signal::INT);
    let ended = timeout(2 * PATIENCE, dev.running.child.wait()).await.unwrap().unwrap();
    assert!(ended.success(), "{ended}");
    dev.is_gone(mark).await;
    assert_eq!(Nest::new(NEST, &dir, "status").run().await.code, 3);

    secrets_are_kept(&dir, &dev.status);

    // The next start finds what was there: the same key still works, and calls are still recorded.
    let mut dev = Dev::start(&dir, ports, mark).await;
    assert_eq!(dev.status["demo"]["api_key"], key);
    let calls = Nest::new(NEST, &dir, "usage --calls --json").run().await.json();
    let recorded: Vec<&str> = calls.as_array().unwrap().iter().map(|it| it["model"].as_str().unwrap()).collect();
    assert_eq!(recorded, ["llama-3.3-70b-versatile", CHAT, CHAT]);

    // Not even SIGKILL leaves anything running.
    dev.signal(Signal::KILL);
    timeout(PATIENCE, dev.running.child.wait()).await.unwrap().unwrap();
    dev.is_gone(mark).await;
    assert_eq!(Nest::new(NEST, &dir, "status --json").run().await.code, 3, "a status file of the dead is not believed");
}

/// Files that hold secrets are for their owner alone, and the logs hold neither secrets nor what was asked.
fn secrets_are_kept(dir: &Path, status: &Value) {
    let secrets = fs::read_to_string(dir.join(".nest/secrets.env")).unwrap();
    let mode = fs::metadata(dir.join(".nest/secrets.env")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut canaries: Vec<&str> = secrets.lines().filter_map(|it| Some(it.split_once('=')?.1)).collect();
    assert!(canaries.len() >= 4, "{}", canaries.len());
    let key = status["demo"]["api_key"].as_str().unwrap();
    canaries.extend([&key[14..key.len() - 4], embedded::groq::API_KEY, "Why is the sky blue"]);
    for log in fs::read_dir(dir.join(".nest/logs")).unwrap() {
        let path = log.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        assert!(canaries.iter().all(|it| !text.contains(it)), "{} holds a secret or a prompt", path.display());
    }
}
