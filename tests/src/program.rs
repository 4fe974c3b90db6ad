//! `nest` as a program: run to its end, or watched while it runs.

use crate::PATIENCE;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{fs, path::Path, process::Stdio};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    task::JoinHandle,
    time::timeout,
};

/// A command line of `nest`, with nothing of this process's own settings.
pub struct Nest {
    command: Command,
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// A command that runs, and the lines that it prints.
pub struct Running {
    pub child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

/// A command that runs, and whose lines are gathered meanwhile: one that nobody reads would wait for a reader.
pub struct Logged {
    child: Child,
    log: JoinHandle<String>,
}

/// Settings that a developer's shell may hold and that would change what is tested.
const UNSET: [&str; 11] = [
    "APP_ENV",
    "DATABASE_URL",
    "GROK_API_KEY",
    "GROQ_API_KEY",
    "NEST_STATE_DIR",
    "OPENAI_BASE_URL",
    "OPENAI_MODEL_NAME",
    "SECRET_KEY",
    "STRIPE_BASE_URL",
    "STRIPE_SECRET_KEY",
    "STRIPE_WEBHOOK_SECRETS",
];

impl Nest {
    /// `nest` with the words of `line`, in the folder `dir`, whose `.nest` is its state.
    pub fn new(program: &str, dir: &Path, line: &str) -> Self {
        let mut command = Command::new(program);
        command.args(line.split_whitespace()).current_dir(dir).stdin(Stdio::null()).kill_on_drop(true);
        for name in UNSET {
            command.env_remove(name);
        }
        Self { command }
    }

    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it to its end.
    pub async fn run(mut self) -> Ran {
        let output = timeout(PATIENCE, self.command.output()).await.expect("a command ends soon").unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let code = output.status.code().expect("no signal ended it");
        Ran { code, stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Starts it.
    pub fn start(mut self) -> Running {
        Running::start(&mut self.command)
    }
}

impl Ran {
    /// What it printed, when it succeeded.
    pub fn ok(&self) -> &str {
        assert_eq!(self.code, 0, "{}{}", self.stdout, self.stderr);
        &self.stdout
    }

    /// The JSON that it printed, when it succeeded.
    pub fn json(&self) -> Value {
        serde_json::from_str(self.ok()).unwrap()
    }
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next line that it prints, and none when it ends.
    pub async fn line(&mut self) -> Option<String> {
        timeout(4 * PATIENCE, self.lines.next_line()).await.expect("it prints or ends soon").unwrap()
    }

    /// Every line up to the first that holds `words`.
    pub async fn until(&mut self, words: &str) -> Vec<String> {
        let mut seen = Vec::new();
        while let Some(line) = self.line().await {
            seen.push(line);
            if seen.last().is_some_and(|it| it.contains(words)) {
                return seen;
            }
        }
        panic!("it ended before it said {words:?}: {seen:#?}")
    }

    /// Gathers every line from here on.
    pub fn logged(self) -> Logged {
        let Self { child, mut lines } = self;
        let gather = async move {
            let mut log = String::new();
            while let Some(line) = lines.next_line().await.unwrap() {
                log += &line;
                log.push('\n');
            }
            log
        };
        Logged { child, log: tokio::spawn(gather) }
    }
}

impl Logged {
    /// Asks it to end, as whoever deploys it does, and gives all that it has printed.
    pub async fn end(mut self) -> String {
        let pid = Pid::from_raw(self.child.id().expect("it runs").cast_signed()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        timeout(PATIENCE, self.child.wait()).await.expect("it ends soon").unwrap();
        self.log.await.unwrap()
    }
}

/// The processes that inherited the environment variable `name` with `value`, and what they are.
///
/// Where there is no `/proc`, none is found: the caller checks the process ids that it knows as well.
pub fn heirs(name: &str, value: &str) -> Vec<(u32, String)> {
    let wanted = format!("{name}={value}").into_bytes();
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|it| it.file_name().to_str()?.parse::<u32>().ok());
    let has = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|it| *it == 0).any(|it| it == wanted)
    };
    let words = |pid: u32| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    pids.filter(has).map(|pid| (pid, String::from_utf8_lossy(&words(pid)).replace('\0', " "))).collect()
}
