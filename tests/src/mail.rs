//! Mail as a test sees it: what waits in the outbox, and rows past the code that wrote them.

use crate::{PATIENCE, TestEdge};
use edge_core::mail::{self, Shown};
use nest_contract::Post;
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use std::ops::Deref;
use tokio::time::timeout;
use tokio_postgres::Client;

/// What a row of `mail_outbox` says, as far as tests ask.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct MailRow {
    pub id: String,
    pub recipient: String,
    pub attempts: i64,
    /// Whether it still has its content.
    pub sealed: bool,
    pub sent: bool,
    pub failed: bool,
    pub error: Option<String>,
}

/// A mail as its reader finds it.
#[derive(Debug)]
pub struct Mail(Shown);

impl Deref for Mail {
    type Target = Shown;
    fn deref(&self) -> &Shown {
        &self.0
    }
}

impl Mail {
    /// Where its link leads.
    pub fn link(&self) -> &str {
        self.links.first().unwrap_or_else(|| panic!("no link in {}", self.text))
    }

    /// The token in its link.
    pub fn token(&self) -> &str {
        self.link().split_once('=').unwrap_or_else(|| panic!("no token in {}", self.text)).1
    }
}

/// Every row, in the order in which they were written.
pub async fn rows(client: &Client) -> Vec<MailRow> {
    let statement = "
        select json_build_object('id', id, 'recipient', recipient, 'attempts', attempts, 'sealed', sealed is not null,
            'sent', sent_at is not null, 'failed', failed_at is not null, 'error', error)::text
        from mail_outbox order by created_at, recipient";
    let rows = client.query(statement, &[]).await.unwrap();
    rows.iter().map(|row| serde_json::from_str(row.get(0)).unwrap()).collect()
}

impl TestEdge {
    /// The mails to `address` that wait, newest first, on any host. One that was sent has no content any more.
    pub async fn outbox(&self, address: &str) -> Vec<Shown> {
        mail::outbox(&self.config, &self.store(), Some(address)).await.unwrap()
    }

    /// The same, oldest first.
    pub async fn mails(&self, address: &str) -> Vec<Mail> {
        self.outbox(address).await.into_iter().rev().map(Mail).collect()
    }

    /// The newest mail to an address.
    pub async fn last_mail(&self, address: &str) -> Mail {
        self.mails(address).await.pop().unwrap_or_else(|| panic!("no mail to {address}"))
    }

    /// Has the edge write a mail, and send it behind its answer.
    pub async fn mail(&self, to: &str, template: &str, path: Option<&str>, fill: Value) {
        let mail = Post { to: to.to_owned(), template: template.to_owned(), path: path.map(str::to_owned), fill };
        let answer = self.post("/contract/mail").json(&mail).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    }

    /// All mails of the edge's database, as soon as `enough` holds for them.
    pub async fn mails_when(&self, enough: impl Fn(&[MailRow]) -> bool) -> Vec<MailRow> {
        let mut changes = self.db.changes().await;
        let client = self.db.connect().await;
        let wait = async {
            loop {
                let rows = rows(&client).await;
                if enough(&rows) {
                    return rows;
                }
                changes.next().await;
            }
        };
        timeout(PATIENCE, wait).await.expect("mail is dealt with soon")
    }
}
