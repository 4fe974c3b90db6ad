//! What operators read and write of `orgs` and `memberships`.

use crate::{
    Store,
    audit::Entry,
    sql::{SqlError, row, sql},
};
use serde::Serialize;
use shared::{
    id::{OrgId, UserId},
    time::Timestamp,
};
use utoipa::ToSchema;

row! {
    /// An organisation as operators see it.
    #[derive(Clone, Debug, Serialize, ToSchema)]
    pub struct OperatedOrg {
        pub id: OrgId,
        pub name: String,
        /// Whether it is the one that its owner has by themselves.
        pub personal: bool,
        pub created_at: Timestamp,
        pub suspended_at: Option<Timestamp>,
        pub deleted_at: Option<Timestamp>,
        pub member_count: i64,
    }
}

row! {
    /// A member as operators see them.
    #[derive(Clone, Debug, Serialize, ToSchema)]
    pub struct OperatedMember {
        pub user_id: UserId,
        pub email: String,
        pub name: String,
        pub role: String,
        /// The name of a role that the organisation made for itself.
        pub custom_role: Option<String>,
        /// When they became a member.
        pub since: Timestamp,
    }
}

row! {
    /// A person's place in an organisation, as operators see it.
    #[derive(Clone, Debug, Serialize, ToSchema)]
    pub struct OperatedMembership {
        pub org_id: OrgId,
        pub org_name: String,
        pub personal: bool,
        pub role: String,
        /// The name of a role that the organisation made for itself.
        pub custom_role: Option<String>,
        pub suspended_at: Option<Timestamp>,
        pub deleted_at: Option<Timestamp>,
    }
}

row! {
    /// What came of suspending or restoring.
    #[derive(Clone, Copy)]
    pub(super) struct Outcome {
        pub(super) known: bool,
        pub(super) acted: bool,
    }
}

/// The columns of [`OperatedOrg`].
macro_rules! operated_orgs {
    ($rest:literal) => {
        concat!(
            "select orgs.id::text, name, personal,
                (extract(epoch from created_at) * 1000)::int8 as created_at,
                (extract(epoch from suspended_at) * 1000)::int8 as suspended_at,
                (extract(epoch from deleted_at) * 1000)::int8 as deleted_at,
                (select count(*) from memberships where memberships.org_id = orgs.id)::int8 as member_count
            from orgs where ",
            $rest
        )
    };
}

/// Sets `suspended_at` to `$set` if it is `$now`, with the entry of the act in the parameter `$entry`.
macro_rules! turned {
    ($set:literal, $now:literal, $entry:literal) => {
        concat!(
            "with acted as (
                update orgs set suspended_at = ",
            $set,
            " where id = $1::text::uuid and deleted_at is null and suspended_at is ",
            $now,
            " returning id
            ),
            told as materialized (select audit(",
            $entry,
            "::text) as entry from acted)
            select exists (select from orgs where id = $1::text::uuid and deleted_at is null) as known,
                exists (select from told where entry > 0) as acted"
        )
    };
}

sql! {
    FIND(Option<String>, Option<OrgId>, Option<String>, Option<OrgId>, i64) -> OperatedOrg = operated_orgs!(
        "($1::text is null or strpos(lower(name), $1::text) > 0)
            and ($2::text is null or orgs.id = $2::text::uuid)
            and ($3::text is null or $3::text = case
                when orgs.deleted_at is not null then 'deleted'
                when orgs.suspended_at is not null then 'suspended'
                else 'active' end)
            and ($4::text is null or (orgs.created_at, orgs.id) <
                (select mark.created_at, mark.id from orgs mark where mark.id = $4::text::uuid))
        order by orgs.created_at desc, orgs.id desc
        limit $5::int8"
    );

    ONE(OrgId) -> OperatedOrg = operated_orgs!("orgs.id = $1::text::uuid");

    MEMBERS(OrgId) -> OperatedMember = "
        select users.id::text as user_id, users.email, users.name, membership.role, custom.name as custom_role,
            (extract(epoch from membership.created_at) * 1000)::int8 as since
        from memberships membership
        join users on users.id = membership.user_id
        left join org_roles custom on custom.org_id = membership.org_id and custom.id = membership.custom_role
        where membership.org_id = $1::text::uuid
        order by membership.created_at, users.id";

    OF_PERSON(UserId) -> OperatedMembership = "
        select orgs.id::text as org_id, orgs.name as org_name, orgs.personal, membership.role,
            custom.name as custom_role,
            (extract(epoch from orgs.suspended_at) * 1000)::int8 as suspended_at,
            (extract(epoch from orgs.deleted_at) * 1000)::int8 as deleted_at
        from memberships membership
        join orgs on orgs.id = membership.org_id
        left join org_roles custom on custom.org_id = membership.org_id and custom.id = membership.custom_role
        where membership.user_id = $1::text::uuid
        order by membership.created_at, orgs.id";

    SUSPEND(OrgId, Timestamp, Entry) -> Outcome = turned!("to_timestamp($2::int8 / 1000.0)", "null", "$3");

    RESTORE(OrgId, Entry) -> Outcome = turned!("null", "not null", "$2");
}

impl Store {
    pub(super) async fn find_orgs(
        &self,
        words: Option<String>,
        id: Option<OrgId>,
        status: Option<String>,
        after: Option<OrgId>,
        limit: i64,
    ) -> Result<Vec<OperatedOrg>, SqlError> {
        self.all(&FIND, (words, id, status, after, limit)).await
    }

    pub(super) async fn operated_org(&self, org: OrgId) -> Result<Option<OperatedOrg>, SqlError> {
        self.first(&ONE, (org,)).await
    }

    pub(super) async fn operated_members(&self, org: OrgId) -> Result<Vec<OperatedMember>, SqlError> {
        self.all(&MEMBERS, (org,)).await
    }

    pub(super) async fn operated_memberships(&self, person: UserId) -> Result<Vec<OperatedMembership>, SqlError> {
        self.all(&OF_PERSON, (person,)).await
    }

    pub(super) async fn suspend_org(
        &self,
        org: OrgId,
        now: Timestamp,
        entry: Entry,
    ) -> Result<Option<Outcome>, SqlError> {
        self.first(&SUSPEND, (org, now, entry)).await
    }

    pub(super) async fn restore_org(&self, org: OrgId, entry: Entry) -> Result<Option<Outcome>, SqlError> {
        self.first(&RESTORE, (org, entry)).await
    }
}
