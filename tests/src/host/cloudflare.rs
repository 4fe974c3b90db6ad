//! workerd, which is what Cloudflare runs, by way of `tests/workers/run.mjs`.

use super::Settings;
use crate::{Talk, installed::by_xtask};
use serde_json::json;
use std::path::{Path, PathBuf};
use tokio::{process::Command, sync::Mutex};

/// A workerd with one worker. It ends when its input does, so with this value or with this process.
pub struct Workers {
    /// Without a slash at its end.
    pub url: String,
    /// What the worker logs.
    pub log: PathBuf,
    talk: Mutex<Talk>,
}

impl Workers {
    pub(super) async fn start(settings: &Settings) -> Self {
        let mut command = Command::new(by_xtask("NEST_TEST_NODE"));
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("workers/run.mjs"));
        let mut talk = Talk::start(command, "workerd");
        let mut vars = settings.clone();
        let database_url = vars.remove("DATABASE_URL");
        let worker = json!({ "dir": by_xtask("NEST_TEST_WORKERS"), "database_url": database_url, "vars": vars, "port": 0,
                             "assets": Path::new(env!("CARGO_MANIFEST_DIR")).join("../edge/public") });
        let said = talk.ask(&worker).await;
        let url = said["url"].as_str().unwrap().trim_end_matches('/').to_owned();
        Self { url, log: talk.log.clone(), talk: Mutex::new(talk) }
    }

    /// Runs what the platform's clock would.
    pub async fn scheduled(&self) {
        self.talk.lock().await.say("scheduled").await;
    }

    pub(super) async fn stop(self) {
        let mut talk = self.talk.into_inner();
        talk.say("stop").await;
        talk.end().await;
    }
}
