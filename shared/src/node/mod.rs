//! What the edge and a GPU node say to each other: signed calls, registration, heartbeats.

mod sign;

pub use sign::{
    CallError, CallKey, HEADERS, Nonce, PublicKey, SignedHeaders, TOLERANCE_MS, VerifiedCall, sign, verify,
};

use crate::id::NodeId;
use serde::{Deserialize, Serialize};

/// `POST {API_V1_STR}/nodes/register`, signed with the node's own key: "here I am, and this is what I serve".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Registration {
    /// The node's public key; the call must be signed by its other half.
    pub public_key: PublicKey,
    /// Where the edge reaches the node, such as `http://10.0.0.7:8788`.
    pub base_url: String,
    /// A name for people, such as the machine's.
    pub name: String,
    /// The models that the node serves.
    pub models: Vec<ServedModel>,
    /// What the node can take.
    pub capacity: Capacity,
    /// The single-use permission to join; not needed by a node whose key is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join_token: Option<String>,
}

/// The answer to a [`Registration`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Registered {
    /// The node's id from now on.
    pub node_id: NodeId,
    /// The keys with which the edge signs its calls, may have signed, or will sign; the node accepts no others.
    pub edge_keys: Vec<PublicKey>,
    /// How often the node shall send a [`Heartbeat`].
    pub heartbeat_ms: u64,
}

/// `POST {API_V1_STR}/nodes/heartbeat`, signed with the node's own key: "I am still here".
///
/// The edge answers with its keys ([`HeartbeatAnswer`]), or 404 when the node must register again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Heartbeat {
    /// The id that registration gave.
    pub node_id: NodeId,
    /// Whether the node takes new calls; false while it drains.
    pub ready: bool,
    /// Sequences that are being computed.
    pub running: u32,
    /// Sequences that wait for their turn.
    pub queued: u32,
}

/// The answer to a [`Heartbeat`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HeartbeatAnswer {
    /// As in [`Registered`], as of now: they change while the edge's root secret is replaced.
    pub edge_keys: Vec<PublicKey>,
}

/// A model as a node offers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ServedModel {
    /// The id that callers put into `model`.
    pub id: String,
    /// What the model can be asked for.
    pub task: Task,
    /// Most tokens of prompt and answer together.
    pub context_tokens: u32,
}

/// What a model is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Chat and text completions.
    Chat,
    /// Embeddings.
    Embedding,
}

/// How much a node takes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Capacity {
    /// Sequences computed together.
    pub running: u32,
    /// Sequences that may wait; one more is refused with 503.
    pub queued: u32,
}
