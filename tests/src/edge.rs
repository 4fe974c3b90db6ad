//! A served edge, on a port of its own, on the host that was chosen.

use crate::{
    Answer, TestDb,
    host::{Kind, Running, Settings},
    money::Books,
    usage::{self, UsageRow},
};
use edge_core::{
    Config, Edge, Host, Store,
    audit::{Actor, Origin},
    auth, keys, nodes,
};
use edge_native::Native;
use nest_contract::{AHEAD_MS, Watch, Watched};
use reqwest::{Client, RequestBuilder, redirect::Policy};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use shared::{
    id::{KeyId, RequestId},
    time::Timestamp,
};
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// Who owns everything in a test's database.
pub const OPERATOR: &str = "operator@example.com";

/// The password of every account that a test makes past sign-up.
pub const PASSWORD: &str = "correct horse battery";

/// Limits of addresses that no test meets, but that of the health check, which is as it is.
pub const GENEROUS: &str = "login=1000000/m signup=1000000/m mail=1000000/m mfa=1000000/m oauth=1000000/m auth=1000000/m nodes=1000000/m models=1000000/m api=1000000/m";

/// Longest wait for an event that is sure to come; only a broken test meets it.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// An edge that listens; it stops with this value.
pub struct TestEdge {
    /// Without a slash at its end.
    pub url: String,
    pub db: TestDb,
    pub client: Client,
    /// What it was configured with, for whoever needs to sign as it does.
    pub config: Config,
    /// Its database, past its own statements.
    pub native: Arc<Native>,
    pub running: Running,
    /// Its clock, and natively its statements.
    watch: Arc<Watch>,
    settings: Vec<(String, String)>,
    /// Looked at when this value goes.
    _books: Books,
}

/// An edge that listens to nobody and does what is due by the clock, on another one's database and by its clock.
pub struct Ticker {
    edge: Edge,
    host: Arc<dyn Host>,
}

impl Ticker {
    pub async fn tick(&self) {
        self.edge.tick(self.host.clone()).await;
    }
}

/// A key, and its text.
pub struct IssuedKey {
    pub id: KeyId,
    pub text: String,
}

