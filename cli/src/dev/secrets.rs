//! Secrets of this machine's development stack: made once, kept in `.nest/secrets.env`, readable by their owner only.

use crate::state::{StateDir, write_private};
use std::collections::BTreeMap;

/// Names and values.
pub(crate) struct Secrets {
    values: BTreeMap<String, String>,
}

/// What is made when it is missing, each 256 bits. (The demo's API key is made by the edge, and added later.)
const MADE: [&str; 4] = ["SECRET_KEY", "POSTGRES_PASSWORD", "DEMO_PASSWORD", "STRIPE_WEBHOOK_SECRETS"];

const HEADING: &str = "# Made by `nest dev` for this machine alone. `nest dev --fresh` makes new ones.\n";

impl Secrets {
    /// Reads the file, and makes what it lacks.
    pub(crate) fn open(state: &StateDir) -> anyhow::Result<Self> {
        let path = state.join("secrets.env");
        let lines = dotenvy::from_path_iter(&path).into_iter().flatten().flatten();
        let mut secrets = Self { values: lines.collect() };
        for name in MADE {
            secrets.values.entry(name.to_owned()).or_insert_with(random);
        }
        secrets.save(state)?;
        Ok(secrets)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// One of [`MADE`].
    pub(crate) fn made(&self, name: &str) -> &str {
        self.get(name).expect("what `open` makes is there")
    }

    /// Keeps a secret that something else made.
    pub(crate) fn set(&mut self, state: &StateDir, name: &str, value: String) -> anyhow::Result<()> {
        self.values.insert(name.to_owned(), value);
        self.save(state)
    }

    fn save(&self, state: &StateDir) -> anyhow::Result<()> {
        let lines: String = self.values.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        write_private(&state.join("secrets.env"), &format!("{HEADING}{lines}"))
    }
}

fn random() -> String {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the operating system has randomness");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
