//! `users` and `sessions`: written by this slice alone.

use super::{recognise::OrgRef, session::Opening};
use crate::{
    Store,
    audit::Entry,
    sql::{SqlError, row, sql},
};
use shared::{
    id::{ClientId, OrgId, SessionId, UserId},
    time::Timestamp,
};

row! {
    pub(super) struct Owner {
        pub(super) user_id: UserId,
        pub(super) org_id: OrgId,
    }
}

row! {
    struct Founded {
        org_id: OrgId,
    }
}

row! {
    /// A session with its person and, if one was asked for, the person's place in an organisation.
    pub(super) struct SessionState {
        pub(super) user_id: UserId,
        pub(super) email: String,
        pub(super) name: String,
        pub(super) operator: bool,
        pub(super) suspended: bool,
        pub(super) version: i64,
        pub(super) ended: bool,
        pub(super) transport: String,
        pub(super) token_hash: Vec<u8>,
        pub(super) scope: String,
        pub(super) amr: String,
        pub(super) auth_time: Timestamp,
        pub(super) last_seen_at: Timestamp,
        pub(super) idle_until: Timestamp,
        pub(super) expires_at: Timestamp,
        pub(super) org_id: Option<OrgId>,
        pub(super) role: Option<String>,
        pub(super) custom_permissions: Option<String>,
        pub(super) org_suspended: Option<bool>,
    }
}

row! {
    /// A live session as its owner and operators see it.
    #[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
    pub struct SessionRow {
        pub id: SessionId,
        /// `bearer` or `cookie`.
        pub transport: String,
        pub client_id: String,
        pub amr: String,
        pub created_at: Timestamp,
        pub last_seen_at: Timestamp,
        pub expires_at: Timestamp,
        pub ip: Option<String>,
        pub user_agent: String,
    }
}

row! {
    /// What came of a turn.
    pub(super) struct Turned {
        pub(super) user_id: UserId,
        pub(super) version: i64,
        pub(super) scope: String,
        pub(super) amr: String,
        pub(super) auth_time: Timestamp,
        pub(super) rotated: bool,
        pub(super) reused: bool,
    }
}

/// A refresh: the old token's hash and number, and the new one's hash.
pub(super) struct Turn {
    pub(super) session_id: SessionId,
    pub(super) old_hash: Vec<u8>,
    pub(super) new_hash: Vec<u8>,
    pub(super) generation: i64,
    pub(super) now: Timestamp,
    pub(super) grace_from: Timestamp,
    pub(super) idle_until: Timestamp,
    pub(super) client_id: String,
    pub(super) reuse: Entry,
}

row! {
    struct Done {
        done: i64,
    }
}

row! {
    /// A client, and whether it may act now.
    pub(super) struct ClientRow {
        pub(super) org_id: Option<OrgId>,
        pub(super) scope: String,
        pub(super) live: bool,
    }
}

row! {
    struct Ended {
        ended: i64,
    }
}