/// The edge's settings: enough to start, then `more`, of which the last counts.
pub fn settings(db: &TestDb, more: &[(&str, &str)]) -> Settings {
    let base = [
        ("DATABASE_URL", db.url()),
        ("SECRET_KEY", "0123456789abcdefghijklmnopqrstuvwxyz"),
        ("PORT", "0"),
        // Most tests have no upstream; those that have set it.
        ("OPENAI_BASE_URL", "http://127.0.0.1:9/openai/v1"),
        // All of a test's people call from one address; tests of this limit set it.
        ("LOGIN_TRIES_PER_ADDRESS", "1000000"),
        ("ADDRESS_LIMITS", GENEROUS),
    ];
    base.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The same, read.
pub fn config(db: &TestDb, more: &[(&str, &str)]) -> Config {
    let all = settings(db, more);
    Config::load(&|name| all.get(name).cloned()).unwrap()
}

impl TestEdge {
    /// An edge on a database of its own.
    pub async fn start(settings: &[(&str, &str)]) -> Self {
        Self::on(&TestDb::migrated().await, settings).await
    }

    /// An edge on `db`.
    pub async fn on(db: &TestDb, settings: &[(&str, &str)]) -> Self {
        Self::with(db, settings, config(db, settings)).await
    }

    /// An edge with settings that are wrong, which only a WASM host can be started with.
    pub async fn raw(wrong: &[(&str, &str)]) -> Self {
        let db = TestDb::migrated().await;
        Self::with(&db, wrong, config(&db, &[])).await
    }

    async fn with(db: &TestDb, settings: &[(&str, &str)], config: Config) -> Self {
        let watch = Arc::new(Watch::default());
        let (running, url) = Running::start(db, settings, watch.clone()).await;
        let native = Arc::new(Native::new(&self::config(db, &[])).unwrap());
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { url, db: db.clone(), client: client(), config, native, running, watch, settings, _books: Books::of(db) }
    }

    /// Lets running answers end, and writes what is still to be written.
    pub async fn stop(self) {
        self.running.stop().await;
    }

    /// The edge's database, past the count of its statements.
    pub fn store(&self) -> Store {
        Store::new(self.native.clone())
    }

    /// Moves its clock.
    pub fn advance_ms(&self, ms: i64) {
        self.watch.advance_ms(ms);
    }

    /// The time by its clock.
    pub fn now(&self) -> Timestamp {
        self.native.now().plus_ms(self.watch.ahead_ms())
    }

    /// What is due by the clock, once. It is done here, since the clocks of hosts ring by themselves, or not at all.
    pub async fn tick(&self) {
        self.ticker().tick().await;
    }

    /// An edge with the same settings, for what is due by the clock.
    pub fn ticker(&self) -> Ticker {
        let settings: Vec<_> = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let config = config(&self.db, &settings);
        let native = Arc::new(Native::new(&config).unwrap());
        Ticker { edge: Edge::new(config), host: Arc::new(Watched::new(native, self.watch.clone())) }
    }

    /// How many statements it has begun whose text holds `part`, such as `from api_keys`.
    pub async fn statements(&self, part: &str) -> usize {
        if Kind::chosen() == Kind::Native {
            return self.watch.statements().iter().filter(|it| it.contains(part)).count();
        }
        let all: Vec<String> = self.get("/contract/statements").send().await.unwrap().json().await.unwrap();
        all.iter().filter(|it| it.contains(part)).count()
    }

    /// A key that never expires.
    pub async fn key(&self) -> IssuedKey {
        self.key_until(None).await
    }

    pub async fn key_until(&self, expires_at: Option<Timestamp>) -> IssuedKey {
        let owner = auth::find_owner(&self.store(), OPERATOR).await.unwrap().unwrap();
        self.key_of(keys::NewKey { expires_at, ..keys::NewKey::inference(owner.org_id, "test") }).await
    }

    /// A key as `nest` makes it.
    pub async fn key_of(&self, new: keys::NewKey) -> IssuedKey {
        let issued = keys::issue(&*self.native, &self.store(), &new).await.unwrap();
        IssuedKey { id: issued.id, text: issued.key.expose_secret().to_owned() }
    }

    pub async fn revoke(&self, key: &IssuedKey) {
        keys::revoke(&self.store(), key.id, self.now()).await.unwrap();
    }

    /// A token with which one node may join.
    pub async fn invite(&self, valid_ms: i64) -> String {
        let by = (&Actor::OPERATOR, &Origin::default());
        nodes::invite(&*self.native, &self.store(), valid_ms, by).await.unwrap().expose_secret().to_owned()
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.dated(self.client.get(format!("{}{path}", self.url)))
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.dated(self.client.post(format!("{}{path}", self.url)))
    }

    pub fn request(&self, method: reqwest::Method, path: &str) -> RequestBuilder {
        self.dated(self.client.request(method, format!("{}{path}", self.url)))
    }

    /// Takes the clock to where the test cannot reach it otherwise.
    fn dated(&self, request: RequestBuilder) -> RequestBuilder {
        request.header(AHEAD_MS, self.watch.ahead_ms())
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

    /// All rows, as soon as `enough` holds for them.
    pub async fn usage_when(&self, enough: impl Fn(&[UsageRow]) -> bool) -> Vec<UsageRow> {
        let mut changes = self.db.changes().await;
        let client = self.db.connect().await;
        let wait = async {
            loop {
                let rows = usage::rows(&client).await;
                if enough(&rows) {
                    return rows;
                }
                changes.next().await;
            }
        };
        timeout(PATIENCE, wait).await.expect("the rows are written soon")
    }
}

/// A client without a proxy. It keeps no connection: one belongs to the runtime of the test that opened it, and an
/// edge may be shared by several.
pub fn client() -> Client {
    Client::builder().no_proxy().redirect(Policy::none()).pool_max_idle_per_host(0).build().unwrap()
}
