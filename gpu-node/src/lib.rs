//! A GPU node: loads models, and computes what an edge asks for.
//!
//! It answers OpenAI's calls for edges that it trusts, and nobody else; keys, limits and money are the edge's affair.
//! [`run`] is the whole program; [`serve`] is a node inside another program; [`models`] brings models onto the machine.

mod chat;
pub mod config;
pub mod engine;
mod http;
pub mod models;
mod register;
mod run;
mod sampling;
mod serve;
mod telemetry;

pub use config::{Config, SETTINGS};
pub use run::run;
pub use sampling::{Sampler, Sampling};
pub use serve::{ServeError, serve};
pub use telemetry::Metrics;
