//! The nodes that this process or isolate knows of, and what it noticed about them since.

use super::{
    rules::{self, Candidate, Choice},
    sql::NodeRow,
};
use crate::{App, error::chain, refresh::Refresh, sql::SqlError};
use futures_util::FutureExt as _;
use shared::{
    id::NodeId,
    node::{ServedModel, Task},
    time::Timestamp,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A list younger than this is used as it is; between the two it is read anew behind the request.
const FRESH_MS: i64 = 1_000;
const OLD_MS: i64 = 5_000;

/// A node, and when the edge learned of it.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) base_url: String,
    pub(crate) models: Vec<ServedModel>,
    pub(crate) ready: bool,
    pub(crate) running: i64,
    pub(crate) queued: i64,
    pub(crate) heartbeat_at: Timestamp,
}

#[derive(Default)]
pub(crate) struct Registry(Mutex<Known>);

#[derive(Default)]
struct Known {
    nodes: Arc<Vec<Node>>,
    read_at: Option<Timestamp>,
    refresh: Refresh,
    /// When a node last refused a connection.
    down: HashMap<NodeId, Timestamp>,
    /// Calls that this edge has under way.
    calls: HashMap<NodeId, i64>,
}

/// A call under way to a node; counts as its load until dropped.
pub(crate) struct CallGuard {
    app: App,
    id: NodeId,
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        *self.app.nodes.lock().calls.entry(self.id).or_default() -= 1;
    }
}

/// A node that was chosen, and the guard that counts the call.
pub(crate) struct Chosen {
    pub(crate) node: Node,
    pub(crate) guard: CallGuard,
}

/// Chooses a node for a call, other than those tried already.
pub(super) async fn choose(
    app: &App,
    model: &str,
    task: Task,
    tried: &[NodeId],
) -> Result<Result<Chosen, Choice>, SqlError> {
    let nodes = known(app).await?;
    let now = app.host.now();
    let mut registry = app.nodes.lock();
    let candidates: Vec<Candidate<'_>> = nodes.iter().map(|node| registry.candidate(node, now)).collect();
    let choice = rules::choose(&candidates, model, task, tried);
    let Choice::Node(id) = choice else { return Ok(Err(choice)) };
    let node = nodes.iter().find(|it| it.id == id).expect("the choice is one of the candidates").clone();
    *registry.calls.entry(id).or_default() += 1;
    Ok(Ok(Chosen { node, guard: CallGuard { app: app.clone(), id } }))
}

/// Every node that is registered, as of at most five seconds ago while Postgres answers.
pub(super) async fn known(app: &App) -> Result<Arc<Vec<Node>>, SqlError> {
    let (nodes, read_at) = {
        let registry = app.nodes.lock();
        (registry.nodes.clone(), registry.read_at)
    };
    let age_ms = read_at.map_or(i64::MAX, |at| app.host.now().since_ms(at));
    if age_ms >= OLD_MS {
        return match read(app).await {
            // The nodes do not depend on Postgres, so that the last list is better than none.
            Err(SqlError::Unavailable(_)) if read_at.is_some() => Ok(nodes),
            result => result,
        };
    }
    if age_ms >= FRESH_MS && app.nodes.lock().refresh.claim(app.host.now()) {
        let task = app.clone();
        app.host.defer(
            async move {
                if let Err(error) = read(&task).await {
                    tracing::warn!(error = %chain(&error), "the list of nodes could not be read");
                }
                task.nodes.lock().refresh.release();
            }
            .boxed(),
        );
    }
    Ok(nodes)
}

async fn read(app: &App) -> Result<Arc<Vec<Node>>, SqlError> {
    let read_at = app.host.now();
    let rows = app.store.node_rows().await?;
    let nodes = Arc::new(rows.into_iter().filter_map(|row| node(row, read_at)).collect::<Vec<_>>());
    let mut registry = app.nodes.lock();
    if registry.read_at.is_none_or(|at| at <= read_at) {
        registry.nodes = nodes.clone();
        registry.read_at = Some(read_at);
    }
    Ok(nodes)
}

fn node(row: NodeRow, read_at: Timestamp) -> Option<Node> {
    let NodeRow { id, base_url, models, ready, running, queued, silent_ms, .. } = row;
    let models = serde_json::from_str(&models)
        .inspect_err(|error| tracing::error!(%error, "models of node {id} are not readable"))
        .ok()?;
    let heartbeat_at = read_at.plus_ms(-silent_ms);
    Some(Node { id, base_url, models, ready, running, queued, heartbeat_at })
}

impl Registry {
    /// Notes that `id` refused a connection; it is not chosen again before its next heartbeat.
    pub(crate) fn mark_down(&self, id: NodeId, now: Timestamp) {
        self.lock().down.insert(id, now);
    }

    /// Makes the next choice read the list anew.
    pub(super) fn forget(&self) {
        self.lock().read_at = None;
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn candidate<'a>(&self, node: &'a Node, now: Timestamp) -> Candidate<'a> {
        Candidate {
            id: node.id,
            models: &node.models,
            silent_ms: now.since_ms(node.heartbeat_at),
            ready: node.ready,
            down: self.down.get(&node.id).is_some_and(|down_at| *down_at >= node.heartbeat_at),
            load: node.running + node.queued + self.calls.get(&node.id).copied().unwrap_or(0),
        }
    }
}
