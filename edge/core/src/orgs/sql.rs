//! `orgs`, and the list of a person's memberships.

use super::standing::{Outcome, Standing};
use crate::{
    Error, Store,
    audit::Entry,
    sql::{SqlError, row, sql},
};
use shared::{
    id::{OrgId, RoleId, UserId},
    time::Timestamp,
};

row! {
    /// An organisation as lists show it.
    #[derive(Clone, Debug, serde::Serialize)]
    pub struct OrgSummary {
        pub id: OrgId,
        pub name: String,
        pub created_at: Timestamp,
    }
}

row! {
    pub(super) struct OrgRow {
        pub(super) name: String,
        pub(super) personal: bool,
        pub(super) created_at: Timestamp,
    }
}

row! {
    /// An organisation of a person, and their place in it.
    pub(super) struct Place {
        pub(super) id: OrgId,
        pub(super) name: String,
        pub(super) personal: bool,
        pub(super) suspended: bool,
        pub(super) created_at: Timestamp,
        pub(super) role: String,
        pub(super) custom_role: Option<RoleId>,
        pub(super) custom_name: Option<String>,
        pub(super) custom_permissions: Option<String>,
    }
}

row! {
    struct Id {
        id: OrgId,
    }
}

sql! {
    LIST() -> OrgSummary = "
        select id::text, name, (extract(epoch from created_at) * 1000)::int8 as created_at
        from orgs where deleted_at is null order by created_at, id";

    OF_PERSON(UserId, Option<OrgId>, i64) -> Place = "
        select orgs.id::text, orgs.name, orgs.personal, orgs.suspended_at is not null as suspended,
            (extract(epoch from orgs.created_at) * 1000)::int8 as created_at,
            membership.role, custom.id::text as custom_role, custom.name as custom_name,
            custom.permissions as custom_permissions
        from memberships membership
        join orgs on orgs.id = membership.org_id and orgs.deleted_at is null
        left join org_roles custom on custom.org_id = membership.org_id and custom.id = membership.custom_role
        where membership.user_id = $1::text::uuid and ($2::text is null or orgs.id > $2::text::uuid)
        order by orgs.id limit $3::int8";

    ORG(OrgId) -> OrgRow = "
        select name, personal, (extract(epoch from created_at) * 1000)::int8 as created_at
        from orgs where id = $1::text::uuid and deleted_at is null";

    // A hundred organisations of one's own are enough for anyone who does not want to fill the table.
    FOUND(OrgId, String, UserId, Entry) -> Id = "
        with founded as materialized (
            select found_org($1::text::uuid, $2::text, $3::text::uuid) as id
            where (select count(*) from memberships join orgs on orgs.id = memberships.org_id and orgs.deleted_at is null
                where memberships.user_id = $3::text::uuid and memberships.role = 'owner') < 100
        )
        select id::text from founded where audit($4::text) > 0";

    RENAME(OrgId, String, Entry) -> Id = "
        with renamed as (
            update orgs set name = $2::text where id = $1::text::uuid and deleted_at is null returning id
        )
        select id::text from renamed where audit($3::text) > 0";

    DELETE(Standing, Entry) -> Outcome = "
        select delete_org($1::text::json, $2::text) as outcome";
}

impl Store {
    pub(super) async fn org_summaries(&self) -> Result<Vec<OrgSummary>, SqlError> {
        self.all(&LIST, ()).await
    }

    /// The organisations of `person` after `after`, in the order of their ids.
    pub(super) async fn orgs_of(
        &self,
        person: UserId,
        after: Option<OrgId>,
        rows: i64,
    ) -> Result<Vec<Place>, SqlError> {
        self.all(&OF_PERSON, (person, after, rows)).await
    }

    pub(super) async fn org(&self, id: OrgId) -> Result<Option<OrgRow>, SqlError> {
        self.first(&ORG, (id,)).await
    }

    /// Founds an organisation; false when its owner has too many.
    pub(super) async fn found_org(
        &self,
        id: OrgId,
        name: String,
        owner: UserId,
        entry: Entry,
    ) -> Result<bool, SqlError> {
        Ok(self.first(&FOUND, (id, name, owner, entry)).await?.is_some_and(|row| row.id == id))
    }

    pub(super) async fn rename_org(&self, id: OrgId, name: String, entry: Entry) -> Result<bool, SqlError> {
        Ok(self.first(&RENAME, (id, name, entry)).await?.is_some_and(|row| row.id == id))
    }

    pub(super) async fn delete_org(&self, standing: Standing, entry: Entry) -> Result<(), Error> {
        self.decide(&DELETE, (standing, entry)).await
    }
}
