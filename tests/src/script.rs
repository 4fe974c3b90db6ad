//! A script in a language that is not ours: run to its end, or talked with.

use crate::{Talk, npm, python};
use std::{
    path::{Path, PathBuf},
    process::Stdio,
};
use tokio::process::Command;

/// A script of `tests/python` or `tests/npm`, and what it is told.
pub struct Script {
    language: Language,
    name: String,
    variables: Vec<(String, String)>,
}

#[derive(Clone, Copy)]
pub(crate) enum Language {
    Python,
    Node,
}

impl Script {
    pub(crate) fn new(language: Language, name: &str) -> Self {
        Self { language, name: name.to_owned(), variables: Vec::new() }
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs it to its end, and gives what it prints; fails when it does.
    pub async fn run(self) -> String {
        let output = self.command().await.stdin(Stdio::null()).output().await.unwrap();
        let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{}: {}\n{stdout}\n{stderr}", self.name, output.status);
        stdout
    }

    /// Starts it, to be asked and to answer line by line.
    pub async fn talk(self) -> Talk {
        Talk::start(self.command().await, &self.name)
    }

    async fn command(&self) -> Command {
        let mut command = match self.language {
            Language::Python => Command::new(python::interpreter().await),
            Language::Node => npm::node(),
        };
        command.arg(self.path()).envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    fn path(&self) -> PathBuf {
        let folder = match self.language {
            Language::Python => "python",
            Language::Node => "npm",
        };
        Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(&self.name)
    }
}
