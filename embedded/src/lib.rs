//! What the program can start for itself, so that one machine without services is enough.
//!
//! Reading order: [`child`] ties a process to this one's life, [`port`] names who holds a port,
//! [`postgres`] finds a real Postgres and runs a private cluster, [`groq`] plays an upstream.

pub mod child;
pub mod groq;
pub mod port;
pub mod postgres;
