//! Prices, credit and the books, past the routes.

use crate::{
    TestDb, TestEdge,
    edge::{OPERATOR, config},
};
use edge_core::{
    Store,
    auth::{self, Operator},
    billing::{self, Grant, NewPrices, audit::audit},
};
use edge_native::Native;
use serde::Deserialize;
use serde_json::{Value, json};
use shared::id::OrgId;
use std::{sync::Arc, thread};
use uuid::Uuid;

/// What a wallet says, as far as tests ask.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Wallet {
    pub credit_nanos: i64,
    pub allowance_nanos: i64,
    pub overage_nanos: i64,
    pub owed_nanos: i64,
    pub revenue_nanos: i64,
    pub expired_nanos: i64,
    pub held_nanos: i64,
}

impl TestEdge {
    /// Publishes prices: `[{model, price: {input, output, ...}}]`. Gives the version.
    pub async fn publish_prices(&self, data: Value) -> i64 {
        let new: NewPrices = serde_json::from_value(json!({ "data": data })).unwrap();
        billing::publish_prices(&self.store(), &Operator::at_nest(self.now()), &new).await.unwrap()
    }

    /// The organisation that owns what [`TestEdge::key`] makes.
    pub async fn own_org(&self) -> OrgId {
        auth::find_owner(&self.store(), OPERATOR).await.unwrap().unwrap().org_id
    }

    /// Grants credit.
    pub async fn grant(&self, org: OrgId, usd: &str) {
        let grant = Grant { usd: usd.parse().unwrap(), note: String::new() };
        let effect = Uuid::from_u128(u128::from_le_bytes(edge_core::host::random(&*self.native)));
        billing::grant(&self.store(), &Operator::at_nest(self.now()), org, &grant, effect).await.unwrap();
    }

    /// An organisation's wallet; an empty one when it has none.
    pub async fn wallet(&self, org: OrgId) -> Wallet {
        let read = "select to_jsonb(wallets)::text from wallets where org_id = $1::text::uuid";
        let rows = self.db.connect().await.query(read, &[&org.uuid().to_string()]).await.unwrap();
        rows.first().map(|row| serde_json::from_str(row.get(0)).unwrap()).unwrap_or_default()
    }
}

/// Proves, when it is dropped, that the books of a database balance, and fails the test if they do not.
#[derive(Debug)]
pub(crate) struct Books(TestDb);

impl Books {
    pub(crate) fn of(db: &TestDb) -> Self {
        Self(db.clone())
    }
}

impl Drop for Books {
    fn drop(&mut self) {
        // A test that fails already says why itself.
        if thread::panicking() || self.0.is_forged() {
            return;
        }
        let db = self.0.clone();
        // What drops an edge may be within a runtime, where nothing may wait.
        let findings = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(findings(&db))
        });
        let findings = findings.join().expect("the auditor comes to an end");
        assert!(findings.is_empty(), "the books do not balance: {findings:#?}");
    }
}

/// What is not as it should be; nothing where the database is gone, or was never migrated.
async fn findings(db: &TestDb) -> Vec<String> {
    let Ok((client, connection)) = tokio_postgres::connect(db.url(), tokio_postgres::NoTls).await else {
        return Vec::new();
    };
    let connection = tokio::spawn(connection);
    let there = client.query_one("select to_regclass('wallets') is not null", &[]).await;
    drop(client);
    let _ = connection.await;
    if !there.is_ok_and(|row| row.get(0)) {
        return Vec::new();
    }
    let native = Arc::new(Native::new(&config(db, &[])).unwrap());
    let audited = audit(&Store::new(native)).await.expect("the books can be read");
    audited.findings.iter().map(ToString::to_string).collect()
}
