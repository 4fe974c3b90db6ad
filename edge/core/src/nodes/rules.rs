//! Pure decisions about nodes: which of them can take a call.

use shared::{
    id::NodeId,
    node::{ServedModel, Task},
};

/// A node counts as away when it has been silent for longer; heartbeats come every two seconds.
pub(super) const SILENT_MS: i64 = 10_000;

/// How often a node shall report.
pub(super) const HEARTBEAT_MS: u64 = 2_000;

/// What a choice looks at.
#[derive(Clone, Debug)]
pub(super) struct Candidate<'a> {
    pub(super) id: NodeId,
    pub(super) models: &'a [ServedModel],
    /// Time since its last heartbeat.
    pub(super) silent_ms: i64,
    pub(super) ready: bool,
    /// Refused a connection since its last heartbeat.
    pub(super) down: bool,
    /// Sequences that it computes or keeps waiting, and calls that this edge sent it since.
    pub(super) load: i64,
}

/// The outcome of a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// This one.
    Node(NodeId),
    /// Nodes serve the model, but none can take a call now.
    Away,
    /// Nodes serve the model, but for something else.
    WrongTask(Task),
    /// No node knows the model.
    Unknown,
}

/// Chooses the least loaded node that serves `model` for `task`, other than `tried`.
pub(super) fn choose(candidates: &[Candidate<'_>], model: &str, task: Task, tried: &[NodeId]) -> Choice {
    let serving = || candidates.iter().filter_map(|node| Some((node, node.models.iter().find(|it| it.id == model)?)));
    let able = serving().filter(|(node, served)| {
        served.task == task && node.ready && !node.down && node.silent_ms <= SILENT_MS && !tried.contains(&node.id)
    });
    if let Some((node, _)) = able.min_by_key(|(node, _)| (node.load, node.id)) {
        return Choice::Node(node.id);
    }
    match serving().map(|(_, served)| served.task).next() {
        None => Choice::Unknown,
        Some(_) if serving().any(|(_, served)| served.task == task) => Choice::Away,
        Some(other) => Choice::WrongTask(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::LazyLock;
    use uuid::Uuid;

    static MODELS: LazyLock<Vec<ServedModel>> = LazyLock::new(|| {
        let model = |id: &str, task| ServedModel { id: id.to_owned(), task, context_tokens: 8192 };
        vec![model("chatty", Task::Chat), model("vectors", Task::Embedding)]
    });

    fn id(number: u128) -> NodeId {
        NodeId::from_uuid(Uuid::from_u128(number))
    }

    fn node(number: u128, load: i64) -> Candidate<'static> {
        Candidate { id: id(number), models: &MODELS, silent_ms: 0, ready: true, down: false, load }
    }

    #[test]
    fn the_least_loaded_able_node_is_chosen() {
        let idle = node(2, 0);
        let away = Candidate { silent_ms: SILENT_MS + 1, ..node(1, 0) };
        let draining = Candidate { ready: false, ..node(1, 0) };
        let down = Candidate { down: true, ..node(1, 0) };
        for (name, nodes, model, task, tried, choice) in [
            ("least loaded", vec![node(1, 3), node(2, 1)], "chatty", Task::Chat, vec![], Choice::Node(id(2))),
            ("a tie goes by id", vec![node(2, 1), node(1, 1)], "chatty", Task::Chat, vec![], Choice::Node(id(1))),
            ("not a silent one", vec![away.clone(), node(2, 9)], "chatty", Task::Chat, vec![], Choice::Node(id(2))),
            ("not a draining one", vec![draining, node(2, 9)], "chatty", Task::Chat, vec![], Choice::Node(id(2))),
            ("not one that is down", vec![down, node(2, 9)], "chatty", Task::Chat, vec![], Choice::Node(id(2))),
            ("not one again", vec![node(1, 0), node(2, 9)], "chatty", Task::Chat, vec![id(1)], Choice::Node(id(2))),
            ("all tried", vec![idle.clone()], "chatty", Task::Chat, vec![id(2)], Choice::Away),
            ("all away", vec![away], "chatty", Task::Chat, vec![], Choice::Away),
            ("embeds", vec![idle.clone()], "vectors", Task::Embedding, vec![], Choice::Node(id(2))),
            ("wrong task", vec![idle.clone()], "vectors", Task::Chat, vec![], Choice::WrongTask(Task::Embedding)),
            ("unknown", vec![idle], "other", Task::Chat, vec![], Choice::Unknown),
            ("nobody", vec![], "chatty", Task::Chat, vec![], Choice::Unknown),
        ] {
            assert_eq!(choose(&nodes, model, task, &tried), choice, "{name}");
        }
    }
}
