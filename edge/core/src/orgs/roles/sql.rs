//! `org_roles`.

use crate::{
    Error, Store,
    audit::Entry,
    orgs::standing::{Outcome, Standing},
    sql::{SqlError, row, sql},
};
use shared::{
    id::{OrgId, RoleId},
    permission::Permissions,
};

row! {
    pub(super) struct RoleRow {
        pub(super) id: RoleId,
        pub(super) name: String,
        pub(super) permissions: String,
    }
}

sql! {
    ROLES(OrgId) -> RoleRow = "
        select id::text, name, permissions from org_roles
        where org_id = $1::text::uuid and deleted_at is null order by org_roles.id";

    ADD(Standing, RoleId, String, String, Entry) -> Outcome = "
        select add_role($1::text::json, $2::text::uuid, $3::text, $4::text, $5::text) as outcome";

    CHANGE(Standing, RoleId, Option<String>, Option<String>, Entry) -> Outcome = "
        select change_role($1::text::json, $2::text::uuid, $3::text, $4::text, $5::text) as outcome";

    DELETE(Standing, RoleId, Entry) -> Outcome = "
        select delete_role($1::text::json, $2::text::uuid, $3::text) as outcome";
}

impl Store {
    pub(super) async fn own_roles(&self, org: OrgId) -> Result<Vec<RoleRow>, SqlError> {
        self.all(&ROLES, (org,)).await
    }

    pub(super) async fn add_role(
        &self,
        standing: Standing,
        id: RoleId,
        name: String,
        permissions: Permissions,
        entry: Entry,
    ) -> Result<(), Error> {
        self.decide(&ADD, (standing, id, name, permissions.to_string(), entry)).await
    }

    pub(super) async fn change_role(
        &self,
        standing: Standing,
        id: RoleId,
        name: Option<String>,
        permissions: Option<Permissions>,
        entry: Entry,
    ) -> Result<(), Error> {
        self.decide(&CHANGE, (standing, id, name, permissions.map(|it| it.to_string()), entry)).await
    }

    pub(super) async fn delete_role(&self, standing: Standing, id: RoleId, entry: Entry) -> Result<(), Error> {
        self.decide(&DELETE, (standing, id, entry)).await
    }
}
