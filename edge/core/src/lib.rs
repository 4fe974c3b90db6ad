//! Everything the edge does, on any host: who may call, how often, where to, and what it used.
//!
//! A host crate lends a [`Host`] and calls [`Edge::call`]; every decision is made in here.
//! A slice (`keys`, `limits`, `nodes`, `usage`, `proxy`, ...) owns its routes, rules, SQL and tables.

pub mod config;
pub mod error;
pub mod files;
pub mod host;
pub mod sql;

mod app;
mod payload;
mod refresh;
mod store;
mod telemetry;

mod admin;
pub mod auth;
pub mod billing;
pub mod keys;
mod limits;
pub mod nodes;
pub mod orgs;
mod proxy;
pub mod usage;

pub use app::{App, Edge, misconfigured};
pub use config::Config;
pub use error::Error;
pub use host::Host;
pub use store::Store;
