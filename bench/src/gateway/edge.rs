//! THE ONE PLACE that knows how the edge is started: the commands and variables of `nest`.
//!
//! It needs a running Postgres with the migrations applied. Put it on the same machine, and in a database of its
//! own: the run leaves a key and its usage behind.

use std::path::Path;

use anyhow::{Context, ensure};
use serde::Deserialize;
use tokio::process::Command;

use super::Program;

/// What the run leaves to its caller.
#[derive(Clone, Debug)]
pub struct Edge<'a> {
    /// The `nest` binary.
    pub nest: &'a Path,
    pub database_url: &'a str,
    /// The model that the mock lists.
    pub model: &'a str,
}

/// Guards nothing: the edge under measurement listens on loopback and knows one key.
const SECRET_KEY: &str = "bench-only-0123456789-abcdefghijklmnopqrstuvwxyz";

/// Limits that nothing meets.
const ADDRESS_LIMITS: &str =
    "login=1000000000/m auth=1000000000/m oauth=1000000000/m models=1000000000/m api=1000000000/m nodes=1000000000/m";

const ORG_LIMITS: &str = "requests_per_minute=1000000000 requests_per_day=100000000000 tokens_per_minute=100000000000 tokens_per_day=1000000000000 concurrent=100000";

/// The password of everyone whom [`Edge::people`] makes.
pub(crate) const PASSWORD: &str = "kxo94 plm22 vbb17";

/// A key, and whose it is.
struct NewKey {
    org: String,
    key: String,
}

impl Edge<'_> {
    /// Makes people who can log in, and gives their addresses.
    pub(crate) async fn people(&self, number: usize) -> anyhow::Result<Vec<String>> {
        self.run(&["migrate", "up"]).await?;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        let mut emails = Vec::new();
        for person in 0..number {
            let email = format!("bench-{}-{person}@localhost", now.as_millis());
            self.run(&["admin", "create", "--json", "--password", PASSWORD, "--email", &email]).await?;
            emails.push(email);
        }
        Ok(emails)
    }

    /// Starts `nest serve` without an upstream, and without the limits on log-ins of one address.
    pub(crate) async fn start_alone(&self) -> anyhow::Result<Program> {
        Program::start("edge", self.nest, "", |command, address| {
            self.settings(command);
            command
                .arg("serve")
                .env("LOGIN_TRIES_PER_ADDRESS", "1000000000")
                .env("PORT", address.port().to_string())
                .env("RUST_LOG", "warn");
        })
        .await
    }

    /// Makes a key, then starts `nest serve` with `mock` as its only upstream.
    pub async fn start(&self, mock: &Program) -> anyhow::Result<Program> {
        self.run(&["migrate", "up"]).await?;
        let new = self.new_key().await?;
        self.serve("edge", &new.key, mock).await
    }

    /// The same where models have prices: each call holds money and is charged. To be given a database of its own, since
    /// prices hold for all organisations of one.
    pub async fn start_priced(&self, mock: &Program) -> anyhow::Result<Program> {
        self.run(&["migrate", "up"]).await?;
        let new = self.new_key().await?;
        let prices = std::env::temp_dir().join(format!("nest-bench-prices-{}.toml", std::process::id()));
        let price =
            format!("[[data]]\nmodel = \"{}\"\nprice = {{ input = \"0.05\", output = \"0.08\" }}\n", self.model);
        std::fs::write(&prices, price)?;
        let published = self.run(&["billing", "prices", "import", &prices.to_string_lossy()]).await;
        std::fs::remove_file(&prices)?;
        published?;
        self.run(&["billing", "grant", &new.org, "1000000"]).await?;
        self.serve("edge, priced", &new.key, mock).await
    }

    async fn serve(&self, name: &'static str, key: &str, mock: &Program) -> anyhow::Result<Program> {
        Program::start(name, self.nest, key, |command, address| {
            self.settings(command);
            command
                .arg("serve")
                // One may not be shared by two.
                .env("USAGE_JOURNAL", std::env::temp_dir().join(format!("nest-bench-{}.journal", address.port())))
                .env("OPENAI_BASE_URL", format!("http://{}/v1", mock.address))
                .env("OPENAI_MODEL_NAME", self.model)
                .env("GROQ_API_KEY", "bench")
                .env("PORT", address.port().to_string())
                .env("RUST_LOG", "warn");
        })
        .await
    }

    async fn new_key(&self) -> anyhow::Result<NewKey> {
        #[derive(Deserialize)]
        struct NewOperator {
            org: String,
        }
        #[derive(Deserialize)]
        struct Created {
            key: String,
        }

        // A name that no earlier run in the same database has taken.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        let email = format!("bench-{}@localhost", now.as_millis());
        let answer = self.run(&["admin", "create", "--json", "--email", &email]).await?;
        let operator: NewOperator =
            serde_json::from_slice(&answer).context("`nest admin create` gave no organisation")?;
        let answer = self.run(&["keys", "create", "--json", "--name", "bench", "--org", &operator.org]).await?;
        let new: Created = serde_json::from_slice(&answer).context("`nest keys create` gave no key")?;
        Ok(NewKey { org: operator.org, key: new.key })
    }

    async fn run(&self, arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
        let shown = format!("nest {}", arguments.join(" "));
        let mut command = Command::new(self.nest);
        command.args(arguments);
        self.settings(&mut command);
        let output = command.output().await.with_context(|| format!("cannot run `{shown}`"))?;
        ensure!(output.status.success(), "`{shown}`: {}", String::from_utf8_lossy(&output.stderr));
        Ok(output.stdout)
    }

    /// What every verb needs.
    fn settings(&self, command: &mut Command) {
        command.env("DATABASE_URL", self.database_url).env("SECRET_KEY", SECRET_KEY);
        // Everything is looked at as in earnest, and nothing is refused.
        command.env("ADDRESS_LIMITS", ADDRESS_LIMITS).env("ORG_LIMITS", ORG_LIMITS);
    }
}
