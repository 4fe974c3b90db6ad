//! The tables of second factors; what races is decided by the SQL functions of `V0009__second_factors.sql`.

use super::{factor::Factor, recovery::Letters};
use crate::{
    Store,
    audit::Entry,
    auth::session::Opening,
    mail::Letter,
    sql::{SqlError, row, sql},
};
use shared::{
    id::{PasskeyId, SessionId, UserId},
    time::Timestamp,
};

row! {
    /// What a challenge may be answered with.
    pub(super) struct Waiting {
        pub(super) has_totp: bool,
        pub(super) has_passkey: bool,
        pub(super) has_codes: bool,
    }
}

row! {
    /// A try that was counted, and what is needed to judge it; or why there is none.
    pub(super) struct Try {
        pub(super) user_id: Option<UserId>,
        pub(super) state: Option<String>,
        pub(super) passkey_challenge: Option<Vec<u8>>,
        pub(super) refused: Option<String>,
        pub(super) retry_after_s: Option<i64>,
        pub(super) version: Option<i64>,
        pub(super) totp_sealed: Option<Vec<u8>>,
        pub(super) passkey_id: Option<PasskeyId>,
        pub(super) passkey: Option<Vec<u8>>,
        pub(super) sign_count: Option<i64>,
    }
}

row! {
    struct Verdict {
        verdict: String,
    }
}

row! {
    struct Done {
        done: i64,
    }
}

row! {
    /// How a session was opened.
    pub(super) struct OpenedBy {
        pub(super) transport: String,
        pub(super) client_id: String,
        pub(super) scope: String,
    }
}

row! {
    /// Which factors a person has, once for each passkey.
    pub(super) struct FactorRow {
        pub(super) totp_confirmed_at: Option<Timestamp>,
        pub(super) codes_left: i64,
        pub(super) passkey_id: Option<PasskeyId>,
        pub(super) name: Option<String>,
        pub(super) created_at: Option<Timestamp>,
        pub(super) last_used_at: Option<Timestamp>,
    }
}

row! {
    /// A secret that waits for its first code.
    pub(super) struct PendingTotp {
        pub(super) sealed: Vec<u8>,
    }
}

row! {
    /// A passkey's id by its authenticator, and what is kept of it.
    pub(super) struct CredentialRow {
        pub(super) credential_id: Option<Vec<u8>>,
        pub(super) credential: Option<Vec<u8>>,
    }
}

/// The end of a log-in.
pub(super) struct Finish {
    pub(super) opening: Opening,
    pub(super) user_id: UserId,
    /// When the first factor was proven.
    pub(super) first_at: Timestamp,
    pub(super) challenge: Option<Vec<u8>>,
    pub(super) factor: Option<Factor>,
    pub(super) replaces: Option<SessionId>,
    pub(super) letters: Letters,
    pub(super) now: Timestamp,
    pub(super) entry: Entry,
}

/// A passkey on its way into the table.
pub(super) struct NewPasskey {
    pub(super) id: PasskeyId,
    pub(super) credential_id: Vec<u8>,
    pub(super) credential: Vec<u8>,
    pub(super) sign_count: i64,
    pub(super) name: String,
}

/// What every change of somebody's factors carries with it.
pub(super) struct Change {
    pub(super) user_id: UserId,
    pub(super) now: Timestamp,
    pub(super) entry: Entry,
    pub(super) letter: Letter,
}

