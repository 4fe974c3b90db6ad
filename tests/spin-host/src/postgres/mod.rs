//! `spin:postgres`: pooled connections that run statements, as Spin's own host does.
//!
//! A connection is borrowed from a pool of its address and goes back when the guest drops it. What is cleaned up then
//! leaves an open transaction open, as in Spin: a guest must not open one. Nothing is cached: each query is prepared
//! and run, two round trips.

#![allow(clippy::result_large_err, reason = "the interface's error is what it is")]

mod refusal;
mod value;

use crate::{
    bindings::spin::postgres::postgres::{
        Column, Error, Host, HostConnection, HostConnectionBuilder, HostConnectionBuilderWithStore,
        HostConnectionWithStore, ParameterValue, QueryError, Row, RowSet,
    },
    guest::{App, Guest, Spin},
};
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio_postgres::{Config, NoTls, config::Host as Address};
use wasmtime::component::{Accessor, FutureReader, Resource, StreamReader};

/// Connections that Spin keeps to one address.
const POOL_SIZE: usize = 64;

/// The pools of a running component, by address.
#[derive(Default)]
pub(crate) struct Pools(Mutex<HashMap<String, Pool>>);

/// A borrowed connection, as the guest holds it.
#[derive(Clone)]
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Connection(Arc<deadpool_postgres::Object>);

/// An address that has not been connected to yet.
#[allow(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct ConnectionBuilder(String);

type Streamed = (Vec<Column>, StreamReader<Row>, FutureReader<Result<(), Error>>);

impl Pools {
    fn of(&self, url: &str) -> Result<Pool, String> {
        let mut pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(url) {
            return Ok(pool.clone());
        }
        let config: Config = url.parse().map_err(|error| format!("{error:?}"))?;
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Clean };
        let manager = Manager::from_config(config, NoTls, recycling);
        let pool = Pool::builder(manager).max_size(POOL_SIZE).build().map_err(|error| format!("{error:?}"))?;
        pools.insert(url.to_owned(), pool.clone());
        Ok(pool)
    }
}

/// Borrows a connection to `url`, if the manifest lists its hosts.
async fn connect(app: &App, url: &str) -> Result<Connection, Error> {
    allow(app, url)?;
    let pool = app.pools.of(url).map_err(Error::ConnectionFailed)?;
    let client = pool.get().await.map_err(|error| Error::ConnectionFailed(format!("{error:?}")))?;
    Ok(Connection(Arc::new(client)))
}

fn allow(app: &App, url: &str) -> Result<(), Error> {
    let config: Config =
        url.parse().map_err(|error: tokio_postgres::Error| Error::ConnectionFailed(error.to_string()))?;
    let ports = config.get_ports();
    for (index, host) in config.get_hosts().iter().enumerate() {
        let Address::Tcp(host) = host else {
            return Err(Error::ConnectionFailed("Unix sockets are not supported on WebAssembly".to_owned()));
        };
        let port = ports.get(index).or_else(|| ports.first().filter(|_| ports.len() == 1));
        let address = port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        if !app.allowed.allows(&address, "postgres") {
            return Err(Error::ConnectionFailed(format!("address postgres://{address} is not permitted")));
        }
    }
    Ok(())
}

impl Connection {
    async fn query(&self, statement: &str, params: &[ParameterValue]) -> Result<RowSet, Error> {
        let params = params.iter().map(value::bind).collect::<Result<Vec<_>, _>>()?;
        let rows = self.0.query_raw(statement, params).await.map_err(|error| refusal::of(&error))?;
        let mut set = RowSet { columns: Vec::new(), rows: Vec::new() };
        let mut rows = std::pin::pin!(rows);
        while let Some(row) = futures_util::StreamExt::next(&mut rows).await {
            let row = row.map_err(|error| refusal::of(&error))?;
            // Columns are told from the first row; without one there are none.
            if set.rows.is_empty() {
                set.columns = value::columns(&row);
            }
            let values = value::read(&row);
            set.rows.push(values.map_err(|text| Error::QueryFailed(QueryError::Text(text)))?);
        }
        Ok(set)
    }

