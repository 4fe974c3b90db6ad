//! The schema: its migrations, run forward only, and the check that a server makes before it starts.

use refinery::{Migration, Runner};
use rustls_platform_verifier::ConfigVerifierExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use tokio_postgres::Client;
use tokio_postgres_rustls::MakeRustlsConnect;

mod embedded {
    refinery::embed_migrations!(".");
}

/// Held while migrations run, so that two starts at once do not run them twice. ("nest" as a number.)
const ADVISORY_LOCK: i64 = 0x6e65_7374;

/// A schema change that waits behind a long transaction makes every later query wait too; better to give up and say so.
const LOCK_TIMEOUT: &str = "set lock_timeout = '10s'";

/// Why the schema cannot be used, or not be changed.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    #[error("the database cannot be reached")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the schema lacks {} migration(s), from {}: run `nest migrate up`", pending.len(), pending[0])]
    Behind { pending: Vec<String> },
    #[error("the schema has migration {newer}, which this version does not know: run a newer version")]
    Ahead { newer: String },
    #[error(
        "migration {name} ran with other contents than this version has: restore its file; migrations are never edited"
    )]
    Changed { name: String },
    #[error("the schema could not be read")]
    Query(#[source] tokio_postgres::Error),
    #[error("a migration failed; the ones before it stay")]
    Migrate(#[source] refinery::Error),
}

/// A migration, and whether it has run.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Status {
    pub name: String,
    pub applied: bool,
}

/// Runs what has not run yet, and names it. Other runners wait meanwhile.
pub async fn up(database_url: &SecretString) -> Result<Vec<String>, SchemaError> {
    let mut client = connect(database_url).await?;
    // The lock ends with the session, whichever way this function ends.
    lock(&client).await?;
    verify(&applied(&client).await?, true)?;
    let report = runner().run_async(&mut client).await.map_err(SchemaError::Migrate)?;
    Ok(report.applied_migrations().iter().map(ToString::to_string).collect())
}

/// Every migration of this version, in order.
pub async fn status(database_url: &SecretString) -> Result<Vec<Status>, SchemaError> {
    let applied = applied(&connect(database_url).await?).await?;
    let is_applied = |it: &Migration| applied.iter().any(|row| row.version == i64::from(it.version()));
    Ok(runner().get_migrations().iter().map(|it| Status { name: it.to_string(), applied: is_applied(it) }).collect())
}

/// Whether the schema is exactly what this version knows.
pub async fn check(database_url: &SecretString) -> Result<(), SchemaError> {
    verify(&applied(&connect(database_url).await?).await?, false)
}

/// A row of refinery's history.
struct Applied {
    version: i64,
    name: String,
    checksum: String,
}

/// Compares what ran with what this version has. `behind_is_fine` for whoever is about to run the rest.
fn verify(applied: &[Applied], behind_is_fine: bool) -> Result<(), SchemaError> {
    let runner = runner();
    let known = runner.get_migrations();
    for row in applied {
        let label = format!("V{}__{}", row.version, row.name);
        let Some(migration) = known.iter().find(|it| i64::from(it.version()) == row.version) else {
            return Err(SchemaError::Ahead { newer: label });
        };
        if migration.checksum().to_string() != row.checksum || migration.name() != row.name {
            return Err(SchemaError::Changed { name: label });
        }
    }
    let ran = |it: &&Migration| !applied.iter().any(|row| row.version == i64::from(it.version()));
    let mut pending: Vec<String> = known.iter().filter(ran).map(ToString::to_string).collect();
    pending.sort();
    if pending.is_empty() || behind_is_fine { Ok(()) } else { Err(SchemaError::Behind { pending }) }
}

fn runner() -> Runner {
    embedded::migrations::runner()
}

async fn connect(database_url: &SecretString) -> Result<Client, SchemaError> {
    let unreachable = |error: tokio_postgres::Error| SchemaError::Unreachable(error.into());
    let tls = rustls::ClientConfig::with_platform_verifier().map_err(|error| SchemaError::Unreachable(error.into()))?;
    let tls = MakeRustlsConnect::new(tls);
    let (client, connection) = tokio_postgres::connect(database_url.expose_secret(), tls).await.map_err(unreachable)?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "the migration connection ended");
        }
    });
    Ok(client)
}

async fn lock(client: &Client) -> Result<(), SchemaError> {
    // The time-out is set after: another runner may take as long as its work needs.
    client.query("select pg_advisory_lock($1)", &[&ADVISORY_LOCK]).await.map_err(SchemaError::Query)?;
    client.batch_execute(LOCK_TIMEOUT).await.map_err(SchemaError::Query)
}

async fn applied(client: &Client) -> Result<Vec<Applied>, SchemaError> {
    let exists = client
        .query_one("select to_regclass('refinery_schema_history') is not null", &[])
        .await
        .map_err(SchemaError::Query)?;
    if !exists.get::<_, bool>(0) {
        return Ok(Vec::new());
    }
    let rows = client
        .query("select version::bigint, name::text, checksum::text from refinery_schema_history order by version", &[])
        .await
        .map_err(SchemaError::Query)?;
    Ok(rows.iter().map(|row| Applied { version: row.get(0), name: row.get(1), checksum: row.get(2) }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history() -> Vec<Applied> {
        let row = |it: &Migration| Applied {
            version: it.version().into(),
            name: it.name().to_owned(),
            checksum: it.checksum().to_string(),
        };
        runner().get_migrations().iter().map(row).collect()
    }

    #[test]
    fn a_schema_is_used_only_when_it_is_exactly_known() {
        assert!(verify(&history(), false).is_ok());
        let mut behind = history();
        behind.pop();
        assert!(matches!(verify(&behind, false), Err(SchemaError::Behind { pending }) if pending.len() == 1));
        assert!(verify(&behind, true).is_ok());
        let mut ahead = history();
        ahead.push(Applied { version: 9_999, name: "later".to_owned(), checksum: "1".to_owned() });
        assert!(matches!(verify(&ahead, true), Err(SchemaError::Ahead { .. })));
        let mut changed = history();
        changed[0].checksum = "1".to_owned();
        assert!(matches!(verify(&changed, true), Err(SchemaError::Changed { .. })));
    }

    #[test]
    fn the_message_names_the_command_that_mends_it() {
        let error = SchemaError::Behind { pending: vec!["V2__x".to_owned()] };
        assert_eq!(error.to_string(), "the schema lacks 1 migration(s), from V2__x: run `nest migrate up`");
    }
}
