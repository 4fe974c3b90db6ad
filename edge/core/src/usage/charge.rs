//! What a call costs, on its way to its row of usage.

use serde::Serialize;
use shared::money::Nanos;
use uuid::Uuid;

/// What a settled call is charged. The statement that records its usage moves the money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Charge {
    #[serde(rename = "cost_nanos", serialize_with = "nanos")]
    pub(crate) cost: Nanos,
    /// What the upstream takes from us for it.
    #[serde(rename = "upstream_cost_nanos", serialize_with = "nanos")]
    pub(crate) upstream_cost: Nanos,
    /// None while no prices are published: then nothing costs anything.
    pub(crate) price_version: Option<i64>,
    /// The lease that the call was held against; none for a call that costs nothing in any case.
    pub(crate) lease_id: Option<Uuid>,
}

fn nanos<S: serde::Serializer>(nanos: &Nanos, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(nanos.0)
}
