//! What a test runs: a database of its own, the upstream's stand-in, and the edge on Spin.

use edge_core::{Config, Host, Store, auth, keys};
use edge_native::Native;
use embedded::{
    groq::{API_KEY, FakeGroq, MODELS},
    postgres::{Durability, Options as PostgresOptions, Postgres},
};
use nest_spin_host::{Options, SpinHost, edge_component, edge_manifest};
use secrecy::{ExposeSecret as _, SecretString};
use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;
use tokio_postgres::NoTls;

/// Longest wait for an event that is sure to come; only a broken test meets it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

const SECRET_KEY: &str = "0123456789abcdefghijklmnopqrstuvwxyz";

/// A free port of the loopback device.
pub(crate) fn anywhere() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// An edge on Spin with all that it needs.
pub(crate) struct Stack {
    pub(crate) spin: SpinHost,
    pub(crate) groq: FakeGroq,
    pub(crate) database: Database,
    pub(crate) key: String,
    pub(crate) client: reqwest::Client,
}

impl Stack {
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// As [`Stack::start`], with other or more variables.
    pub(crate) async fn with(variables: &[(&str, &str)]) -> Self {
        let (database, groq) = (Database::start().await, FakeGroq::start(anywhere()).await.unwrap());
        let key = database.key().await;
        let upstream = format!("http://{}", groq.address());
        let base_url = groq.url();
        let mut all = vec![
            ("database_url", database.url.as_str()),
            ("database_host", database.host.as_str()),
            ("upstream_host", &upstream),
            ("openai_base_url", &base_url),
            ("groq_api_key", API_KEY),
        ];
        all.extend(variables);
        let spin = spin(&all, Some(database.log())).await;
        Self { spin, groq, database, key, client: client() }
    }

    /// Asks for a chat completion.
    pub(crate) async fn chat(&self, stream: bool) -> reqwest::Response {
        self.ask(stream, "Say something.").await
    }

    pub(crate) async fn ask(&self, stream: bool, question: &str) -> reqwest::Response {
        let body = serde_json::json!({
            "model": MODELS[0],
            "stream": stream,
            "messages": [{ "role": "user", "content": question }],
        });
        let url = format!("{}/v1/chat/completions", self.spin.url());
        self.client.post(url).bearer_auth(&self.key).json(&body).send().await.unwrap()
    }
}

/// A host that runs the edge; a secret key is always given, unless `variables` has one.
pub(crate) async fn spin(variables: &[(&str, &str)], log: Option<PathBuf>) -> SpinHost {
    let component = tokio::task::spawn_blocking(edge_component).await.unwrap().unwrap();
    let given = [("secret_key", SECRET_KEY)];
    let variables = given.iter().chain(variables).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    SpinHost::start(Options {
        manifest: edge_manifest(),
        component: Some(component),
        variables: variables.collect(),
        listen: anywhere(),
        log,
    })
    .await
    .unwrap()
}

pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// A migrated database in a cluster of its own.
pub(crate) struct Database {
    pub(crate) url: String,
    /// As the manifest names it.
    pub(crate) host: String,
    postgres: Option<Postgres>,
    folder: TempDir,
}

impl Database {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Postgres runs as a user of its own where the tests run as root.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let postgres = Postgres::start(options(folder.path())).await.unwrap();
        postgres.create_database("nest").await.unwrap();
        let url = postgres.url("nest");
        migrations::up(&SecretString::from(url.clone())).await.unwrap();
        let host = format!("postgres://127.0.0.1:{}", postgres.port());
        Self { url, host, postgres: Some(postgres), folder }
    }

    /// Breaks every connection, and refuses new ones.
    pub(crate) async fn stop(&mut self) {
        self.postgres.take().unwrap().stop().await.unwrap();
    }

    /// Where the guest's log goes.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.path().join("guest.log")
    }

    /// Rows of `usage` as (outcome, completion tokens).
    pub(crate) async fn usage(&self) -> Vec<(String, i64)> {
        let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await.unwrap();
        tokio::spawn(connection);
        let rows = client.query("select outcome, completion_tokens from usage", &[]).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    /// A key of a new organisation.
    async fn key(&self) -> String {
        let settings = [("DATABASE_URL", self.url.as_str()), ("SECRET_KEY", SECRET_KEY)];
        let lookup = |name: &str| settings.iter().find(|it| it.0 == name).map(|it| it.1.to_owned());
        let host: Arc<dyn Host> = Arc::new(Native::new(&Config::load(&lookup).unwrap()).unwrap());
        let store = Store::new(host.clone());
        let operator = auth::NewOperator {
            email: "operator@example.com".to_owned(),
            password: "correct horse battery".into(),
            org_name: "Tests".to_owned(),
        };
        auth::create_operator(&*host, &store, operator).await.unwrap();
        let owner = auth::find_owner(&store, "operator@example.com").await.unwrap().unwrap();
        let new = keys::NewKey::inference(owner.org_id, "test");
        keys::issue(&*host, &store, &new).await.unwrap().key.expose_secret().to_owned()
    }
}

fn options(folder: &Path) -> PostgresOptions {
    let (data, log) = (folder.join("pgdata"), folder.join("postgres.log"));
    let mut options = PostgresOptions::new(data, log, "correct horse battery".into());
    options.durability = Durability::Throwaway;
    options
}