    async fn execute(&self, statement: &str, params: &[ParameterValue]) -> Result<u64, Error> {
        let params = params.iter().map(value::bind).collect::<Result<Vec<_>, _>>()?;
        self.0.execute_raw(statement, params).await.map_err(|error| refusal::of(&error))
    }
}

impl Host for Guest {}

impl HostConnectionBuilder for Guest {
    async fn new(&mut self, address: String) -> Resource<ConnectionBuilder> {
        self.table.push(ConnectionBuilder(address)).expect("a guest has room for its resources")
    }

    async fn set_ca_root(&mut self, _: Resource<ConnectionBuilder>, _: String) -> Result<(), Error> {
        Err(Error::Other("this host has no TLS to Postgres".to_owned()))
    }

    async fn build(&mut self, builder: Resource<ConnectionBuilder>) -> Result<Resource<Connection>, Error> {
        let url = self.table.get(&builder).map_err(lost)?.0.clone();
        self.open(url).await
    }

    async fn drop(&mut self, builder: Resource<ConnectionBuilder>) -> wasmtime::Result<()> {
        self.table.delete(builder)?;
        Ok(())
    }
}

impl<T: Send> HostConnectionBuilderWithStore<T> for Spin {
    async fn build_async(
        accessor: &Accessor<T, Self>,
        builder: Resource<ConnectionBuilder>,
    ) -> Result<Resource<Connection>, Error> {
        let url = accessor.with(|mut it| it.get().table.get(&builder).map(|it| it.0.clone())).map_err(lost)?;
        Self::open_async(accessor, url).await
    }
}

impl HostConnection for Guest {
    async fn open(&mut self, address: String) -> Result<Resource<Connection>, Error> {
        let connection = connect(&self.app, &address).await?;
        self.table.push(connection).map_err(lost)
    }

    async fn query(
        &mut self,
        connection: Resource<Connection>,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> Result<RowSet, Error> {
        self.table.get(&connection).map_err(lost)?.clone().query(&statement, &params).await
    }

    async fn execute(
        &mut self,
        connection: Resource<Connection>,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> Result<u64, Error> {
        self.table.get(&connection).map_err(lost)?.clone().execute(&statement, &params).await
    }

    async fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

impl<T: Send> HostConnectionWithStore<T> for Spin {
    async fn open_async(accessor: &Accessor<T, Self>, address: String) -> Result<Resource<Connection>, Error> {
        let app = accessor.with(|mut it| it.get().app.clone());
        let connection = connect(&app, &address).await?;
        accessor.with(|mut it| it.get().table.push(connection)).map_err(lost)
    }

    async fn query_async(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> Result<Streamed, Error> {
        let connection = accessor.with(|mut it| it.get().table.get(&connection).cloned()).map_err(lost)?;
        let (set, end) = match connection.query(&statement, &params).await {
            Ok(set) => (set, Ok(())),
            // What goes wrong with a row is told when the rows are over.
            Err(error @ Error::QueryFailed(QueryError::Text(_))) if value::is_about_a_row(&error) => {
                (RowSet { columns: Vec::new(), rows: Vec::new() }, Err(error))
            }
            Err(error) => return Err(error),
        };
        accessor.with(|mut it| {
            let rows = StreamReader::new(&mut it, set.rows);
            let end = FutureReader::new(&mut it, async move { wasmtime::error::Ok(end) });
            match (rows, end) {
                (Ok(rows), Ok(end)) => Ok((set.columns, rows, end)),
                (Err(error), _) | (_, Err(error)) => Err(Error::Other(error.to_string())),
            }
        })
    }

    async fn execute_async(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> Result<u64, Error> {
        let connection = accessor.with(|mut it| it.get().table.get(&connection).cloned()).map_err(lost)?;
        connection.execute(&statement, &params).await
    }
}

/// A handle that the guest does not have, or has no room for.
#[allow(clippy::needless_pass_by_value, reason = "as `map_err` calls it")]
fn lost(error: wasmtime::component::ResourceTableError) -> Error {
    Error::ConnectionFailed(error.to_string())
}
