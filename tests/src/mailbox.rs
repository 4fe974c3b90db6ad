//! Mail that waits in the outbox, as its reader would find it.

use crate::TestEdge;
use edge_core::seal::Place;
use serde_json::Value;

/// A mail, before its template makes text of it.
#[derive(Debug)]
pub struct Mail {
    pub template: String,
    pub fill: Value,
}

impl Mail {
    /// Where its link leads.
    pub fn link(&self) -> &str {
        self.fill["link"].as_str().unwrap_or_else(|| panic!("no link in {self:?}"))
    }

    /// The token in its link.
    pub fn token(&self) -> &str {
        self.link().split_once('=').unwrap_or_else(|| panic!("no token in {self:?}")).1
    }
}

impl TestEdge {
    /// What was sent to an address, oldest first.
    pub async fn mails(&self, address: &str) -> Vec<Mail> {
        let select = "select id::text, template, sealed from mail_outbox where recipient = $1 order by created_at, id";
        let rows = self.db.connect().await.query(select, &[&address]).await.unwrap();
        let mail = |row: tokio_postgres::Row| {
            let (id, sealed): (String, Vec<u8>) = (row.get(0), row.get(2));
            let place = Place { column: "mail_outbox.sealed", row: &id };
            let fill = self.config.keyring.open(place, &sealed).unwrap();
            Mail { template: row.get(1), fill: serde_json::from_slice(&fill).unwrap() }
        };
        rows.into_iter().map(mail).collect()
    }

    /// The newest mail to an address.
    pub async fn last_mail(&self, address: &str) -> Mail {
        self.mails(address).await.pop().unwrap_or_else(|| panic!("no mail to {address}"))
    }
}
