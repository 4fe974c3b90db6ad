//! Everything the edge does, on any host: who may call, how often, where to, and what it used.
//!
//! A host crate lends a [`Host`] and calls [`Edge::call`]; every decision is made in here.
//! A slice (`keys`, `limits`, `nodes`, `usage`, `proxy`, ...) owns its routes, rules, SQL and tables.

mod access;
mod clock;
pub mod config;
pub mod error;
pub mod files;
pub mod host;
pub mod sql;

mod app;
#[cfg(feature = "openapi")]
pub mod document;
pub mod openapi;
mod page;
mod payload;
mod refresh;
mod room;
pub mod root;
mod route;
pub mod seal;
mod store;
mod telemetry;

mod admin;
pub mod audit;
pub mod auth;
pub mod billing;
pub mod keys;
pub mod limits;
pub mod mail;
pub mod nodes;
pub mod orgs;
mod proxy;
pub mod usage;

pub use access::{Access, Principal};
pub use app::{App, Edge, misconfigured, routes};
pub use config::Config;
pub use error::Error;
pub use host::Host;
pub use route::Route;
pub use store::Store;
