//! `users`: written by this slice alone.

use crate::{
    Store,
    sql::{SqlError, row, sql},
};
use shared::id::{OrgId, UserId};

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

sql! {
    INSERT_OPERATOR(UserId, String, String, OrgId, String) -> Founded = "
        with person as (
            insert into users (id, email, password_hash, operator)
            values ($1::text::uuid, $2::text, $3::text, true)
            returning id
        )
        select found_org($4::text::uuid, $5::text, person.id)::text as org_id from person";

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
    ) -> Result<(), SqlError> {
        let founded =
            self.first(&INSERT_OPERATOR, (user_id, email.to_owned(), password_hash, org_id, org_name)).await?;
        debug_assert!(founded.is_some_and(|row| row.org_id == org_id));
        Ok(())
    }

    pub(super) async fn owner_by_email(&self, email: String) -> Result<Option<Owner>, SqlError> {
        self.first(&OWNER_BY_EMAIL, (email,)).await
    }
}