sql! {
    BEGIN(Vec<u8>, UserId, String, Timestamp, Timestamp) -> Waiting = "
        with begun as (
            insert into challenges (token_hash, user_id, purpose, state, created_at, expires_at)
            values ($1::bytea, $2::text::uuid, 'login', $3::text, to_timestamp($4::int8 / 1000.0),
                to_timestamp($5::int8 / 1000.0))
            returning user_id
        )
        select
            exists (select from totp_secrets totp where totp.user_id = begun.user_id and totp.confirmed_at is not null)
                as has_totp,
            exists (select from passkeys where passkeys.user_id = begun.user_id) as has_passkey,
            exists (select from recovery_codes code where code.user_id = begun.user_id and code.used_at is null)
                as has_codes
        from begun";

    TRY(Option<Vec<u8>>, Option<UserId>, Timestamp, Option<Vec<u8>>) -> Try = "
        select try.person::text as user_id, try.state, try.passkey_challenge, try.refused, try.retry_after_s,
            users.version, totp.sealed as totp_sealed, passkey.id::text as passkey_id, passkey.credential as passkey,
            passkey.sign_count
        from take_second_factor_try($1::bytea, $2::text::uuid, to_timestamp($3::int8 / 1000.0)) try
        left join users on users.id = try.person
        left join totp_secrets totp on totp.user_id = try.person and totp.confirmed_at is not null
        left join passkeys passkey on passkey.user_id = try.person and passkey.credential_id = $4::bytea";

    FINISH(Opening, UserId, Timestamp, Option<Vec<u8>>, Option<Factor>, Option<SessionId>, Letters, Timestamp, Entry) -> Verdict = "
        with finished as materialized (
            select finish_log_in($1::text, $2::text::uuid, to_timestamp($3::int8 / 1000.0), $4::bytea, $5::text,
                $6::text::uuid, $7::text, to_timestamp($8::int8 / 1000.0)) as verdict
        )
        select verdict from finished where case when verdict = 'opened' then audit($9::text) > 0 else true end";

    REFUSED(Entry) -> Done = "select audit($1::text) as done";

    OPENED_BY(SessionId) -> OpenedBy = "
        select transport, client_id, scope from sessions where id = $1::text::uuid";

    FACTORS(UserId) -> FactorRow = "
        select (extract(epoch from totp.confirmed_at) * 1000)::int8 as totp_confirmed_at,
            (select count(*) from recovery_codes code where code.user_id = users.id and code.used_at is null)::int8
                as codes_left,
            passkey.id::text as passkey_id, passkey.name,
            (extract(epoch from passkey.created_at) * 1000)::int8 as created_at,
            (extract(epoch from passkey.last_used_at) * 1000)::int8 as last_used_at
        from users
        left join totp_secrets totp on totp.user_id = users.id
        left join passkeys passkey on passkey.user_id = users.id
        where users.id = $1::text::uuid
        order by passkey.created_at, passkey.id";

    BEGIN_TOTP(UserId, Vec<u8>, Timestamp, Entry) -> Done = "
        with begun as (
            insert into totp_secrets as totp (user_id, sealed, created_at)
            values ($1::text::uuid, $2::bytea, to_timestamp($3::int8 / 1000.0))
            on conflict (user_id) do update
            set sealed = excluded.sealed, created_at = excluded.created_at, last_step = 0
            where totp.confirmed_at is null
            returning user_id
        )
        select 1::int8 as done from begun where audit($4::text) > 0";

    PENDING_TOTP(UserId, Timestamp) -> PendingTotp = "
        select sealed from totp_secrets
        where user_id = $1::text::uuid and confirmed_at is null and created_at > to_timestamp($2::int8 / 1000.0)";

    CONFIRM_TOTP(UserId, Vec<u8>, i64, String, Timestamp, Letter, Entry) -> Verdict = "
        with confirmed as materialized (
            select confirm_totp($1::text::uuid, $2::bytea, $3::int8, $4::text, to_timestamp($5::int8 / 1000.0))
                as verdict
        )
        select verdict from confirmed join users on users.id = $1::text::uuid
        where case when verdict <> 'none' then enqueue_mail($6::text, users.email) > 0 and audit($7::text) > 0
            else true end";

    REMOVE_TOTP(UserId, Factor, Letters, Timestamp, Letter, Entry) -> Done = "
        with removed as materialized (
            select remove_totp($1::text::uuid, $2::text, $3::text, to_timestamp($4::int8 / 1000.0)) as done
        )
        select 1::int8 as done from removed join users on users.id = $1::text::uuid
        where case when removed.done then enqueue_mail($5::text, users.email) > 0 and audit($6::text) > 0
            else false end";

    RENEW_CODES(UserId, String, Timestamp, Letter, Entry) -> Done = "
        with renewed as materialized (
            select renew_recovery_codes($1::text::uuid, $2::text, to_timestamp($3::int8 / 1000.0)) as done
        )
        select 1::int8 as done from renewed join users on users.id = $1::text::uuid
        where case when renewed.done then enqueue_mail($4::text, users.email) > 0 and audit($5::text) > 0
            else false end";

    BEGIN_PASSKEY(UserId, Vec<u8>, Timestamp, Timestamp) -> CredentialRow = "
        with begun as (
            insert into challenges (token_hash, user_id, purpose, state, created_at, expires_at)
            values ($2::bytea, $1::text::uuid, 'passkey', '{}', to_timestamp($3::int8 / 1000.0),
                to_timestamp($4::int8 / 1000.0))
            returning user_id
        )
        select passkey.credential_id, passkey.credential
        from begun left join passkeys passkey on passkey.user_id = begun.user_id";

    ADD_PASSKEY(UserId, Vec<u8>, PasskeyId, Vec<u8>, Vec<u8>, i64, String, String, Timestamp, Letter, Entry)
        -> Verdict = "
        with added as materialized (
            select add_passkey($1::text::uuid, $2::bytea, $3::text::uuid, $4::bytea, $5::bytea, $6::int8, $7::text,
                $8::text, to_timestamp($9::int8 / 1000.0)) as verdict
        )
        select verdict from added join users on users.id = $1::text::uuid
        where case when verdict in ('first', 'added')
            then enqueue_mail($10::text, users.email) > 0 and audit($11::text) > 0 else true end";

    ASK_PASSKEY(Vec<u8>, Vec<u8>, Timestamp) -> CredentialRow = "
        with asked as (
            update challenges set passkey_challenge = $2::bytea
            where token_hash = $1::bytea and purpose = 'login' and used_at is null and attempts < 5
                and expires_at > to_timestamp($3::int8 / 1000.0)
            returning user_id
        )
        select passkey.credential_id, passkey.credential
        from asked left join passkeys passkey on passkey.user_id = asked.user_id";

    RENAME_PASSKEY(PasskeyId, UserId, String, Entry) -> Done = "
        with renamed as (
            update passkeys set name = $3::text where id = $1::text::uuid and user_id = $2::text::uuid returning id
        )
        select 1::int8 as done from renamed where audit($4::text) > 0";

    REMOVE_PASSKEY(UserId, PasskeyId, Letter, Entry) -> Done = "
        with removed as materialized (select remove_passkey($1::text::uuid, $2::text::uuid) as done)
        select 1::int8 as done from removed join users on users.id = $1::text::uuid
        where case when removed.done then enqueue_mail($3::text, users.email) > 0 and audit($4::text) > 0
            else false end";

    SWEEP(Timestamp) -> () = "
        delete from challenges where expires_at < to_timestamp($1::int8 / 1000.0)";
}