sql! {
    OPEN_SESSION(Opening, Entry) -> Done = "
        with opened as materialized (select open_session($1::text) as done)
        select done from opened where done = 1 and audit($2::text) > 0";

    // Everyone has one organisation of their own.
    SESSION(SessionId, Option<OrgId>, bool) -> SessionState = "
        select users.id::text as user_id, users.email, users.name, users.operator,
            users.suspended_at is not null as suspended, users.version,
            session.ended_at is not null as ended, session.transport, session.token_hash, session.scope, session.amr,
            (extract(epoch from session.auth_time) * 1000)::int8 as auth_time,
            (extract(epoch from session.last_seen_at) * 1000)::int8 as last_seen_at,
            (extract(epoch from session.idle_until) * 1000)::int8 as idle_until,
            (extract(epoch from session.expires_at) * 1000)::int8 as expires_at,
            orgs.id::text as org_id, case when orgs.id is not null then membership.role end as role,
            custom.permissions as custom_permissions,
            orgs.suspended_at is not null as org_suspended
        from sessions session
        join users on users.id = session.user_id
        left join memberships membership on membership.user_id = users.id
            and membership.org_id = coalesce($2::text::uuid, (
                select own.id from memberships mine join orgs own on own.id = mine.org_id
                where $3::bool and mine.user_id = users.id and own.personal
                order by own.id limit 1))
        left join orgs on orgs.id = membership.org_id and orgs.deleted_at is null
        left join org_roles custom on custom.org_id = membership.org_id and custom.id = membership.custom_role
        where session.id = $1::text::uuid";

    SEEN(SessionId, Timestamp, Timestamp) -> () = "
        update sessions
        set last_seen_at = to_timestamp($2::int8 / 1000.0),
            idle_until = least(to_timestamp($3::int8 / 1000.0), expires_at)
        where id = $1::text::uuid and last_seen_at < to_timestamp($2::int8 / 1000.0)";

    // A statement that had to wait for the row sees it as the winner left it, in its conditions and in what it sets. So
    // one of any number of tries finds the hash that it brings; the others find themselves within the grace or not.
    TURN(SessionId, Vec<u8>, Vec<u8>, i64, Timestamp, Timestamp, Timestamp, String, Entry) -> Turned = "
        with turned as (
            update sessions session
            set token_hash = case when session.token_hash = $2::bytea then $3::bytea else session.token_hash end,
                generation = session.generation + case when session.token_hash = $2::bytea then 1 else 0 end,
                rotated_at = case when session.token_hash = $2::bytea then to_timestamp($5::int8 / 1000.0)
                    else session.rotated_at end,
                last_seen_at = to_timestamp($5::int8 / 1000.0),
                idle_until = case when session.token_hash = $2::bytea
                    then least(to_timestamp($7::int8 / 1000.0), session.expires_at) else session.idle_until end,
                ended_at = case
                    when session.token_hash = $2::bytea then null
                    when session.generation = $4::int8 + 1 and session.rotated_at > to_timestamp($6::int8 / 1000.0)
                        then null
                    else to_timestamp($5::int8 / 1000.0) end,
                end_reason = case
                    when session.token_hash = $2::bytea then null
                    when session.generation = $4::int8 + 1 and session.rotated_at > to_timestamp($6::int8 / 1000.0)
                        then null
                    else 'reuse' end
            from users
            where session.id = $1::text::uuid and session.ended_at is null and session.transport = 'bearer'
                and session.client_id = $8::text
                and session.idle_until > to_timestamp($5::int8 / 1000.0)
                and session.expires_at > to_timestamp($5::int8 / 1000.0)
                and users.id = session.user_id and users.suspended_at is null
            returning users.id::text as user_id, users.version, session.scope, session.amr,
                (extract(epoch from session.auth_time) * 1000)::int8 as auth_time,
                session.token_hash = $3::bytea as rotated, session.ended_at is not null as reused
        )
        select user_id, version, scope, amr, auth_time, rotated, reused from turned
        where case when reused then audit($9::text) > 0 else true end";

    CLIENT(ClientId) -> ClientRow = "
        select client.org_id::text, client.scope,
            client.revoked_at is null and orgs.deleted_at is null and orgs.suspended_at is null as live
        from oauth_clients client left join orgs on orgs.id = client.org_id
        where client.id = $1::text::uuid";

    LIVE_SESSIONS(UserId, Timestamp) -> SessionRow = "
        select id::text, transport, client_id, amr,
            (extract(epoch from created_at) * 1000)::int8 as created_at,
            (extract(epoch from last_seen_at) * 1000)::int8 as last_seen_at,
            (extract(epoch from least(idle_until, expires_at)) * 1000)::int8 as expires_at,
            ip, user_agent
        from sessions
        where user_id = $1::text::uuid and ended_at is null and idle_until > to_timestamp($2::int8 / 1000.0)
            and expires_at > to_timestamp($2::int8 / 1000.0)
        order by sessions.created_at desc, id desc";

    END_SESSION(SessionId, UserId, Timestamp, String, Entry) -> Ended = "
        with gone as (
            update sessions set ended_at = to_timestamp($3::int8 / 1000.0), end_reason = $4::text
            where id = $1::text::uuid and user_id = $2::text::uuid and ended_at is null
            returning id
        )
        select 1::int8 as ended from gone where audit($5::text) > 0";

    END_SESSIONS(UserId, Option<SessionId>, Timestamp, String, Entry) -> Ended = "
        with gone as (
            update sessions set ended_at = to_timestamp($3::int8 / 1000.0), end_reason = $4::text
            where user_id = $1::text::uuid and ended_at is null and id is distinct from $2::text::uuid
            returning id
        ),
        counted as (select count(*)::int8 as ended from gone)
        select ended from counted where audit($5::text) > 0";

    INSERT_OPERATOR(UserId, String, String, OrgId, String, Entry) -> Founded = "
        with person as (
            insert into users (id, email, password_hash, operator)
            values ($1::text::uuid, $2::text, $3::text, true)
            returning id
        )
        select found_org($4::text::uuid, $5::text, person.id, true)::text as org_id
        from person where audit($6::text) > 0";

    OWNER_BY_EMAIL(String) -> Owner = "
        select users.id::text as user_id, memberships.org_id::text
        from users join memberships on memberships.user_id = users.id and memberships.role = 'owner'
        where users.email = $1::text
        order by memberships.created_at limit 1";
}

