//! The real GPU node as a process that can be killed and started again, and the models that it serves.

use crate::{PATIENCE, TestEdge, edge::client, lasting};
use embedded::child::{Program, Tied};
use gpu_node::models::{CATALOGUE, Options, Store, pull, shared_cache};
use rustix::process::{Pid, Signal, kill_process};
use shared::id::NodeId;
use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitStatus,
};
use tokio::{sync::OnceCell, time::timeout};

pub const CHAT: &str = "smollm2-135m-instruct";
pub const EMBEDDING: &str = "all-minilm-l6-v2";

/// A node that has joined an edge; it stops with this value.
pub struct TestNode {
    pub id: NodeId,
    /// Where it listens now; another port after each start.
    pub url: String,
    program: String,
    dir: PathBuf,
    settings: Vec<(String, String)>,
    process: Tied,
}

impl TestNode {
    /// Starts `program node` and waits until it serves both models to `edge`.
    pub async fn start(program: &str, edge: &TestEdge, settings: &[(&str, &str)]) -> Self {
        let dir = lasting::folder("node");
        let token = edge.invite(600_000).await;
        let key_file = dir.join("node.key");
        let mut all = vec![
            ("EDGE_URL", edge.url.as_str()),
            ("NODE_JOIN_TOKEN", &token),
            ("NODE_KEY_FILE", key_file.to_str().unwrap()),
            ("NODE_PORT", "0"),
            ("NODE_MODELS_DIR", models().await.to_str().unwrap()),
            // Tests run beside each other: two threads would mostly wait for one another.
            ("NODE_THREADS", "1"),
            ("RUST_LOG", "info"),
        ];
        all.extend(settings);
        let settings: Vec<_> = all.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let process = spawn(program, &dir, &settings);
        let (id, url) = registered(edge, &dir, None).await;
        Self { id, url, program: program.to_owned(), dir, settings, process }
    }

    /// Kills it with SIGKILL, and waits until it is gone.
    pub async fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.ended().await;
    }

    /// Asks it to stop: it drains.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Waits until it has ended.
    pub async fn ended(&mut self) -> ExitStatus {
        timeout(PATIENCE, self.process.wait()).await.expect("the node ends soon").unwrap()
    }

    /// Starts it again, with the key that it had, and waits until `edge` knows its new address.
    pub async fn start_again(&mut self, edge: &TestEdge) {
        self.process = spawn(&self.program, &self.dir, &self.settings);
        let (id, url) = registered(edge, &self.dir, Some(&self.url)).await;
        assert_eq!(id, self.id, "a node keeps its id");
        self.url = url;
    }

    /// The value of a metric without labels.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = client().get(format!("{}/metrics", self.url)).send().await.unwrap().text().await.unwrap();
        let value = text.lines().find_map(|it| it.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.process.pid().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

/// The folder that holds both models; pulled once on a machine.
pub async fn models() -> &'static Path {
    static MODELS: OnceCell<PathBuf> = OnceCell::const_new();
    let bring = || {
        lasting::run(async {
            let folder = shared_cache().expect("a cache folder: set NEST_MODELS_CACHE or HOME");
            for entry in CATALOGUE {
                pull(&Store::new(&folder), entry, &Options::default(), &|_| ()).await.unwrap();
            }
            folder
        })
    };
    MODELS.get_or_init(bring).await
}

fn spawn(program: &str, dir: &Path, settings: &[(String, String)]) -> Tied {
    let program = Program::new(program).arg("node").current_dir(dir).orphan_grace_s(0);
    let program = settings.iter().fold(program, |program, (name, value)| program.env(name, value));
    program.log_to(&log(dir)).unwrap().spawn().unwrap()
}

fn log(dir: &Path) -> PathBuf {
    dir.join("node.log")
}

/// The one node of `edge`, as soon as it has registered, at another address than `before`.
///
/// Its first heartbeat says that it has its answer: by then the edge, too, has done with the registration.
async fn registered(edge: &TestEdge, dir: &Path, before: Option<&str>) -> (NodeId, String) {
    let mut changes = edge.db.changes().await;
    let client = edge.db.connect().await;
    let beating = "select id::text, base_url from gpu_nodes where heartbeat_at > registered_at";
    let wait = async {
        loop {
            if let Some(row) = client.query_opt(beating, &[]).await.unwrap() {
                let (id, base_url): (&str, String) = (row.get(0), row.get(1));
                if Some(base_url.as_str()) != before {
                    return (NodeId::from_uuid(id.parse().unwrap()), base_url);
                }
            }
            changes.next().await;
        }
    };
    match timeout(PATIENCE, wait).await {
        Ok(known) => known,
        Err(_) => panic!("the node does not register:\n{}", fs::read_to_string(log(dir)).unwrap()),
    }
}
