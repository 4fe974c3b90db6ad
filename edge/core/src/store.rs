//! The one door to Postgres. Each slice adds its own methods in its `sql.rs`.

use crate::{
    Host,
    sql::{FromRow, Params, SqlError, Statement},
};
use std::sync::Arc;

/// Runs statements on a host's database.
#[derive(Clone)]
pub struct Store {
    host: Arc<dyn Host>,
}

impl Store {
    /// A door to `host`'s database.
    pub fn new(host: Arc<dyn Host>) -> Self {
        Self { host }
    }

    /// The first row, if there is one.
    pub(crate) async fn first<P: Params, R: FromRow>(
        &self,
        statement: &Statement<P, R>,
        params: P,
    ) -> Result<Option<R>, SqlError> {
        self.host.query(statement.sql, params.into_values()).await?.first().map(R::from_row).transpose()
    }

    /// All rows.
    pub(crate) async fn all<P: Params, R: FromRow>(
        &self,
        statement: &Statement<P, R>,
        params: P,
    ) -> Result<Vec<R>, SqlError> {
        self.host.query(statement.sql, params.into_values()).await?.iter().map(R::from_row).collect()
    }
}
