//! `oauth_clients`, and sessions as OAuth's clients know them.

use super::register::NewClient;
use crate::{
    Store,
    audit::Entry,
    sql::{SqlError, row, sql},
};
use shared::{
    id::{ClientId, OrgId, SessionId, UserId},
    time::Timestamp,
};

/// Live clients of one organisation at most.
const MOST: i64 = 100;

row! {
    /// What shows that a client is who it says.
    pub(super) struct ClientSecret {
        pub(super) secret_hash: Vec<u8>,
        pub(super) org_id: Option<OrgId>,
        pub(super) scope: String,
        pub(super) live: bool,
    }
}

row! {
    /// A client as its owner sees it.
    #[derive(Clone, Debug, serde::Serialize)]
    pub struct ClientSummary {
        pub id: ClientId,
        pub name: String,
        /// Permissions, space-separated.
        pub scope: String,
        pub created_at: Timestamp,
        pub revoked_at: Option<Timestamp>,
    }
}

row! {
    /// A client, without its secret.
    pub(crate) struct ClientListing {
        pub(crate) id: ClientId,
        pub(crate) name: String,
        pub(crate) scope: String,
        pub(crate) created_by: Option<UserId>,
        pub(crate) created_at: Timestamp,
    }
}

row! {
    /// A session, and the organisation of the client that it was opened through.
    pub(super) struct SessionFacts {
        pub(super) user_id: UserId,
        pub(super) version: i64,
        pub(super) suspended: bool,
        pub(super) ended: bool,
        pub(super) transport: String,
        pub(super) token_hash: Vec<u8>,
        pub(super) client_id: String,
        pub(super) client_org_id: Option<OrgId>,
        pub(super) scope: String,
        pub(super) amr: String,
        pub(super) auth_time: Timestamp,
        pub(super) idle_until: Timestamp,
        pub(super) expires_at: Timestamp,
    }
}

row! {
    /// Whether a session is of the client that asked for its end.
    pub(super) struct RevokedSession {
        pub(super) own: bool,
        ended: i64,
    }
}

row! {
    struct Done {
        done: i64,
    }
}

sql! {
    CLIENT_SECRET(ClientId) -> ClientSecret = "
        select client.secret_hash, client.org_id::text, client.scope,
            client.revoked_at is null and orgs.deleted_at is null and orgs.suspended_at is null as live
        from oauth_clients client left join orgs on orgs.id = client.org_id
        where client.id = $1::text::uuid";

    // A client that was revoked since it was recognised gets no token.
    CLIENT_TOKEN(ClientId, Entry) -> Done = "
        select 1::int8 as done from oauth_clients
        where id = $1::text::uuid and revoked_at is null and audit($2::text) > 0";

    // Several at once may pass the limit by some; it only bounds the table.
    INSERT_CLIENT(ClientId, Option<OrgId>, Option<UserId>, String, String, Vec<u8>, Timestamp, i64, Entry) -> Done = "
        with client as (
            insert into oauth_clients (id, org_id, created_by, name, scope, secret_hash, created_at)
            select $1::text::uuid, $2::text::uuid, $3::text::uuid, $4::text, $5::text, $6::bytea,
                to_timestamp($7::int8 / 1000.0)
            where $2::text is null or (
                exists (select from orgs where id = $2::text::uuid and deleted_at is null)
                and (select count(*) from oauth_clients live
                    where live.org_id = $2::text::uuid and live.revoked_at is null) < $8::int8)
            returning id
        )
        select 1::int8 as done from client where audit($9::text) > 0";

    REVOKE_CLIENT(ClientId, Option<OrgId>, Timestamp, Entry) -> Done = "
        with client as (
            update oauth_clients set revoked_at = to_timestamp($3::int8 / 1000.0)
            where id = $1::text::uuid and org_id is not distinct from $2::text::uuid and revoked_at is null
            returning id
        )
        select 1::int8 as done from client where audit($4::text) > 0";

    ORG_CLIENTS(OrgId, Option<ClientId>, i64) -> ClientListing = "
        select id::text, name, scope, created_by::text,
            (extract(epoch from created_at) * 1000)::int8 as created_at
        from oauth_clients
        where org_id = $1::text::uuid and revoked_at is null and ($2::text is null or oauth_clients.id > $2::text::uuid)
        order by oauth_clients.id limit $3::int8";

    PLATFORM_CLIENTS() -> ClientSummary = "
        select id::text, name, scope, (extract(epoch from created_at) * 1000)::int8 as created_at,
            (extract(epoch from revoked_at) * 1000)::int8 as revoked_at
        from oauth_clients where org_id is null
        order by oauth_clients.created_at desc, id desc";

    // `client_id` holds `nest`, or the id of a registered client as the API spells it.
    SESSION_FACTS(SessionId) -> SessionFacts = "
        select users.id::text as user_id, users.version, users.suspended_at is not null as suspended,
            session.ended_at is not null as ended, session.transport, session.token_hash, session.client_id,
            client.org_id::text as client_org_id, session.scope, session.amr,
            (extract(epoch from session.auth_time) * 1000)::int8 as auth_time,
            (extract(epoch from session.idle_until) * 1000)::int8 as idle_until,
            (extract(epoch from session.expires_at) * 1000)::int8 as expires_at
        from sessions session
        join users on users.id = session.user_id
        left join oauth_clients client on client.id =
            case when starts_with(session.client_id, 'client_') then substr(session.client_id, 8)::uuid end
        where session.id = $1::text::uuid";

    REVOKE_SESSION(SessionId, String, Timestamp, Entry) -> RevokedSession = "
        with gone as (
            update sessions set ended_at = to_timestamp($3::int8 / 1000.0), end_reason = 'revoked'
            where id = $1::text::uuid and client_id = $2::text and transport = 'bearer' and ended_at is null
            returning user_id
        ),
        told as (select audit($4::text, 'user_' || replace(user_id::text, '-', '')) as entry from gone)
        select session.client_id = $2::text as own, (select count(entry)::int8 from told) as ended
        from sessions session where session.id = $1::text::uuid";
}

