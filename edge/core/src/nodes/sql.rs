//! `gpu_nodes` and `node_invites`: written by this slice alone.

use crate::{
    Store,
    audit::Entry,
    sql::{SqlError, row, sql},
};
use shared::{
    id::{InviteId, NodeId},
    node::{Heartbeat, Registration},
    time::Timestamp,
};

row! {
    /// A node as it last described itself.
    #[derive(Clone, Debug)]
    pub(super) struct NodeRow {
        pub(super) id: NodeId,
        pub(super) name: String,
        pub(super) base_url: String,
        pub(super) models: String,
        pub(super) ready: bool,
        pub(super) running: i64,
        pub(super) queued: i64,
        /// Time since the last heartbeat by Postgres' clock, which wrote it.
        pub(super) silent_ms: i64,
    }
}

row! {
    struct Id {
        id: NodeId,
    }
}

row! {
    struct Invite {
        id: InviteId,
    }
}

row! {
    struct Swept {
        invites: i64,
    }
}

sql! {
    // A known node may register again; a new one spends an invite. Copies of a call fail on `last_call_ms`.
    REGISTER(NodeId, Vec<u8>, String, String, String, String, i64, i64, i64) -> Id = "
        with known as (select 1 from gpu_nodes where public_key = $3::text and removed_at is null),
        invite as (
            update node_invites set used_at = now()
            where token_hash = $2::bytea and used_at is null and expires_at > now() and not exists (select from known)
            returning 1
        )
        insert into gpu_nodes
            (id, public_key, name, base_url, models, capacity_running, capacity_queued, ready, last_call_ms)
        select $1::text::uuid, $3::text, $4::text, $5::text, $6::text::jsonb, $7::int8, $8::int8, true, $9::int8
        where exists (select from known) or exists (select from invite)
        on conflict (public_key) do update set
            name = excluded.name, base_url = excluded.base_url, models = excluded.models,
            capacity_running = excluded.capacity_running, capacity_queued = excluded.capacity_queued,
            ready = true, running = 0, queued = 0, registered_at = now(), heartbeat_at = now(),
            last_call_ms = excluded.last_call_ms
        where gpu_nodes.removed_at is null and gpu_nodes.last_call_ms < excluded.last_call_ms
        returning id::text";

    HEARTBEAT(NodeId, String, bool, i64, i64, i64) -> Id = "
        update gpu_nodes
        set ready = $3::bool, running = $4::int8, queued = $5::int8, heartbeat_at = now(), last_call_ms = $6::int8
        where id = $1::text::uuid and public_key = $2::text and removed_at is null and last_call_ms < $6::int8
        returning id::text";

    LIST() -> NodeRow = "
        select id::text, name, base_url, models::text, ready, running, queued,
            (extract(epoch from now() - heartbeat_at) * 1000)::int8 as silent_ms
        from gpu_nodes where removed_at is null order by id";

    INVITE(InviteId, Vec<u8>, i64, Entry) -> Invite = "
        with invite as (
            insert into node_invites (id, token_hash, expires_at)
            values ($1::text::uuid, $2::bytea, now() + $3::int8 * interval '1 millisecond')
            returning id
        )
        select id::text from invite where audit($4::text) > 0";

    // A used invite is kept for as long as somebody may ask how a node came to join.
    SWEEP() -> Swept = "
        with swept as (delete from node_invites where expires_at < now() - interval '30 days' returning 1)
        select count(*)::int8 as invites from swept";
}

impl Store {
    /// The node's id, or none when it may not join or the call is a copy.
    pub(super) async fn register_node(
        &self,
        new_id: NodeId,
        token_hash: Vec<u8>,
        node: Registration,
        called_at: Timestamp,
    ) -> Result<Option<NodeId>, SqlError> {
        let models = serde_json::to_string(&node.models).expect("models are plain data");
        let (running, queued) = (node.capacity.running.into(), node.capacity.queued.into());
        let key = node.public_key.to_string();
        let params = (new_id, token_hash, key, node.name, node.base_url, models, running, queued, called_at.0);
        Ok(self.first(&REGISTER, params).await?.map(|row| row.id))
    }

    /// Whether the node is known by this id and key, and the call is no copy.
    pub(super) async fn heartbeat(
        &self,
        beat: Heartbeat,
        public_key: String,
        called_at: Timestamp,
    ) -> Result<bool, SqlError> {
        let params = (beat.node_id, public_key, beat.ready, beat.running.into(), beat.queued.into(), called_at.0);
        Ok(self.first(&HEARTBEAT, params).await?.is_some_and(|row| row.id == beat.node_id))
    }

    pub(super) async fn node_rows(&self) -> Result<Vec<NodeRow>, SqlError> {
        self.all(&LIST, ()).await
    }

    /// Deletes invites that expired long ago, and says how many these were.
    pub(super) async fn sweep_invites(&self) -> Result<i64, SqlError> {
        Ok(self.first(&SWEEP, ()).await?.map_or(0, |row| row.invites))
    }

    pub(super) async fn insert_invite(
        &self,
        id: InviteId,
        token_hash: Vec<u8>,
        valid_ms: i64,
        entry: Entry,
    ) -> Result<(), SqlError> {
        let invite = self.first(&INVITE, (id, token_hash, valid_ms, entry)).await?;
        debug_assert!(invite.is_some_and(|row| row.id == id));
        Ok(())
    }
}