impl Store {
    pub(super) async fn insert_operator(
        &self,
        user_id: UserId,
        email: &str,
        password_hash: String,
        org_id: OrgId,
        org_name: String,
        entry: Entry,
    ) -> Result<(), SqlError> {
        let founded =
            self.first(&INSERT_OPERATOR, (user_id, email.to_owned(), password_hash, org_id, org_name, entry)).await?;
        debug_assert!(founded.is_some_and(|row| row.org_id == org_id));
        Ok(())
    }

    pub(super) async fn owner_by_email(&self, email: String) -> Result<Option<Owner>, SqlError> {
        self.first(&OWNER_BY_EMAIL, (email,)).await
    }

    /// Opens a session; false when its person is suspended by now.
    pub(super) async fn open_session(&self, opening: Opening, entry: Entry) -> Result<bool, SqlError> {
        Ok(self.first(&OPEN_SESSION, (opening, entry)).await?.is_some_and(|row| row.done == 1))
    }

    /// A session, with its person's place in an organisation, if one is meant.
    pub(super) async fn session(&self, id: SessionId, org: OrgRef) -> Result<Option<SessionState>, SqlError> {
        self.first(&SESSION, (id, org.named(), org == OrgRef::Own)).await
    }

    pub(super) async fn session_seen(
        &self,
        id: SessionId,
        now: Timestamp,
        idle_until: Timestamp,
    ) -> Result<(), SqlError> {
        self.first(&SEEN, (id, now, idle_until)).await.map(drop)
    }

    /// Turns a session's token, or says that it was turned already; none when there is no such live session.
    pub(super) async fn turn_session(&self, turn: Turn) -> Result<Option<Turned>, SqlError> {
        let Turn { session_id, old_hash, new_hash, generation, now, grace_from, idle_until, client_id, reuse } = turn;
        let params = (session_id, old_hash, new_hash, generation, now, grace_from, idle_until, client_id, reuse);
        self.first(&TURN, params).await
    }

    pub(super) async fn client(&self, id: ClientId) -> Result<Option<ClientRow>, SqlError> {
        self.first(&CLIENT, (id,)).await
    }

    pub(super) async fn live_sessions(&self, user: UserId, now: Timestamp) -> Result<Vec<SessionRow>, SqlError> {
        self.all(&LIVE_SESSIONS, (user, now)).await
    }

    /// Ends a session of `user`; false when there is no such live session.
    pub(super) async fn end_session(
        &self,
        id: SessionId,
        user: UserId,
        now: Timestamp,
        reason: &str,
        entry: Entry,
    ) -> Result<bool, SqlError> {
        let ended = self.first(&END_SESSION, (id, user, now, reason.to_owned(), entry)).await?;
        Ok(ended.is_some_and(|row| row.ended > 0))
    }

    /// Ends every session of `user` but `kept`, and says how many there were.
    pub(super) async fn end_sessions(
        &self,
        user: UserId,
        kept: Option<SessionId>,
        now: Timestamp,
        reason: &str,
        entry: Entry,
    ) -> Result<i64, SqlError> {
        let ended = self.first(&END_SESSIONS, (user, kept, now, reason.to_owned(), entry)).await?;
        Ok(ended.map_or(0, |row| row.ended))
    }
}
