//! `Host` on tokio: a Postgres pool, an HTTP client, tasks, and the system's clock and randomness.

use crate::{fetch::Client, heavy::Heavy, journal::FileJournal, postgres::Postgres, smtp::Smtp};
use axum::body::Body;
use bytes::Bytes;
use edge_core::{
    Config, Host,
    host::{Busy, FetchError, Journal, MailError, OutgoingMail, RelayOptions, Relayed, Row, SqlError, Value},
};
use futures_util::{FutureExt as _, future::BoxFuture};
use http::{Request, Response};
use shared::time::Timestamp;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio_util::task::TaskTracker;

/// What this machine lends the edge.
pub struct Native {
    postgres: Postgres,
    client: Client,
    smtp: Smtp,
    deferred: TaskTracker,
    heavy: Heavy,
    journal: Option<FileJournal>,
}

impl Native {
    /// Prepares pools and client; connects to nothing yet.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        Ok(Self {
            postgres: Postgres::new(&config.database_url, config.database_connections)?,
            client: Client::new(config.connect_timeout_ms)?,
            smtp: Smtp::new(&config.mail)?,
            deferred: TaskTracker::new(),
            heavy: Heavy::start()?,
            journal: None,
        })
    }

    /// Opens the journal that `config` names, for a process that serves: it has it to itself.
    pub fn with_journal(self, config: &Config) -> anyhow::Result<Self> {
        let journal = config.usage_journal.as_deref().map(FileJournal::open).transpose()?;
        Ok(Self { journal, ..self })
    }

    /// Waits until deferred work is done, at most for `limit`.
    pub async fn finish_deferred(&self, limit: Duration) {
        self.deferred.close();
        if tokio::time::timeout(limit, self.deferred.wait()).await.is_err() {
            tracing::warn!(tasks = self.deferred.len(), "deferred work is not done in time");
        }
    }
}

impl Host for Native {
    fn query(&self, statement: &'static str, params: Vec<Value>) -> BoxFuture<'_, Result<Vec<Row>, SqlError>> {
        self.postgres.query(statement, params).boxed()
    }

    fn fetch(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Body>, FetchError>> {
        self.client.fetch(request).boxed()
    }

    fn relay(&self, request: Request<Bytes>, options: RelayOptions) -> BoxFuture<'_, Result<Relayed, FetchError>> {
        self.client.relay(request, options).boxed()
    }

    fn smtp(&self, mail: OutgoingMail) -> BoxFuture<'_, Result<(), MailError>> {
        self.smtp.send(mail).boxed()
    }

    fn defer(&self, task: BoxFuture<'static, ()>) {
        self.deferred.spawn(task);
    }

    fn compute(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'_, Result<(), Busy>> {
        self.heavy.run(work).boxed()
    }

    fn journal(&self) -> Option<&dyn Journal> {
        self.journal.as_ref().map(|it| it as &dyn Journal)
    }

    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }

    fn sleep(&self, ms: u64) -> BoxFuture<'static, ()> {
        tokio::time::sleep(Duration::from_millis(ms)).boxed()
    }

    fn random(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the operating system has randomness");
    }
}
