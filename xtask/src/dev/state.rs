//! The folder of `nest dev`: what runs there, and the note of what runs beside it.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// The only key that the stand-in for Groq takes: `API_KEY` in embedded/src/groq/mod.rs.
const STAND_IN_KEY: &str = "gsk_fake_key_for_local_runs";

/// The chat model that `nest dev` gives its node.
const NODE_CHAT_MODEL: &str = "smollm2-135m-instruct";

/// A `nest dev` that is ready.
pub(crate) struct NestDev {
    pub(crate) folder: PathBuf,
    /// `status.json`.
    status: Value,
    /// `secrets.env`.
    secrets: String,
}

impl NestDev {
    /// What `nest dev` wrote into `folder`, if it runs.
    pub(crate) fn read(folder: &Path) -> Option<Self> {
        let status: Value = serde_json::from_str(&fs::read_to_string(folder.join("status.json")).ok()?).ok()?;
        let secrets = fs::read_to_string(folder.join("secrets.env")).ok()?;
        let pid = status["pids"]["dev"].as_u64()?;
        // A run that was killed could not remove its file.
        let runs = !Path::new("/proc/self").exists() || Path::new(&format!("/proc/{pid}")).exists();
        (runs && status["ready"] == true).then(|| Self { folder: folder.to_owned(), status, secrets })
    }

    /// A text of `status.json`.
    pub(crate) fn status(&self, name: &str) -> Option<&str> {
        self.status[name].as_str()
    }

    /// The upstream that it uses, and the key for it: its stand-in, else what the environment names.
    pub(crate) fn upstream(&self) -> (Option<String>, String) {
        if let Some(stand_in) = self.status("fake_groq") {
            return (Some(stand_in.to_owned()), STAND_IN_KEY.to_owned());
        }
        let set = |name| std::env::var(name).ok().filter(|it| !it.is_empty());
        (set("OPENAI_BASE_URL"), set("GROQ_API_KEY").or_else(|| set("GROK_API_KEY")).unwrap_or_default())
    }

    /// A secret of this machine's stack.
    pub(crate) fn secret(&self, name: &str) -> Result<&str> {
        let value = self.secrets.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.with_context(|| format!("secrets.env has no {name}"))
    }
}

/// `status.NAME.json`, with the fields of `status.json`; removed with this value.
pub(crate) struct Record {
    path: PathBuf,
    status: Value,
}

impl Record {
    pub(crate) fn new(nest: &NestDev, host: &str, port: u16, pid: u32) -> Self {
        let mut status = nest.status.clone();
        status["host"] = json!(host);
        status["edge"] = json!(format!("http://127.0.0.1:{port}"));
        status["pids"] = json!({"dev": std::process::id(), "edge": pid});
        Self { path: nest.folder.join(format!("status.{host}.json")), status }
    }

    pub(crate) fn write(&self) -> Result<()> {
        write_private(&self.path, &serde_json::to_string_pretty(&self.status)?)
    }

    /// What a person needs, with a command that works as printed.
    pub(crate) fn banner(&self, took: Duration) -> String {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (edge, host) = (text(&self.status["edge"]), text(&self.status["host"]));
        let (key, model) = (text(&self.status["demo"]["api_key"]), self.chat_model());
        let body =
            json!({"model": model, "stream": true, "messages": [{"role": "user", "content": "Why is the sky blue?"}]});
        let took = took.as_secs_f64();
        format!(
            "  The edge runs on {host} ({took:.1} s): {edge}/v1\n\n  Try it:\n\ncurl -N {edge}/v1/chat/completions -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' -d '{body}'\n\n  Ctrl-C stops it; `nest dev` goes on.\n"
        )
    }
}

impl Record {
    /// The model to show: the node's own, since it is a real one; without a node the last of the upstream's.
    fn chat_model(&self) -> &str {
        let models = self.status["models"].as_array().map(Vec::as_slice).unwrap_or_default();
        let ours = models.iter().find(|it| *it == NODE_CHAT_MODEL).or(models.last());
        ours.and_then(Value::as_str).unwrap_or_default()
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Writes a file that only its owner may read, in one step.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<()> {
    let draft = path.with_extension("draft");
    let _ = fs::remove_file(&draft);
    let file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&draft);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&draft, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nest(status: Value) -> NestDev {
        NestDev { folder: ".nest".into(), status, secrets: "# made\nSECRET_KEY=a=b\n".to_owned() }
    }

    #[test]
    fn a_secret_may_hold_what_divides_it_from_its_name() {
        let nest = nest(json!({}));
        assert_eq!(nest.secret("SECRET_KEY").unwrap(), "a=b");
        assert!(nest.secret("SECRET").is_err());
    }

    #[test]
    fn the_record_keeps_what_is_shared_and_names_its_own_edge() {
        let status = json!({"ready": true, "host": "native", "edge": "http://127.0.0.1:8787", "node": "n",
            "models": ["all-minilm-l6-v2", "smollm2-135m-instruct", "other"],
            "demo": {"api_key": "k"}, "pids": {"dev": 1, "postgres": 2}});
        let record = Record::new(&nest(status), "cloudflare", 8789, 7);
        assert_eq!(record.status["host"], "cloudflare");
        assert_eq!(record.status["edge"], "http://127.0.0.1:8789");
        assert_eq!(record.status["node"], "n");
        assert_eq!(record.status["pids"]["edge"], 7);
        let banner = record.banner(Duration::ZERO);
        assert!(banner.contains(r#"Bearer k' -H 'Content-Type: application/json' -d '{"#), "{banner}");
        assert!(banner.contains("smollm2-135m-instruct"), "{banner}");
    }
}
