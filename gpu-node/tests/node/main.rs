//! The node as its callers see it, with the real models; each file is one subject.
//!
//! The models are pulled into the cache that checkouts on this machine share, by the code that `nest models pull` runs.

// clippy knows tests, but not what they call.
#![allow(clippy::unwrap_used)]

mod calls;
mod embeddings;
mod life;
mod numbers;
mod served;
mod streams;
