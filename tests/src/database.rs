//! Real Postgres: one throwaway cluster a test process, one database a test.

use crate::{
    edge::{OPERATOR, PASSWORD, config},
    lasting,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use edge_core::{Host, Store, auth};
use edge_native::Native;
use embedded::postgres::{Durability, Options, Postgres};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use std::{
    future::poll_fn,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
use tokio::sync::{OnceCell, mpsc};
use tokio_postgres::{AsyncMessage, Client, NoTls};

/// A database of its own for one test, in a cluster that all tests of the process share.
#[derive(Clone, Debug)]
pub struct TestDb {
    url: String,
    /// Whether the test has forged the books, to see that this is found.
    forged: Arc<AtomicBool>,
}

impl TestDb {
    /// A migrated database with one operator and nothing else.
    pub async fn migrated() -> Self {
        Self::create(&format!("template {TEMPLATE}")).await
    }

    /// A database without any table.
    pub async fn empty() -> Self {
        Self::create("").await
    }

    /// The database behind `url`, which the caller has made.
    pub(crate) fn at(url: String) -> Self {
        Self { url, forged: Arc::default() }
    }

    /// Lets the books be wrong when the test ends: it has made them so.
    pub fn forge(&self) {
        self.forged.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_forged(&self) -> bool {
        self.forged.load(Ordering::Relaxed)
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// The URL as the programs take it.
    pub fn secret_url(&self) -> SecretString {
        self.url.clone().into()
    }

    /// A connection past all of our own code.
    pub async fn connect(&self) -> Client {
        connect(&self.url).await
    }

    /// Every change of a watched table from now on.
    pub async fn changes(&self) -> Changes {
        Changes::of(&self.url).await
    }

    async fn create(how: &str) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let cluster = cluster().await;
        cluster.admin.batch_execute(&format!("create database {name} {how}")).await.unwrap();
        Self::at(cluster.postgres.url(&name))
    }
}

/// Tells of changes to the tables that the edge writes behind its answers, whichever host it runs on.
pub struct Changes {
    _client: Client,
    notices: mpsc::UnboundedReceiver<AsyncMessage>,
}

impl Changes {
    async fn of(url: &str) -> Self {
        let (client, mut connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        let (sender, notices) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                let _ = sender.send(message);
            }
        });
        client.batch_execute("listen changed").await.unwrap();
        Self { _client: client, notices }
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        self.notices.recv().await.expect("Postgres goes on");
    }
}

/// What tests add to the schema: notes of what happened behind an answer, and word of every change.
const WATCH: &str = "
    create table contract_notes (name text not null, said text not null);
    create function tell() returns trigger language plpgsql as
        $$ begin notify changed; return null; end $$;
    create trigger tell after insert on contract_notes for each statement execute function tell();
    create trigger tell after insert or update on mail_outbox for each statement execute function tell();
    create trigger tell after insert on usage for each statement execute function tell();
    create trigger tell after insert or update on credit_leases for each statement execute function tell();
    create trigger tell after update on audit_log for each statement execute function tell();
    create trigger tell after insert or update on gpu_nodes for each statement execute function tell();";

const TEMPLATE: &str = "template_nest";

/// The password of every cluster's only role.
const DATABASE_PASSWORD: &str = "correct horse battery";

struct Cluster {
    postgres: Postgres,
    admin: Client,
}

async fn cluster() -> &'static Cluster {
    static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
    let start = || {
        lasting::run(async {
            let postgres = Postgres::start(options(&lasting::folder("postgres"))).await.unwrap();
            postgres.create_database(TEMPLATE).await.unwrap();
            prepare(&TestDb::at(postgres.url(TEMPLATE))).await;
            let admin = connect(&postgres.url("postgres")).await;
            admin.batch_execute(&format!("alter role nest password '{}'", verifier())).await.unwrap();
            Cluster { postgres, admin }
        })
    };
    CLUSTER.get_or_init(start).await
}

/// A migrated database in a cluster of its own, which can be stopped and started again.
pub struct PrivateDb {
    dir: PathBuf,
    port: u16,
    postgres: Option<Postgres>,
    pub db: TestDb,
}

impl PrivateDb {
    pub async fn start() -> Self {
        let dir = lasting::folder("private-postgres");
        let postgres = Postgres::start(options(&dir)).await.unwrap();
        postgres.create_database("nest").await.unwrap();
        let db = TestDb::at(postgres.url("nest"));
        prepare(&db).await;
        Self { dir, port: postgres.port(), postgres: Some(postgres), db }
    }

    /// Shuts Postgres down; connections break and new ones are refused.
    pub async fn stop(&mut self) {
        self.postgres.take().unwrap().stop().await.unwrap();
    }

    /// Starts it again, at the same address.
    pub async fn start_again(&mut self) {
        let options = Options { port: Some(self.port), ..options(&self.dir) };
        self.postgres = Some(Postgres::start(options).await.unwrap());
    }
}

/// Migrates, and makes the operator: hashing a password costs more than all the rest of a test.
async fn prepare(db: &TestDb) {
    migrations::up(&db.secret_url()).await.unwrap();
    db.connect().await.batch_execute(WATCH).await.unwrap();
    let host: Arc<dyn Host> = Arc::new(Native::new(&config(db, &[])).unwrap());
    let store = Store::new(host.clone());
    let operator =
        auth::NewOperator { email: OPERATOR.to_owned(), password: PASSWORD.into(), org_name: "Tests".to_owned() };
    auth::create_operator(&*host, &store, operator).await.unwrap();
    // A test counts the entries of its own acts.
    db.connect().await.batch_execute("truncate audit_log restart identity").await.unwrap();
}

/// What Postgres is to know of [`DATABASE_PASSWORD`], by RFC 5802: salt, stored key and server key, after one iteration.
///
/// Each of a Worker's requests opens a connection. By the usual 4,096 iterations two hundred at once take one isolate
/// longer than it waits for a connection, as soon as anything else runs on the machine; and none of that is the Worker's
/// in production, where connections end at Hyperdrive.
fn verifier() -> String {
    let salt = b"a test's own";
    let mac = |key: &[u8], parts: &[&[u8]]| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        parts.iter().for_each(|it| mac.update(it));
        mac.finalize().into_bytes()
    };
    let salted = mac(DATABASE_PASSWORD.as_bytes(), &[salt, &1_u32.to_be_bytes()]);
    let stored_key = Sha256::digest(mac(&salted, &[b"Client Key"]));
    let server_key = mac(&salted, &[b"Server Key"]);
    let [salt, stored_key, server_key] =
        [&salt[..], &stored_key[..], &server_key[..]].map(|it| BASE64_STANDARD.encode(it));
    format!("SCRAM-SHA-256$1:{salt}${stored_key}:{server_key}")
}

fn options(dir: &Path) -> Options {
    let mut options = Options::new(dir.join("pgdata"), dir.join("postgres.log"), DATABASE_PASSWORD.into());
    options.durability = Durability::Throwaway;
    options
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}
