//! `totp_secrets.sealed`: the secrets of authenticator programs, as the rotation of encryption keys sees them.

use crate::{
    seal::{Replaced, SealedColumn, SealedRow},
    sql::sql,
};

sql! {
    ROWS(String, i64) -> SealedRow = "
        select user_id::text as row, sealed from totp_secrets
        where user_id > coalesce(nullif($1::text, '')::uuid, '00000000-0000-0000-0000-000000000000'::uuid)
        order by user_id limit $2::int8";

    REPLACE(String, Vec<u8>, Vec<u8>) -> Replaced = "
        update totp_secrets set sealed = $3::bytea where user_id = $1::text::uuid and sealed = $2::bytea
        returning user_id::text as row";
}

/// A secret is sealed for the UUID of its owner.
pub(crate) const SEALED: SealedColumn = SealedColumn { column: "totp_secrets.sealed", rows: &ROWS, replace: &REPLACE };