impl Store {
    /// Stores a challenge.
    pub(super) async fn begin_challenge(
        &self,
        token_hash: Vec<u8>,
        user: UserId,
        state: String,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<Option<Waiting>, SqlError> {
        self.first(&BEGIN, (token_hash, user, state, now, expires_at)).await
    }

    /// Counts a try of a challenge, or of a person.
    pub(super) async fn take_second_factor_try(
        &self,
        challenge: Option<Vec<u8>>,
        user: Option<UserId>,
        now: Timestamp,
        credential_id: Option<Vec<u8>>,
    ) -> Result<Option<Try>, SqlError> {
        self.first(&TRY, (challenge, user, now, credential_id)).await
    }

    /// Ends a log-in, and says what came of it, as the SQL function does.
    pub(super) async fn finish_log_in(&self, it: Finish) -> Result<String, SqlError> {
        let Finish { opening, user_id, first_at, challenge, factor, replaces, letters, now, entry } = it;
        let verdict =
            self.first(&FINISH, (opening, user_id, first_at, challenge, factor, replaces, letters, now, entry)).await?;
        Ok(verdict.map_or_else(String::new, |it| it.verdict))
    }

    /// Notes a try that failed.
    pub(super) async fn second_factor_refused(&self, entry: Entry) -> Result<(), SqlError> {
        self.first(&REFUSED, (entry,)).await.map(|row| debug_assert!(row.is_some_and(|it| it.done > 0)))
    }

    pub(super) async fn opened_by(&self, session: SessionId) -> Result<Option<OpenedBy>, SqlError> {
        self.first(&OPENED_BY, (session,)).await
    }

    pub(super) async fn factors(&self, user: UserId) -> Result<Vec<FactorRow>, SqlError> {
        self.all(&FACTORS, (user,)).await
    }

    /// Stores a secret that is to be confirmed; false when there is a confirmed one.
    pub(super) async fn begin_totp(
        &self,
        user: UserId,
        sealed: Vec<u8>,
        now: Timestamp,
        entry: Entry,
    ) -> Result<bool, SqlError> {
        Ok(self.first(&BEGIN_TOTP, (user, sealed, now, entry)).await?.is_some_and(|row| row.done == 1))
    }

    /// The secret that waits for its first code, if it was made after `from`.
    pub(super) async fn pending_totp(&self, user: UserId, from: Timestamp) -> Result<Option<PendingTotp>, SqlError> {
        self.first(&PENDING_TOTP, (user, from)).await
    }

    pub(super) async fn confirm_totp(
        &self,
        change: Change,
        sealed: Vec<u8>,
        step: i64,
        hashes: String,
    ) -> Result<String, SqlError> {
        let Change { user_id, now, entry, letter } = change;
        let verdict = self.first(&CONFIRM_TOTP, (user_id, sealed, step, hashes, now, letter, entry)).await?;
        Ok(verdict.map_or_else(String::new, |it| it.verdict))
    }

    pub(super) async fn remove_totp(&self, change: Change, factor: Factor, letters: Letters) -> Result<bool, SqlError> {
        let Change { user_id, now, entry, letter } = change;
        let done = self.first(&REMOVE_TOTP, (user_id, factor, letters, now, letter, entry)).await?;
        Ok(done.is_some_and(|row| row.done == 1))
    }

    pub(super) async fn renew_recovery_codes(&self, change: Change, hashes: String) -> Result<bool, SqlError> {
        let Change { user_id, now, entry, letter } = change;
        let done = self.first(&RENEW_CODES, (user_id, hashes, now, letter, entry)).await?;
        Ok(done.is_some_and(|row| row.done == 1))
    }

    /// Stores the challenge for a new passkey, and gives those that there are.
    pub(super) async fn begin_passkey(
        &self,
        user: UserId,
        hash: Vec<u8>,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<Vec<CredentialRow>, SqlError> {
        self.all(&BEGIN_PASSKEY, (user, hash, now, expires_at)).await
    }

    pub(super) async fn add_passkey(
        &self,
        change: Change,
        challenge: Vec<u8>,
        new: NewPasskey,
        hashes: String,
    ) -> Result<String, SqlError> {
        let Change { user_id, now, entry, letter } = change;
        let NewPasskey { id, credential_id, credential, sign_count, name } = new;
        let params = (user_id, challenge, id, credential_id, credential, sign_count, name, hashes, now, letter, entry);
        Ok(self.first(&ADD_PASSKEY, params).await?.map_or_else(String::new, |it| it.verdict))
    }

    /// Stores what a passkey has to sign for a log-in, and gives those that may; none when the log-in waits no more.
    pub(super) async fn ask_passkey(
        &self,
        token_hash: Vec<u8>,
        challenge: Vec<u8>,
        now: Timestamp,
    ) -> Result<Vec<CredentialRow>, SqlError> {
        self.all(&ASK_PASSKEY, (token_hash, challenge, now)).await
    }

    pub(super) async fn rename_passkey(
        &self,
        id: PasskeyId,
        user: UserId,
        name: String,
        entry: Entry,
    ) -> Result<bool, SqlError> {
        Ok(self.first(&RENAME_PASSKEY, (id, user, name, entry)).await?.is_some_and(|row| row.done == 1))
    }

    pub(super) async fn remove_passkey(&self, change: Change, id: PasskeyId) -> Result<bool, SqlError> {
        let Change { user_id, entry, letter, .. } = change;
        let done = self.first(&REMOVE_PASSKEY, (user_id, id, letter, entry)).await?;
        Ok(done.is_some_and(|row| row.done == 1))
    }

    /// Forgets challenges that ended before `before`.
    pub(super) async fn sweep_challenges(&self, before: Timestamp) -> Result<(), SqlError> {
        self.first(&SWEEP, (before,)).await.map(drop)
    }
}
