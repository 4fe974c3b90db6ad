//! Measures a gateway from outside, on loopback only.
//!
//! [`mock`] stands for the upstream, [`floor`] for the cheapest gateway that still does a gateway's work,
//! and [`load`] asks either of them, or the edge, and counts.
//! [`gateway`] puts the three side by side in one run: figures from different runs are not comparable,
//! least of all on a machine that others use too. [`accounts`] measures log-ins and refreshes.

pub mod accounts;
pub mod floor;
pub mod gateway;
pub mod load;
pub mod mock;
mod processes;
mod serve;
mod usage;
