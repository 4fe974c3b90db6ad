//! A try at an account's password, on its way to the SQL function `admit_login`.

use super::{
    Bucket, DeviceToken,
    rules::{ACCOUNT, DAY_MS, HOUR_MS, TOTAL_PER_DAY, address_ladder, ladder},
};
use crate::{
    App,
    limits::Client,
    sql::{Kind, SqlType, Value},
};
use serde::Serialize;
use shared::{id::UserId, time::Timestamp};

/// Who tries, and whose password.
#[derive(Clone)]
pub(in crate::auth) struct Attempt {
    pub(in crate::auth) at: Timestamp,
    email: String,
    address: Bucket,
    /// A device that its token says is known, and the account that it is known for.
    device: Option<(Bucket, UserId)>,
    tries_per_address: u64,
}

impl Attempt {
    /// A log-in.
    pub(in crate::auth) fn log_in(app: &App, client: &Client, email: &str) -> Self {
        let device = client.device.as_ref().and_then(|it| DeviceToken::parse(app, it));
        Self::new(app, client, email, device.map(|it| (Bucket::device(&it.id), it.user_id)))
    }

    /// A person who is logged in. Whoever found their session guesses in a count of its own.
    pub(in crate::auth) fn prove_anew(app: &App, client: &Client, email: &str, person: UserId) -> Self {
        Self::new(app, client, email, Some((Bucket::person(person), person)))
    }

    fn new(app: &App, client: &Client, email: &str, device: Option<(Bucket, UserId)>) -> Self {
        Self {
            at: app.host.now(),
            email: email.to_owned(),
            address: Bucket::address(client),
            device,
            tries_per_address: app.config.accounts.tries_per_address,
        }
    }

    /// The count that the try went into.
    pub(super) fn own(&self, known: bool) -> Bucket {
        match &self.device {
            Some((bucket, _)) if known => bucket.clone(),
            _ => Bucket::strangers(&self.email),
        }
    }

    pub(super) fn total(&self) -> Bucket {
        Bucket::total(&self.email)
    }
}

#[derive(Serialize)]
struct Given<'a> {
    at_ms: i64,
    email: &'a str,
    address: String,
    account: String,
    total: String,
    overall: String,
    device: Option<String>,
    device_user: Option<String>,
    hour_ms: i64,
    day_ms: i64,
    address_ladder: String,
    account_ladder: String,
    total_ladder: String,
}

impl SqlType for Attempt {
    const KIND: Kind = Kind::Text;
    fn into_value(self) -> Value {
        let given = Given {
            at_ms: self.at.0,
            email: &self.email,
            address: self.address.hex(),
            account: Bucket::strangers(&self.email).hex(),
            total: self.total().hex(),
            overall: Bucket::service().hex(),
            device: self.device.as_ref().map(|(bucket, _)| bucket.hex()),
            device_user: self.device.as_ref().map(|(_, user)| user.uuid().to_string()),
            hour_ms: HOUR_MS,
            day_ms: DAY_MS,
            address_ladder: address_ladder(self.tries_per_address),
            account_ladder: ladder(ACCOUNT),
            total_ladder: ladder(&[(TOTAL_PER_DAY, None)]),
        };
        Value::Text(serde_json::to_string(&given).expect("an attempt is plain data"))
    }
    fn from_value(_: &Value) -> Option<Self> {
        // Attempts are written; what is read is a row.
        None
    }
}
