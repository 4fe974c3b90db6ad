//! `nest db`, and the database for the commands that need one.

use crate::{
    args::Db,
    report::{Failure, Report},
    settings::Settings,
    state::StateDir,
};
use anyhow::Context as _;
use edge_core::{Config, Store, config::database_url_alone, seal::Keyring};
use edge_native::Native;
use secrecy::{ExposeSecret as _, SecretString};
use std::{path::Path, sync::Arc};
use tokio_postgres::config::Host;

/// A host and the door to its database, for commands that act as the edge would.
pub(crate) struct Database {
    pub(crate) host: Arc<Native>,
    pub(crate) store: Store,
    /// Where people reach the edge.
    pub(crate) public_url: String,
}

/// Connects, and checks that the schema is this version's.
pub(crate) async fn open(settings: &Settings) -> anyhow::Result<Database> {
    Ok(connect(settings).await?.0)
}

/// The same, with the keys that secrets at rest are sealed with.
pub(crate) async fn open_with_keys(settings: &Settings) -> anyhow::Result<(Database, Keyring)> {
    if ["SECRET_KEY", "ENCRYPTION_KEYS"].iter().all(|name| settings.get(name).is_none()) {
        let hint = "this needs the keys of the edges: set SECRET_KEY, and ENCRYPTION_KEYS if they have it";
        return Err(Failure::NotReady(hint.to_owned()).into());
    }
    let (database, config) = connect(settings).await?;
    Ok((database, config.keyring))
}

/// The same, with all that an edge is configured with.
pub(crate) async fn connect(settings: &Settings) -> anyhow::Result<(Database, Config)> {
    let url = url(settings)?;
    // No command signs calls to nodes; whoever runs one on a bare database need not have the root secret.
    let lookup = |name: &str| match name {
        "DATABASE_URL" => Some(url.expose_secret().to_owned()),
        "SECRET_KEY" => settings.get(name).or_else(|| Some("not used by commands: 0123456789".to_owned())),
        _ => settings.get(name),
    };
    let config = Config::load(&lookup)?;
    migrations::check(&url).await.map_err(not_ready)?;
    let host = Arc::new(Native::new(&config)?);
    let database = Database { store: Store::new(host.clone()), host, public_url: config.public_url.clone() };
    Ok((database, config))
}

/// The database's address.
pub(crate) fn url(settings: &Settings) -> anyhow::Result<SecretString> {
    let names = ["DATABASE_URL", "POSTGRES_HOST", "POSTGRES_PASSWORD"];
    if names.iter().all(|name| settings.get(name).is_none()) {
        let hint = "no database is configured: start `nest dev`, or set DATABASE_URL";
        return Err(Failure::NotReady(hint.to_owned()).into());
    }
    Ok(database_url_alone(&|name| settings.get(name))?)
}

/// A schema or server that is not there yet is a matter of readiness.
pub(crate) fn not_ready(error: migrations::SchemaError) -> anyhow::Error {
    match error {
        migrations::SchemaError::Unreachable(_) | migrations::SchemaError::Behind { .. } => {
            Failure::NotReady(format!("{:#}", anyhow::Error::from(error))).into()
        }
        other => other.into(),
    }
}

pub(crate) async fn run(verb: Db, settings: &Settings, state_dir: &Path, report: Report) -> anyhow::Result<()> {
    match verb {
        Db::Url => {
            let url = url(settings)?;
            report.show(&serde_json::json!({"database_url": url.expose_secret()}), |_| url.expose_secret().to_owned())
        }
        Db::Psql { args } => psql(&url(settings)?, &args).await,
        Db::Reset { yes } => {
            if !yes {
                let hint = format!("this deletes the database in {}: say --yes", state_dir.display());
                return Err(Failure::Usage(hint).into());
            }
            StateDir::open(state_dir)?.wipe()?;
            report.show(&serde_json::json!({"reset": true}), |_| {
                "the database is gone; `nest dev` makes a new one".to_owned()
            })
        }
    }
}

async fn psql(url: &SecretString, args: &[String]) -> anyhow::Result<()> {
    let mut psql = tokio::process::Command::new("psql");
    // By the environment, as arguments are visible to every user of the machine; and in parts, as libpq takes a URL
    // as an argument alone.
    let address: tokio_postgres::Config = url.expose_secret().parse()?;
    if let Some(Host::Tcp(host)) = address.get_hosts().first() {
        psql.env("PGHOST", host);
    }
    psql.envs(address.get_ports().first().map(|port| ("PGPORT", port.to_string())));
    psql.envs(address.get_user().map(|user| ("PGUSER", user)));
    psql.envs(address.get_dbname().map(|name| ("PGDATABASE", name)));
    psql.envs(address.get_password().map(|password| ("PGPASSWORD", String::from_utf8_lossy(password).into_owned())));
    psql.args(args);
    let status = psql.status().await.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            Failure::Missing("psql is not installed: apt-get install postgresql-client".to_owned()).into()
        }
        _ => anyhow::Error::from(error),
    });
    let status = status.context("psql did not start")?;
    anyhow::ensure!(status.success(), "psql ended with {status}");
    Ok(())
}
