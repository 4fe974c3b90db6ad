//! `identities`: written by this slice alone, and people who come by them.

use crate::{
    Store,
    audit::Entry,
    mail::Letter,
    sql::{SqlError, row, sql},
};
use shared::{
    id::{OrgId, UserId},
    time::Timestamp,
};

/// Someone whom a provider vouches for, and what is written when they are new to us.
pub(super) struct Arrival {
    pub(super) provider: String,
    pub(super) subject: String,
    /// Verified by the provider.
    pub(super) email: Option<String>,
    pub(super) name: String,
    pub(super) may_sign_up: bool,
    pub(super) user_id: UserId,
    pub(super) org_id: OrgId,
    pub(super) now: Timestamp,
    pub(super) linked: Entry,
    pub(super) created: Entry,
    /// To the owner of an account that is linked.
    pub(super) notice: Letter,
}

row! {
    /// What came of an arrival: `known`, `linked`, `created`, or why there is no person.
    pub(super) struct Arrived {
        pub(super) outcome: String,
        pub(super) user_id: Option<UserId>,
        pub(super) version: Option<i64>,
        pub(super) has_second: Option<bool>,
    }
}

row! {
    pub(super) struct IdentityRow {
        pub(super) provider: String,
        pub(super) email: String,
        pub(super) created_at: Timestamp,
    }
}

row! {
    struct HasPassword {
        has_password: bool,
    }
}

row! {
    struct Unlinked {
        outcome: String,
    }
}

sql! {
    ARRIVE(String, String, Option<String>, String, bool, UserId, OrgId, Timestamp, Entry, Entry, Letter) -> Arrived = "
        select outcome, person_id as user_id, person_version as version, person_second as has_second
        from arrive_by_identity($1::text, $2::text, $3::text, $4::text, $5::bool, $6::text::uuid, $7::text::uuid,
            $8::int8, $9::text, $10::text, $11::text)";

    IDENTITIES(UserId) -> IdentityRow = "
        select provider, email, (extract(epoch from created_at) * 1000)::int8 as created_at
        from identities where user_id = $1::text::uuid order by provider";

    HAS_PASSWORD(UserId) -> HasPassword = "
        select password_hash is not null as has_password from users where id = $1::text::uuid";

    UNLINK(UserId, String, Entry) -> Unlinked = "
        select unlink_identity($1::text::uuid, $2::text, $3::text) as outcome";
}

impl Store {
    /// Finds the person, links their account, or makes one.
    pub(super) async fn arrive(&self, arrival: Arrival) -> Result<Option<Arrived>, SqlError> {
        let it = arrival;
        let params = (
            it.provider,
            it.subject,
            it.email,
            it.name,
            it.may_sign_up,
            it.user_id,
            it.org_id,
            it.now,
            it.linked,
            it.created,
            it.notice,
        );
        self.first(&ARRIVE, params).await
    }

    pub(super) async fn identities(&self, user: UserId) -> Result<Vec<IdentityRow>, SqlError> {
        self.all(&IDENTITIES, (user,)).await
    }

    pub(super) async fn has_password(&self, user: UserId) -> Result<bool, SqlError> {
        Ok(self.first(&HAS_PASSWORD, (user,)).await?.is_some_and(|row| row.has_password))
    }

    /// `unlinked`, `last` when no other way to log in is left, or `unknown`.
    pub(super) async fn unlink_identity(&self, user: UserId, provider: &str, entry: Entry) -> Result<String, SqlError> {
        let unlinked = self.first(&UNLINK, (user, provider.to_owned(), entry)).await?;
        Ok(unlinked.map(|row| row.outcome).unwrap_or_default())
    }
}
