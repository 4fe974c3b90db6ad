//! `invitations`.

use crate::{
    Error, Store,
    audit::Entry,
    auth::NewAccount,
    mail::Letter,
    orgs::{
        role::GivenRole,
        standing::{Outcome, Standing},
    },
    sql::{Kind, SqlError, SqlType, Value, hex, row, sql},
};
use serde::Serialize;
use shared::{
    id::{InvitationId, OrgId, RoleId, UserId},
    time::Timestamp,
};

row! {
    pub(super) struct InvitationRow {
        pub(super) id: InvitationId,
        pub(super) email: String,
        pub(super) role: String,
        pub(super) custom_role: Option<RoleId>,
        pub(super) custom_name: Option<String>,
        pub(super) custom_permissions: Option<String>,
        pub(super) invited_by: Option<UserId>,
        pub(super) created_at: Timestamp,
        pub(super) expires_at: Timestamp,
    }
}

row! {
    /// What came of an acceptance.
    pub(super) struct Accepted {
        pub(super) outcome: String,
        pub(super) org_id: Option<OrgId>,
    }
}

row! {
    struct Address {
        email: String,
    }
}

/// An invitation on its way into the table.
pub(super) struct Invite {
    pub(super) id: InvitationId,
    pub(super) email: String,
    pub(super) role: GivenRole,
    pub(super) token_hash: Vec<u8>,
    pub(super) expires_at: Timestamp,
}

/// An account and a membership that are made at once.
pub(super) struct Joining {
    pub(super) token: Vec<u8>,
    pub(super) new: NewAccount,
    pub(super) now: Timestamp,
    pub(super) made: Entry,
    pub(super) accepted: Entry,
}

/// As the SQL function `invite_member` takes it.
#[derive(Serialize)]
struct Given {
    id: String,
    email: String,
    role: &'static str,
    custom_role: Option<String>,
    token_hash: String,
    expires_ms: i64,
}

impl SqlType for Given {
    const KIND: Kind = Kind::Text;
    fn into_value(self) -> Value {
        Value::Text(serde_json::to_string(&self).expect("an invitation is plain data"))
    }
    fn from_value(_: &Value) -> Option<Self> {
        // Invitations are written so; what is read is a row.
        None
    }
}

sql! {
    OPEN_INVITATIONS(OrgId, Timestamp, Option<InvitationId>, i64) -> InvitationRow = "
        select invitation.id::text, invitation.email, invitation.role, custom.id::text as custom_role,
            custom.name as custom_name, custom.permissions as custom_permissions, invitation.invited_by::text,
            (extract(epoch from invitation.created_at) * 1000)::int8 as created_at,
            (extract(epoch from invitation.expires_at) * 1000)::int8 as expires_at
        from invitations invitation
        left join org_roles custom on custom.org_id = invitation.org_id and custom.id = invitation.custom_role
        where invitation.org_id = $1::text::uuid and invitation.accepted_at is null and invitation.revoked_at is null
            and invitation.expires_at > to_timestamp($2::int8 / 1000.0)
            and ($3::text is null or invitation.id > $3::text::uuid)
        order by invitation.id limit $4::int8";

    INVITE(Standing, Given, Entry, Letter) -> Outcome = "
        select invite_member($1::text::json, $2::text::json, $3::text, $4::text) as outcome";

    REVOKE(Standing, InvitationId, Entry) -> Outcome = "
        select revoke_invitation($1::text::json, $2::text::uuid, $3::text) as outcome";

    INVITED(Vec<u8>, Timestamp) -> Address = "
        select email from invitations
        where token_hash = $1::bytea and accepted_at is null and revoked_at is null
            and expires_at > to_timestamp($2::int8 / 1000.0)";

    ACCEPT(Vec<u8>, UserId, Timestamp, Entry) -> Accepted = "
        select outcome, org::text as org_id
        from accept_invitation($1::bytea, $2::text::uuid, to_timestamp($3::int8 / 1000.0), $4::text)";

    JOIN(Vec<u8>, NewAccount, Timestamp, Entry, Entry) -> Accepted = "
        select outcome, org::text as org_id
        from join_by_invitation($1::bytea, $2::text, to_timestamp($3::int8 / 1000.0), $4::text, $5::text)";
}

impl Store {
    /// The open invitations of `org` after `after`, oldest first.
    pub(super) async fn open_invitations(
        &self,
        org: OrgId,
        now: Timestamp,
        after: Option<InvitationId>,
        rows: i64,
    ) -> Result<Vec<InvitationRow>, SqlError> {
        self.all(&OPEN_INVITATIONS, (org, now, after, rows)).await
    }

    /// Invites an address, and puts the mail into the outbox.
    pub(super) async fn invite_member(
        &self,
        standing: Standing,
        invite: Invite,
        entry: Entry,
        letter: Letter,
    ) -> Result<(), Error> {
        let given = Given {
            id: invite.id.uuid().to_string(),
            email: invite.email,
            role: invite.role.column(),
            custom_role: invite.role.own().map(|it| it.uuid().to_string()),
            token_hash: hex(&invite.token_hash),
            expires_ms: invite.expires_at.0,
        };
        self.decide(&INVITE, (standing, given, entry, letter)).await
    }

    pub(super) async fn revoke_invitation(
        &self,
        standing: Standing,
        id: InvitationId,
        entry: Entry,
    ) -> Result<(), Error> {
        self.decide(&REVOKE, (standing, id, entry)).await
    }

    /// The address that an open invitation is for.
    pub(super) async fn invited(&self, token: Vec<u8>, now: Timestamp) -> Result<Option<String>, SqlError> {
        Ok(self.first(&INVITED, (token, now)).await?.map(|row| row.email))
    }

    pub(super) async fn accept_invitation(
        &self,
        token: Vec<u8>,
        person: UserId,
        now: Timestamp,
        entry: Entry,
    ) -> Result<Accepted, SqlError> {
        let row = self.first(&ACCEPT, (token, person, now, entry)).await?;
        Ok(row.expect("a function with a result gives a row"))
    }

    pub(super) async fn join_by_invitation(&self, joining: Joining) -> Result<Accepted, SqlError> {
        let Joining { token, new, now, made, accepted } = joining;
        Ok(self.first(&JOIN, (token, new, now, made, accepted)).await?.expect("a function with a result gives a row"))
    }
}
