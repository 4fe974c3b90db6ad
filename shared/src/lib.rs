//! Values and wire formats that the edge and the GPU nodes both speak.
//!
//! Nothing here is async, does I/O or reads a clock: what varies comes in as an argument.
#![warn(missing_docs)]

pub mod id;
pub mod money;
pub mod node;
pub mod openai;
pub mod permission;
pub mod price;
mod schema;
pub mod setting;
pub mod time;
pub mod usage;
