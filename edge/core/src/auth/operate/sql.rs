//! What operators read and write of `users` and `sessions`.

use super::Operator;
use crate::{
    Store,
    audit::Entry,
    sql::{SqlError, row, sql},
};
use serde::{Serialize, Serializer};
use shared::{id::UserId, time::Timestamp};

row! {
    /// A person as operators' lists show them.
    #[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
    pub struct PersonRow {
        pub id: UserId,
        pub email: String,
        pub name: String,
        /// Whether the person runs the platform.
        pub operator: bool,
        pub created_at: Timestamp,
        /// Since when the person may not log in; null while they may.
        pub suspended_at: Option<Timestamp>,
    }
}

row! {
    /// A person as operators see them: what is set up, never what it is.
    #[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
    pub struct Account {
        pub id: UserId,
        pub email: String,
        pub name: String,
        /// Whether the person runs the platform.
        pub operator: bool,
        pub created_at: Timestamp,
        /// Since when the person may not log in; null while they may.
        pub suspended_at: Option<Timestamp>,
        pub has_password: bool,
        /// Whether an app for one-time codes is set up.
        pub has_totp: bool,
        pub passkeys: i64,
        /// Recovery codes that are not used up.
        pub recovery_codes: i64,
        pub live_sessions: i64,
        /// Outside providers that log the person in; here space-separated.
        #[serde(serialize_with = "as_list")]
        #[schema(value_type = Vec<String>)]
        pub identities: String,
    }
}

row! {
    struct Outcome {
        outcome: String,
    }
}

row! {
    struct Ended {
        ended: i64,
    }
}

row! {
    struct Found {
        id: UserId,
    }
}

sql! {
    PEOPLE(Option<String>, Option<UserId>, Option<bool>, Option<bool>, Option<UserId>, i64) -> PersonRow = "
        select id::text, email, name, operator,
            (extract(epoch from created_at) * 1000)::int8 as created_at,
            (extract(epoch from suspended_at) * 1000)::int8 as suspended_at
        from users
        where ($1::text is null or strpos(email, $1::text) > 0 or strpos(lower(name), $1::text) > 0)
            and ($2::text is null or users.id = $2::text::uuid)
            and ($3::bool is null or (users.suspended_at is not null) = $3::bool)
            and ($4::bool is null or operator = $4::bool)
            and ($5::text is null or (users.created_at, users.id) <
                (select mark.created_at, mark.id from users mark where mark.id = $5::text::uuid))
        order by users.created_at desc, users.id desc
        limit $6::int8";

    ACCOUNT(UserId, Timestamp) -> Account = "
        select users.id::text, email, name, operator,
            (extract(epoch from created_at) * 1000)::int8 as created_at,
            (extract(epoch from suspended_at) * 1000)::int8 as suspended_at,
            password_hash is not null as has_password,
            exists (select from totp_secrets totp where totp.user_id = users.id and totp.confirmed_at is not null)
                as has_totp,
            (select count(*) from passkeys where passkeys.user_id = users.id)::int8 as passkeys,
            (select count(*) from recovery_codes code where code.user_id = users.id and code.used_at is null)::int8
                as recovery_codes,
            (select count(*) from sessions live
                where live.user_id = users.id and live.ended_at is null
                    and live.idle_until > to_timestamp($2::int8 / 1000.0)
                    and live.expires_at > to_timestamp($2::int8 / 1000.0))::int8 as live_sessions,
            coalesce((select string_agg(distinct provider, ' ') from identities where identities.user_id = users.id), '')
                as identities
        from users where users.id = $1::text::uuid";

    BY_EMAIL(String) -> Found = "select id::text from users where email = $1::text";

    SUSPEND(UserId, Option<UserId>, Timestamp, bool, Entry, Entry) -> Outcome = "
        select suspend_person($1::text::uuid, $2::text::uuid, $3::int8, $4::bool, $5::text, $6::text) as outcome";

    RESTORE(UserId, Option<UserId>, Entry, Entry) -> Outcome = "
        select restore_person($1::text::uuid, $2::text::uuid, $3::text, $4::text) as outcome";

    SET_OPERATOR(UserId, Option<UserId>, Timestamp, bool, Entry) -> Outcome = "
        select set_operator($1::text::uuid, $2::text::uuid, $3::int8, $4::bool, $5::text) as outcome";

    // No row when there is no such person.
    END_SESSIONS(UserId, Timestamp, Entry) -> Ended = "
        with gone as (
            update sessions set ended_at = to_timestamp($2::int8 / 1000.0), end_reason = 'operator'
            where user_id = $1::text::uuid and ended_at is null
            returning id
        ),
        counted as (select count(*)::int8 as ended from gone)
        select counted.ended from users, counted where users.id = $1::text::uuid and audit($3::text) > 0";
}

fn as_list<S: Serializer>(words: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(words.split_whitespace())
}

impl Store {
    pub(super) async fn find_people(
        &self,
        words: Option<String>,
        id: Option<UserId>,
        suspended: Option<bool>,
        operator: Option<bool>,
        after: Option<UserId>,
        limit: i64,
    ) -> Result<Vec<PersonRow>, SqlError> {
        self.all(&PEOPLE, (words, id, suspended, operator, after, limit)).await
    }

    pub(super) async fn account(&self, person: UserId, now: Timestamp) -> Result<Option<Account>, SqlError> {
        self.first(&ACCOUNT, (person, now)).await
    }

    pub(super) async fn person_by_email(&self, email: String) -> Result<Option<UserId>, SqlError> {
        Ok(self.first(&BY_EMAIL, (email,)).await?.map(|row| row.id))
    }

    pub(super) async fn suspend_person(
        &self,
        person: UserId,
        operator: &Operator,
        personal_org: bool,
        entry: Entry,
        org_entry: Entry,
    ) -> Result<String, SqlError> {
        let params = (person, operator.user_id(), operator.now(), personal_org, entry, org_entry);
        self.first(&SUSPEND, params).await.map(outcome)
    }

    pub(super) async fn restore_person(
        &self,
        person: UserId,
        operator: &Operator,
        entry: Entry,
        org_entry: Entry,
    ) -> Result<String, SqlError> {
        self.first(&RESTORE, (person, operator.user_id(), entry, org_entry)).await.map(outcome)
    }

    pub(super) async fn set_operator(
        &self,
        person: UserId,
        operator: &Operator,
        wanted: bool,
        entry: Entry,
    ) -> Result<String, SqlError> {
        self.first(&SET_OPERATOR, (person, operator.user_id(), operator.now(), wanted, entry)).await.map(outcome)
    }

    /// Ends all sessions of a person and says how many there were; none when there is no such person.
    pub(super) async fn end_sessions_by_operator(
        &self,
        person: UserId,
        now: Timestamp,
        entry: Entry,
    ) -> Result<Option<i64>, SqlError> {
        Ok(self.first(&END_SESSIONS, (person, now, entry)).await?.map(|row| row.ended))
    }
}

fn outcome(row: Option<Outcome>) -> String {
    row.map(|it| it.outcome).unwrap_or_default()
}
