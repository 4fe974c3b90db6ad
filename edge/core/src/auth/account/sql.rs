//! Sign-ups, mailed tokens, and what changes a person's proofs. What needs more than one step is an SQL function of the
//! migrations.

use super::{super::CreatedOperator, NewAccount, mailed::MailLimit};
use crate::{
    App, Store,
    audit::Entry,
    auth::throttle::{Bucket, HOUR_MS, address_ladder},
    limits::Client,
    mail::Letter,
    sql::{SqlError, row, sql},
};
use shared::{
    id::{OrgId, SessionId, UserId},
    time::Timestamp,
};

row! {
    struct Done {
        done: i64,
    }
}

row! {
    /// What a mailed token is for, if it is good; and whether the client may try one at all.
    pub(super) struct Mailed {
        pub(super) wait_ms: i64,
        /// `signup`, `password_reset` or `email_change`.
        pub(super) purpose: Option<String>,
        pub(super) email: Option<String>,
        pub(super) name: Option<String>,
    }
}

row! {
    struct Proven {
        email: Option<String>,
    }
}

row! {
    struct WhoseReset {
        user_id: Option<UserId>,
    }
}

pub(super) struct NewSignup {
    pub(super) token_hash: Vec<u8>,
    pub(super) email: String,
    pub(super) password_hash: String,
    pub(super) name: String,
    pub(super) now: Timestamp,
    pub(super) expires_at: Timestamp,
    pub(super) limit: MailLimit,
    pub(super) verify: Letter,
    pub(super) exists: Letter,
    pub(super) entry: Entry,
}

pub(super) struct Proof {
    pub(super) token_hash: Vec<u8>,
    pub(super) account: NewAccount,
    pub(super) now: Timestamp,
    pub(super) created: Entry,
    pub(super) changed: Entry,
    pub(super) notice: Letter,
}

pub(super) struct Forgotten {
    pub(super) email: String,
    pub(super) token_hash: Vec<u8>,
    pub(super) now: Timestamp,
    pub(super) expires_at: Timestamp,
    pub(super) limit: MailLimit,
    pub(super) letter: Letter,
    pub(super) entry: Entry,
}

pub(super) struct Reset {
    pub(super) token_hash: Vec<u8>,
    pub(super) new_hash: String,
    pub(super) now: Timestamp,
    pub(super) revoke_keys: bool,
    pub(super) entry: Entry,
    pub(super) notice: Letter,
}

pub(super) struct Change {
    pub(super) user_id: UserId,
    pub(super) old_hash: String,
    pub(super) new_hash: String,
    pub(super) session_id: SessionId,
    pub(super) now: Timestamp,
    pub(super) entry: Entry,
    pub(super) notice: Letter,
}

pub(super) struct AddressChange {
    pub(super) user_id: UserId,
    pub(super) email: String,
    pub(super) token_hash: Vec<u8>,
    pub(super) now: Timestamp,
    pub(super) expires_at: Timestamp,
    pub(super) limit: MailLimit,
    pub(super) prove: Letter,
    pub(super) exists: Letter,
    pub(super) entry: Entry,
}

