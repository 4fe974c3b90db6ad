//! A served node for the tests, and an edge's way of calling it.

use gpu_node::{
    Config,
    models::{self, CATALOGUE, Options, Store},
};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;
use shared::{
    node::{CallKey, HEADERS, Nonce, sign},
    time::Timestamp,
};
use std::{
    net::TcpListener,
    path::PathBuf,
    sync::LazyLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

pub(crate) const CHAT: &str = "smollm2-135m-instruct";
pub(crate) const EMBEDDING: &str = "all-minilm-l6-v2";

/// The store with all models in it.
pub(crate) static MODELS: LazyLock<Store> = LazyLock::new(|| {
    let store = Store::new(models::shared_cache().expect("a home for the cache"));
    apart(async {
        for entry in CATALOGUE {
            models::pull(&store, entry, &Options::default(), &|_| ()).await.expect("the models can be pulled");
        }
    });
    store
});

/// One node for all tests that do not need their own.
pub(crate) static NODE: LazyLock<Node> = LazyLock::new(|| Node::start(&[]));

/// A node in this process.
pub(crate) struct Node {
    pub(crate) base: String,
    pub(crate) key: CallKey,
    client: Client,
}

impl Node {
    /// A node that obeys one edge, with `settings` besides.
    pub(crate) fn start(settings: &[(&str, &str)]) -> Self {
        let key = CallKey::from_seed([7; 32]);
        let port = free_port();
        let mut settings: Vec<(String, String)> =
            settings.iter().map(|it| (it.0.to_owned(), it.1.to_owned())).collect();
        let folder = tempfile::tempdir().expect("a temporary folder").keep();
        settings.extend([
            ("NODE_PORT".to_owned(), port.to_string()),
            ("NODE_MODELS_DIR".to_owned(), MODELS.root().display().to_string()),
            ("NODE_KEY_FILE".to_owned(), folder.join("node.key").display().to_string()),
            ("NODE_EDGE_KEYS".to_owned(), key.public().to_string()),
            // Nobody listens there: the node must serve all the same.
            ("EDGE_URL".to_owned(), "http://127.0.0.1:9".to_owned()),
        ]);
        let config = Config::load(|name| settings.iter().find(|it| it.0 == name).map(|it| it.1.clone()));
        let config = config.expect("good settings");
        std::thread::spawn(move || {
            runtime().block_on(gpu_node::serve(config, std::future::pending())).expect("the node serves");
        });
        let node = Self { base: format!("http://127.0.0.1:{port}"), key, client: client() };
        apart(node.until_ready());
        node
    }

    /// A node that is served elsewhere, called as the edge that has `key`.
    pub(crate) fn of(base: String, key: CallKey) -> Self {
        Self { base, key, client: client() }
    }

    async fn until_ready(&self) {
        let client = Client::new();
        loop {
            let ready = client.get(format!("{}/readyz", self.base)).send().await;
            if ready.is_ok_and(|it| it.status() == 200) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A signed call.
    pub(crate) fn call(&self, method: &str, path: &str, body: impl Into<Vec<u8>>) -> RequestBuilder {
        self.call_as(&self.key, method, path, body.into(), now(), nonce())
    }

    pub(crate) fn call_as(
        &self,
        key: &CallKey,
        method: &str,
        path: &str,
        body: Vec<u8>,
        now: Timestamp,
        nonce: Nonce,
    ) -> RequestBuilder {
        let values = sign(key, method, path, &body, now, nonce);
        let method = method.parse().expect("a method");
        let request = self.client.request(method, format!("{}{path}", self.base)).body(body);
        HEADERS.into_iter().zip(values).fold(request, |request, (name, value)| request.header(name, value))
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Response {
        self.call("POST", path, body.to_string()).send().await.expect("the node answers")
    }

    /// Posts `body` and gives the status and the answer.
    pub(crate) async fn json(&self, path: &str, body: &Value) -> (u16, Value) {
        let response = self.post(path, body).await;
        (response.status().as_u16(), response.json().await.expect("the answer is JSON"))
    }

    /// Posts `body` and gives the data of each event.
    pub(crate) async fn events(&self, path: &str, body: &Value) -> Vec<String> {
        let response = self.post(path, body).await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let text = response.text().await.expect("the stream ends well");
        text.split("\n\n").filter_map(|it| it.strip_prefix("data: ")).map(str::to_owned).collect()
    }

    /// The value of a metric, without labels.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = reqwest::get(format!("{}/metrics", self.base)).await.expect("metrics").text().await.expect("text");
        let line = text.lines().find_map(|it| it.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        line.unwrap_or_else(|| panic!("no metric {name} in:\n{text}"))
    }
}

/// Runs `work` on a thread of its own, since a test's own runtime can't be blocked.
fn apart(work: impl Future<Output = ()> + Send) {
    std::thread::scope(|scope| {
        scope.spawn(|| runtime().block_on(work));
    });
}

/// A client that keeps no connection: tests have runtimes of their own, and a connection dies with its runtime.
fn client() -> Client {
    Client::builder().pool_max_idle_per_host(0).build().expect("a client")
}

/// A runtime that is not a test's own.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

pub(crate) fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64)
}

pub(crate) fn nonce() -> Nonce {
    rand::random()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port").port()
}

/// A fresh folder that lives as long as the process.
pub(crate) fn folder() -> PathBuf {
    tempfile::tempdir().expect("a temporary folder").keep()
}
