//! The edge as a plain server on tokio: for development, tests and self-hosting.

mod fetch;
mod heavy;
mod host;
mod journal;
mod metrics;
mod postgres;
mod public;
mod serve;
mod smtp;

pub use host::Native;
pub use serve::{Server, serve};