sql! {
    SIGN_UP(Vec<u8>, String, String, String, Timestamp, Timestamp, Bucket, i64, String, Letter, Letter, Entry) -> Done = "
        with known as materialized (
            select take.wait_ms, exists (select from users where email = $2::text) as taken
            from take_try($7::bytea, to_timestamp($5::int8 / 1000.0), $8::int8, $9::text) take
        ),
        made as (
            insert into signups (token_hash, email, password_hash, name, created_at, expires_at)
            select $1::bytea, $2::text, $3::text, $4::text, to_timestamp($5::int8 / 1000.0),
                to_timestamp($6::int8 / 1000.0)
            from known where wait_ms = 0 and not taken
        )
        select case when wait_ms > 0 then 0 when taken then enqueue_mail($11::text) else enqueue_mail($10::text) end
            as done
        from known where audit($12::text) > 0";

    MAILED_TOKEN(Bucket, Timestamp, i64, String, Vec<u8>) -> Mailed = "
        with allowed as materialized (
            select wait_ms from take_try($1::bytea, to_timestamp($2::int8 / 1000.0), $3::int8, $4::text)
        )
        select allowed.wait_ms, good.purpose, good.email, good.name
        from allowed left join (
            select 'signup' as purpose, email, name from signups
            where token_hash = $5::bytea and used_at is null and expires_at > to_timestamp($2::int8 / 1000.0)
            union all
            select mailed.purpose, mailed.email, users.name
            from mailed_tokens mailed join users on users.id = mailed.user_id
            where mailed.token_hash = $5::bytea and mailed.used_at is null
                and mailed.expires_at > to_timestamp($2::int8 / 1000.0)
        ) good on allowed.wait_ms = 0";

    PROVE_ADDRESS(Vec<u8>, NewAccount, Timestamp, Entry, Entry, Letter) -> Proven = "
        select prove_address($1::bytea, $2::text, to_timestamp($3::int8 / 1000.0), $4::text, $5::text, $6::text) as email";

    // A suspended person gets no mail, as an address without an account gets none.
    FORGOT(String, Vec<u8>, Timestamp, Timestamp, Bucket, i64, String, Letter, Entry) -> Done = "
        with allowed as materialized (
            select wait_ms from take_try($5::bytea, to_timestamp($3::int8 / 1000.0), $6::int8, $7::text)
        ),
        asked as materialized (
            select users.id from allowed left join users
                on users.email = $1::text and users.suspended_at is null and allowed.wait_ms = 0
        )
        select case when id is null then 0
            else mail_token($2::bytea, id, 'password_reset', $1::text, to_timestamp($3::int8 / 1000.0),
                to_timestamp($4::int8 / 1000.0)) * enqueue_mail($8::text) end as done
        from asked where audit($9::text, null, id::text) > 0";

    RESET(Vec<u8>, String, Timestamp, bool, Entry, Letter) -> WhoseReset = "
        select reset_password($1::bytea, $2::text, to_timestamp($3::int8 / 1000.0), $4::bool, $5::text, $6::text)::text
            as user_id";

    CHANGE(UserId, String, String, SessionId, Timestamp, Entry, Letter) -> Done = "
        with changed as materialized (
            select replace_password($1::text::uuid, $2::text, $3::text, $4::text::uuid, to_timestamp($5::int8 / 1000.0))
                as email
        )
        select enqueue_mail($7::text, email) as done from changed where email is not null and audit($6::text) > 0";

    ASK_FOR_ADDRESS(UserId, String, Vec<u8>, Timestamp, Timestamp, Bucket, i64, String, Letter, Letter, Entry) -> Done = "
        with known as materialized (
            select take.wait_ms, exists (select from users where email = $2::text) as taken
            from take_try($6::bytea, to_timestamp($4::int8 / 1000.0), $7::int8, $8::text) take
        )
        select case when wait_ms > 0 then 0
            when taken then enqueue_mail($10::text)
            else mail_token($3::bytea, $1::text::uuid, 'email_change', $2::text, to_timestamp($4::int8 / 1000.0),
                to_timestamp($5::int8 / 1000.0)) * enqueue_mail($9::text) end as done
        from known where audit($11::text) > 0";

    RENAME(UserId, String, Entry) -> Done = "
        with renamed as (update users set name = $2::text where id = $1::text::uuid returning id)
        select 1::int8 as done from renamed where audit($3::text) > 0";

    INVITE_OPERATOR(UserId, String, OrgId, String, Vec<u8>, Timestamp, Timestamp, Entry) -> Done = "
        with person as (
            insert into users (id, email, operator, created_at)
            values ($1::text::uuid, $2::text, true, to_timestamp($6::int8 / 1000.0))
            returning id
        ),
        founded as materialized (select id, found_org($3::text::uuid, $4::text, id) as org from person)
        select mail_token($5::bytea, id, 'password_reset', $2::text, to_timestamp($6::int8 / 1000.0),
            to_timestamp($7::int8 / 1000.0)) as done
        from founded where org is not null and audit($8::text) > 0";

    // What another statement works with is not touched; the next minute is soon enough.
    SWEEP_SIGNUPS(Timestamp) -> () = "
        delete from signups where token_hash in (
            select token_hash from signups where expires_at <= to_timestamp($1::int8 / 1000.0)
            for update skip locked)";

    SWEEP_MAILED_TOKENS(Timestamp) -> () = "
        delete from mailed_tokens where token_hash in (
            select token_hash from mailed_tokens where expires_at <= to_timestamp($1::int8 / 1000.0)
            for update skip locked)";
}

impl Store {
    /// Keeps a sign-up and sends its link, or tells the address that it has an account.
    pub(super) async fn sign_up(&self, new: NewSignup) -> Result<(), SqlError> {
        let NewSignup { token_hash, email, password_hash, name, now, expires_at, limit, verify, exists, entry } = new;
        let MailLimit { bucket, window_ms, ladder } = limit;
        let rest = (bucket, window_ms, ladder, verify, exists, entry);
        let params =
            (token_hash, email, password_hash, name, now, expires_at, rest.0, rest.1, rest.2, rest.3, rest.4, rest.5);
        self.first(&SIGN_UP, params).await.map(drop)
    }

