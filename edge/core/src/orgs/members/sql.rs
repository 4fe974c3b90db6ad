//! `memberships`.

use crate::{
    Error, Store,
    audit::Entry,
    orgs::{
        role::GivenRole,
        standing::{Outcome, Standing},
    },
    sql::{SqlError, row, sql},
};
use shared::{
    id::{OrgId, RoleId, UserId},
    time::Timestamp,
};

row! {
    pub(super) struct MemberRow {
        pub(super) user_id: UserId,
        pub(super) email: String,
        pub(super) name: String,
        pub(super) joined_at: Timestamp,
        pub(super) role: String,
        pub(super) custom_role: Option<RoleId>,
        pub(super) custom_name: Option<String>,
        pub(super) custom_permissions: Option<String>,
    }
}

sql! {
    MEMBERS(OrgId, Option<UserId>, i64) -> MemberRow = "
        select users.id::text as user_id, users.email, users.name,
            (extract(epoch from membership.created_at) * 1000)::int8 as joined_at,
            membership.role, custom.id::text as custom_role, custom.name as custom_name,
            custom.permissions as custom_permissions
        from memberships membership
        join users on users.id = membership.user_id
        left join org_roles custom on custom.org_id = membership.org_id and custom.id = membership.custom_role
        where membership.org_id = $1::text::uuid and ($2::text is null or users.id > $2::text::uuid)
        order by users.id limit $3::int8";

    CHANGE(Standing, UserId, String, Option<RoleId>, Entry) -> Outcome = "
        select change_member($1::text::json, $2::text::uuid, $3::text, $4::text::uuid, $5::text) as outcome";

    REMOVE(Standing, UserId, Entry) -> Outcome = "
        select remove_member($1::text::json, $2::text::uuid, $3::text) as outcome";
}

impl Store {
    /// The members of `org` after `after`, in the order of their ids.
    pub(super) async fn members(
        &self,
        org: OrgId,
        after: Option<UserId>,
        rows: i64,
    ) -> Result<Vec<MemberRow>, SqlError> {
        self.all(&MEMBERS, (org, after, rows)).await
    }

    /// Gives a member of the standing's organisation another role.
    pub(super) async fn change_member(
        &self,
        standing: Standing,
        user: UserId,
        role: GivenRole,
        entry: Entry,
    ) -> Result<(), Error> {
        self.decide(&CHANGE, (standing, user, role.column().to_owned(), role.own(), entry)).await
    }

    /// Takes a member out of the standing's organisation.
    pub(super) async fn remove_member(&self, standing: Standing, user: UserId, entry: Entry) -> Result<(), Error> {
        self.decide(&REMOVE, (standing, user, entry)).await
    }
}
