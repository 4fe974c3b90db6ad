//! `mail_outbox`: rows come by the SQL function `enqueue_mail`; what becomes of them is written here.

use crate::{
    Store,
    sql::{SqlError, row, sql},
};
use shared::{id::MailId, time::Timestamp};

row! {
    /// A mail that is to be tried, and that nobody else tries meanwhile.
    pub(super) struct Due {
        pub(super) id: MailId,
        pub(super) recipient: String,
        pub(super) template: String,
        pub(super) sealed: Vec<u8>,
        /// This try counted.
        pub(super) attempts: i64,
        pub(super) created_at: Timestamp,
    }
}

row! {
    /// A mail as `/dev/outbox` reads it.
    pub(super) struct Waiting {
        pub(super) id: MailId,
        pub(super) recipient: String,
        pub(super) template: String,
        pub(super) sealed: Vec<u8>,
        pub(super) created_at: Timestamp,
    }
}

row! {
    struct Marked {
        id: MailId,
    }
}

row! {
    struct Swept {
        mails: i64,
    }
}

sql! {
    // A row that another edge claims at this moment is skipped, one that it has just claimed is read again and left out.
    CLAIM(Timestamp, Timestamp, i64) -> Due = "
        with due as (
            select id from mail_outbox
            where sent_at is null and failed_at is null and due_at <= to_timestamp($1::int8 / 1000.0)
                and (claimed_until is null or claimed_until <= to_timestamp($1::int8 / 1000.0))
            order by due_at, id limit $3::int8 for update skip locked
        )
        update mail_outbox mail
        set claimed_until = to_timestamp($2::int8 / 1000.0), attempts = mail.attempts + 1
        from due where mail.id = due.id
        returning mail.id::text, mail.recipient, mail.template, mail.sealed, mail.attempts,
            (extract(epoch from mail.created_at) * 1000)::int8 as created_at";

    // Whoever has sent it is right, even when the claim ran out meanwhile.
    SENT(MailId, Timestamp) -> Marked = "
        update mail_outbox
        set sent_at = to_timestamp($2::int8 / 1000.0), failed_at = null, sealed = null, claimed_until = null, error = null
        where id = $1::text::uuid and sent_at is null
        returning id::text";

    // Only the latest try may say what comes next.
    AGAIN(MailId, i64, Timestamp, String) -> Marked = "
        update mail_outbox
        set due_at = to_timestamp($3::int8 / 1000.0), claimed_until = null, error = $4::text
        where id = $1::text::uuid and attempts = $2::int8 and sent_at is null and failed_at is null
        returning id::text";

    FAILED(MailId, i64, Timestamp, String) -> Marked = "
        update mail_outbox
        set failed_at = to_timestamp($3::int8 / 1000.0), sealed = null, claimed_until = null, error = $4::text
        where id = $1::text::uuid and attempts = $2::int8 and sent_at is null and failed_at is null
        returning id::text";

    WAITING(Option<String>, i64) -> Waiting = "
        select id::text, recipient, template, sealed, (extract(epoch from created_at) * 1000)::int8 as created_at
        from mail_outbox where sealed is not null and ($1::text is null or recipient = $1::text)
        order by mail_outbox.created_at desc, mail_outbox.id desc limit $2::int8";

    SWEEP(Timestamp) -> Swept = "
        with swept as (
            delete from mail_outbox
            where (sent_at is not null or failed_at is not null) and created_at < to_timestamp($1::int8 / 1000.0)
            returning 1
        )
        select count(*)::int8 as mails from swept";
}

impl Store {
    /// At most `limit` mails that are due at `now`, to be tried until `until`.
    pub(super) async fn claim_mail(&self, now: Timestamp, until: Timestamp, limit: i64) -> Result<Vec<Due>, SqlError> {
        self.all(&CLAIM, (now, until, limit)).await
    }

    pub(super) async fn mail_sent(&self, id: MailId, now: Timestamp) -> Result<(), SqlError> {
        self.first(&SENT, (id, now)).await.map(check(id))
    }

    pub(super) async fn mail_again(
        &self,
        id: MailId,
        attempts: i64,
        due: Timestamp,
        error: String,
    ) -> Result<(), SqlError> {
        self.first(&AGAIN, (id, attempts, due, error)).await.map(check(id))
    }

    pub(super) async fn mail_failed(
        &self,
        id: MailId,
        attempts: i64,
        now: Timestamp,
        error: String,
    ) -> Result<(), SqlError> {
        self.first(&FAILED, (id, attempts, now, error)).await.map(check(id))
    }

    /// The latest mails that still have their content, newest first, of one recipient or of all.
    pub(super) async fn waiting_mail(&self, recipient: Option<String>, limit: i64) -> Result<Vec<Waiting>, SqlError> {
        self.all(&WAITING, (recipient, limit)).await
    }

    /// Deletes what was sent or given up and is older than `before`, and says how many these were.
    pub(super) async fn sweep_mail(&self, before: Timestamp) -> Result<i64, SqlError> {
        Ok(self.first(&SWEEP, (before,)).await?.map_or(0, |row| row.mails))
    }
}

/// None is marked when another try has come in between.
fn check(id: MailId) -> impl FnOnce(Option<Marked>) {
    move |marked| debug_assert!(marked.is_none_or(|row| row.id == id))
}
