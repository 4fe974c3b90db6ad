//! A served edge: the native one, on a port of its own, in the test's process.

use crate::{
    Answer, TestDb, TestHost,
    usage::{self, UsageRow},
};
use edge_core::{Config, Edge, Host, Store, auth, keys, nodes};
use edge_native::Server;
use futures_util::FutureExt as _;
use reqwest::{Client, RequestBuilder, redirect::Policy};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use shared::{
    id::{KeyId, RequestId},
    time::Timestamp,
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::oneshot, task::JoinHandle, time::timeout};

/// Who owns everything in a test's database.
pub const OPERATOR: &str = "operator@example.com";

/// Longest wait for an event that is sure to come; only a broken test meets it.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// An edge that listens; it stops with this value.
pub struct TestEdge {
    /// Without a slash at its end.
    pub url: String,
    pub host: Arc<TestHost>,
    pub db: TestDb,
    pub client: Client,
    /// What it was configured with, for whoever needs to sign as it does.
    pub config: Config,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

/// A key, and its text.
pub struct IssuedKey {
    pub id: KeyId,
    pub text: String,
}

/// The edge's settings: enough to start, then `settings`, of which the last counts.
pub fn config(db: &TestDb, settings: &[(&str, &str)]) -> Config {
    let base = [
        ("DATABASE_URL", db.url()),
        ("SECRET_KEY", "0123456789abcdefghijklmnopqrstuvwxyz"),
        ("PORT", "0"),
        // Most tests have no upstream; those that have set it.
        ("OPENAI_BASE_URL", "http://127.0.0.1:9/openai/v1"),
    ];
    let all: Vec<_> = base.iter().chain(settings).collect();
    Config::load(&|name| all.iter().rfind(|it| it.0 == name).map(|it| it.1.to_owned())).unwrap()
}

impl TestEdge {
    /// An edge on a database of its own.
    pub async fn start(settings: &[(&str, &str)]) -> Self {
        Self::on(&TestDb::migrated().await, settings).await
    }

    /// An edge on `db`.
    pub async fn on(db: &TestDb, settings: &[(&str, &str)]) -> Self {
        let host = Arc::new(TestHost::new(&config(db, settings)));
        let server = Server::bind(Edge::new(config(db, settings)), host.native.clone(), host.clone()).await.unwrap();
        let url = format!("http://{}", server.address().unwrap());
        let (stop, stopped) = oneshot::channel();
        // A sender that is dropped stops it as well.
        let running = tokio::spawn(async move { server.run(stopped.map(drop)).await.unwrap() });
        let client = client();
        Self { url, host, db: db.clone(), client, config: config(db, settings), stop, running }
    }

    /// Lets running answers end, and writes what is still to be written.
    pub async fn stop(self) {
        let _ = self.stop.send(());
        self.running.await.unwrap();
    }

    /// The edge's database, past the count of its statements.
    pub fn store(&self) -> Store {
        Store::new(self.host.native.clone())
    }

    /// A key that never expires.
    pub async fn key(&self) -> IssuedKey {
        self.key_until(None).await
    }

    pub async fn key_until(&self, expires_at: Option<Timestamp>) -> IssuedKey {
        let owner = auth::find_owner(&self.store(), OPERATOR).await.unwrap().unwrap();
        let new = keys::NewKey { org_id: owner.org_id, created_by: None, name: "test".to_owned(), expires_at };
        let issued = keys::issue(&*self.host.native, &self.store(), new).await.unwrap();
        IssuedKey { id: issued.id, text: issued.key.expose_secret().to_owned() }
    }

    pub async fn revoke(&self, key: &IssuedKey) {
        assert!(keys::revoke(&self.store(), key.id).await.unwrap());
    }

    /// A token with which one node may join.
    pub async fn invite(&self, valid_ms: i64) -> String {
        nodes::invite(&*self.host.native, &self.store(), valid_ms).await.unwrap().expose_secret().to_owned()
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.url))
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url))
    }

    /// Asks for a chat completion with `key`, and reads the whole answer.
    pub async fn chat(&self, key: &IssuedKey, body: &Value) -> Answer {
        self.ask("/v1/chat/completions", key, body).await
    }

    /// Posts `body` to `path` with `key`, and reads the whole answer.
    pub async fn ask(&self, path: &str, key: &IssuedKey, body: &Value) -> Answer {
        Answer::read(self.post(path).bearer_auth(&key.text).json(body).send().await.unwrap()).await
    }

    /// The row of a call, as soon as it is there.
    pub async fn usage(&self, id: RequestId) -> UsageRow {
        let wanted = id.uuid().to_string();
        let rows = self.usage_when(|rows| rows.iter().any(|it| it.request_id == wanted)).await;
        rows.into_iter().find(|it| it.request_id == wanted).unwrap()
    }

    /// All rows, as soon as `enough` holds for them; they are read anew whenever this edge has run a statement.
    pub async fn usage_when(&self, enough: impl Fn(&[UsageRow]) -> bool) -> Vec<UsageRow> {
        let client = self.db.connect().await;
        let mut ran = self.host.watch();
        let wait = async {
            loop {
                let rows = usage::rows(&client).await;
                if enough(&rows) {
                    return rows;
                }
                ran.changed().await.unwrap();
            }
        };
        timeout(PATIENCE, wait).await.expect("the rows are written soon")
    }

    /// The time by this edge's clock.
    pub fn now(&self) -> Timestamp {
        self.host.now()
    }
}

/// A client without a proxy. It keeps no connection: one belongs to the runtime of the test that opened it, and an
/// edge may be shared by several.
pub fn client() -> Client {
    Client::builder().no_proxy().redirect(Policy::none()).pool_max_idle_per_host(0).build().unwrap()
}