    /// What a mailed token is for; counts the client's try.
    pub(super) async fn mailed_token(&self, app: &App, client: &Client, hash: Vec<u8>) -> Result<Mailed, SqlError> {
        let ladder = address_ladder(app.config.accounts.tries_per_address);
        let found = self.first(&MAILED_TOKEN, (Bucket::address(client), app.host.now(), HOUR_MS, ladder, hash)).await?;
        // One row comes whether or not the token is good.
        found.ok_or(SqlError::Column { index: 0 })
    }

    /// The address that a token proves; none when it proves nothing.
    pub(super) async fn prove_address(&self, proof: Proof) -> Result<Option<String>, SqlError> {
        let Proof { token_hash, account, now, created, changed, notice } = proof;
        let proven = self.first(&PROVE_ADDRESS, (token_hash, account, now, created, changed, notice)).await?;
        Ok(proven.and_then(|row| row.email))
    }

    /// Sends a link that sets a new password, if there is such a person.
    pub(super) async fn forgot_password(&self, forgotten: Forgotten) -> Result<(), SqlError> {
        let Forgotten { email, token_hash, now, expires_at, limit, letter, entry } = forgotten;
        let MailLimit { bucket, window_ms, ladder } = limit;
        let params = (email, token_hash, now, expires_at, bucket, window_ms, ladder, letter, entry);
        self.first(&FORGOT, params).await.map(drop)
    }

    /// The person whose password a token has reset; none when it is good for nothing.
    pub(super) async fn reset_password(&self, by: Reset) -> Result<Option<UserId>, SqlError> {
        let Reset { token_hash, new_hash, now, revoke_keys, entry, notice } = by;
        let reset = self.first(&RESET, (token_hash, new_hash, now, revoke_keys, entry, notice)).await?;
        Ok(reset.and_then(|row| row.user_id))
    }

    /// Changes a password that still is what was proven; false when it is not.
    pub(super) async fn change_password(&self, change: Change) -> Result<bool, SqlError> {
        let Change { user_id, old_hash, new_hash, session_id, now, entry, notice } = change;
        let params = (user_id, old_hash, new_hash, session_id, now, entry, notice);
        Ok(self.first(&CHANGE, params).await?.is_some_and(|row| row.done == 1))
    }

    /// Sends a link to a new address, or tells that address that it has an account.
    pub(super) async fn ask_for_address(&self, change: AddressChange) -> Result<(), SqlError> {
        let AddressChange { user_id, email, token_hash, now, expires_at, limit, prove, exists, entry } = change;
        let MailLimit { bucket, window_ms, ladder } = limit;
        let params = (user_id, email, token_hash, now, expires_at, bucket, window_ms, ladder, prove, exists, entry);
        self.first(&ASK_FOR_ADDRESS, params).await.map(drop)
    }

    pub(super) async fn rename(&self, user: UserId, name: String, entry: Entry) -> Result<(), SqlError> {
        self.first(&RENAME, (user, name, entry)).await.map(drop)
    }

    /// Makes an operator without a password.
    pub(super) async fn invite_operator(&self, new: NewOperatorRow) -> Result<(), SqlError> {
        let NewOperatorRow { created, email, org_name, token_hash, now, expires_at, entry } = new;
        let params = (created.user_id, email, created.org_id, org_name, token_hash, now, expires_at, entry);
        let made = self.first(&INVITE_OPERATOR, params).await?;
        debug_assert!(made.is_some_and(|row| row.done == 1));
        Ok(())
    }

    pub(super) async fn sweep_signups(&self, now: Timestamp) -> Result<(), SqlError> {
        self.first(&SWEEP_SIGNUPS, (now,)).await.map(drop)
    }

    pub(super) async fn sweep_mailed_tokens(&self, now: Timestamp) -> Result<(), SqlError> {
        self.first(&SWEEP_MAILED_TOKENS, (now,)).await.map(drop)
    }
}

/// An operator on their way into the table.
pub(super) struct NewOperatorRow {
    pub(super) created: CreatedOperator,
    pub(super) email: String,
    pub(super) org_name: String,
    pub(super) token_hash: Vec<u8>,
    pub(super) now: Timestamp,
    pub(super) expires_at: Timestamp,
    pub(super) entry: Entry,
}
