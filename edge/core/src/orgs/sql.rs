//! `orgs` and `memberships`: written by this slice alone.

use crate::{
    Store,
    sql::{SqlError, row, sql},
};
use shared::{id::OrgId, time::Timestamp};

row! {
    /// An organisation as lists show it.
    #[derive(Clone, Debug, serde::Serialize)]
    pub struct OrgSummary {
        pub id: OrgId,
        pub name: String,
        pub created_at: Timestamp,
    }
}

sql! {
    LIST() -> OrgSummary = "
        select id::text, name, (extract(epoch from created_at) * 1000)::int8 as created_at
        from orgs order by created_at, id";
}

impl Store {
    pub(super) async fn org_summaries(&self) -> Result<Vec<OrgSummary>, SqlError> {
        self.all(&LIST, ()).await
    }
}
