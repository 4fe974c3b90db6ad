//! A process that is talked with: one line asks, one line answers. It ends when its input does, so with this value or
//! with the test's process.

use crate::{PATIENCE, lasting};
use serde_json::Value;
use std::{
    fs::{self, File},
    path::PathBuf,
    process::Stdio,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

/// Such a process, and what stands between it and the test.
pub struct Talk {
    /// What it writes on standard error.
    pub log: PathBuf,
    ask: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    child: Child,
}

impl Talk {
    /// Starts `command`; its log's folder is called `name`.
    pub fn start(mut command: Command, name: &str) -> Self {
        let log = lasting::folder(name).join("log");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(&log).unwrap());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let ask = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { log, ask, answers, child }
    }

    /// The answer to `line`.
    pub async fn say(&mut self, line: &str) -> String {
        let asked = self.ask.write_all(format!("{line}\n").as_bytes()).await;
        let answer = timeout(PATIENCE, self.answers.next_line()).await.expect("it answers soon").unwrap();
        match (asked, answer) {
            (Ok(()), Some(answer)) => answer,
            _ => panic!("it ended:\n{}", fs::read_to_string(&self.log).unwrap()),
        }
    }

    /// The same in JSON.
    pub async fn ask(&mut self, order: &Value) -> Value {
        let answer = self.say(&order.to_string()).await;
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error} in the answer to {order}: {answer}"))
    }

    /// Ends its input, and waits until it is gone.
    pub async fn end(self) {
        let Self { ask, answers, mut child, .. } = self;
        drop((ask, answers));
        timeout(PATIENCE, child.wait()).await.expect("it ends soon").unwrap();
    }
}
