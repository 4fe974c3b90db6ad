//! workerd, which is what Cloudflare runs, by way of `tests/workers/run.mjs`.

use super::Settings;
use crate::{PATIENCE, lasting};
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::Mutex,
    time::timeout,
};

/// A workerd with one worker. It ends when its input does, so with this value or with this process.
pub struct Workers {
    /// Without a slash at its end.
    pub url: String,
    /// What the worker logs.
    pub log: PathBuf,
    talk: Mutex<Talk>,
    runner: Child,
}

/// One line asks, one line answers.
struct Talk {
    ask: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Workers {
    pub(super) async fn start(settings: &Settings) -> Self {
        let log = lasting::folder("workerd").join("log");
        let mut command = Command::new(built("NEST_TEST_NODE"));
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("workers/run.mjs"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(&log).unwrap());
        let mut runner = command.spawn().unwrap();
        let ask = runner.stdin.take().unwrap();
        let answers = BufReader::new(runner.stdout.take().unwrap()).lines();
        let mut talk = Talk { ask, answers };
        let mut vars = settings.clone();
        let database_url = vars.remove("DATABASE_URL");
        let worker = json!({ "dir": built("NEST_TEST_WORKERS"), "database_url": database_url, "vars": vars, "port": 0,
                             "assets": Path::new(env!("CARGO_MANIFEST_DIR")).join("../edge/public") });
        let said = talk.say(&worker.to_string(), &log).await;
        let said: Value = serde_json::from_str(&said).unwrap();
        let url = said["url"].as_str().unwrap().trim_end_matches('/').to_owned();
        Self { url, log, talk: Mutex::new(talk), runner }
    }

    /// Runs what the platform's clock would.
    pub async fn scheduled(&self) {
        self.talk.lock().await.say("scheduled", &self.log).await;
    }

    pub(super) async fn stop(mut self) {
        self.talk.lock().await.say("stop", &self.log).await;
        drop(self.talk);
        timeout(PATIENCE, self.runner.wait()).await.expect("workerd ends soon").unwrap();
    }
}

impl Talk {
    async fn say(&mut self, line: &str, log: &Path) -> String {
        self.ask.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        let answer = timeout(PATIENCE, self.answers.next_line()).await.expect("the runner answers soon").unwrap();
        answer.unwrap_or_else(|| panic!("the runner ended:\n{}", fs::read_to_string(log).unwrap()))
    }
}

/// What `cargo xtask test` has built or installed for these tests.
pub(super) fn built(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run the tests by `cargo xtask test`"))
}
