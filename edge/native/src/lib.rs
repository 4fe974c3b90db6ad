//! The edge as a plain server on tokio: for development, tests and self-hosting.

mod fetch;
mod host;
mod metrics;
mod postgres;
mod serve;

pub use host::Native;
pub use serve::{Server, serve};