impl Store {
    pub(super) async fn client_secret(&self, id: ClientId) -> Result<Option<ClientSecret>, SqlError> {
        self.first(&CLIENT_SECRET, (id,)).await
    }

    /// Notes that a client gets a token; false when it may not any more.
    pub(super) async fn client_token(&self, id: ClientId, entry: Entry) -> Result<bool, SqlError> {
        Ok(self.first(&CLIENT_TOKEN, (id, entry)).await?.is_some_and(|row| row.done == 1))
    }

    /// Registers a client; false when its organisation is gone or has too many.
    pub(super) async fn insert_client(
        &self,
        id: ClientId,
        new: NewClient,
        secret_hash: Vec<u8>,
        now: Timestamp,
        entry: Entry,
    ) -> Result<bool, SqlError> {
        let NewClient { org_id, created_by, name, scope } = new;
        let params = (id, org_id, created_by, name, scope.to_string(), secret_hash, now, MOST, entry);
        Ok(self.first(&INSERT_CLIENT, params).await?.is_some_and(|row| row.done == 1))
    }

    /// The live clients of `org` after `after`, oldest first.
    pub(crate) async fn org_clients(
        &self,
        org: OrgId,
        after: Option<ClientId>,
        rows: i64,
    ) -> Result<Vec<ClientListing>, SqlError> {
        self.all(&ORG_CLIENTS, (org, after, rows)).await
    }

    pub(super) async fn revoke_client(
        &self,
        id: ClientId,
        org: Option<OrgId>,
        now: Timestamp,
        entry: Entry,
    ) -> Result<bool, SqlError> {
        Ok(self.first(&REVOKE_CLIENT, (id, org, now, entry)).await?.is_some_and(|row| row.done == 1))
    }

    pub(super) async fn platform_clients(&self) -> Result<Vec<ClientSummary>, SqlError> {
        self.all(&PLATFORM_CLIENTS, ()).await
    }

    pub(super) async fn session_facts(&self, id: SessionId) -> Result<Option<SessionFacts>, SqlError> {
        self.first(&SESSION_FACTS, (id,)).await
    }

    /// Ends a session of `client_id`; none when there is no such session at all.
    pub(super) async fn revoke_session(
        &self,
        id: SessionId,
        client_id: String,
        now: Timestamp,
        entry: Entry,
    ) -> Result<Option<RevokedSession>, SqlError> {
        let row = self.first(&REVOKE_SESSION, (id, client_id, now, entry)).await?;
        Ok(row.inspect(|it| tracing::debug!(ended = it.ended, "a token was revoked")))
    }
}
