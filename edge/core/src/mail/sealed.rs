//! `mail_outbox.sealed`: what mails are filled with, as the rotation of encryption keys sees it.

use crate::{
    seal::{Replaced, SealedColumn, SealedRow},
    sql::sql,
};

sql! {
    // What is sent is sealed no more.
    ROWS(String, i64) -> SealedRow = "
        select id::text as row, sealed from mail_outbox
        where sealed is not null
            and id > coalesce(nullif($1::text, '')::uuid, '00000000-0000-0000-0000-000000000000'::uuid)
        order by id limit $2::int8";

    REPLACE(String, Vec<u8>, Vec<u8>) -> Replaced = "
        update mail_outbox set sealed = $3::bytea where id = $1::text::uuid and sealed = $2::bytea
        returning id::text as row";
}

/// A mail is sealed for its UUID.
pub(crate) const SEALED: SealedColumn = SealedColumn { column: "mail_outbox.sealed", rows: &ROWS, replace: &REPLACE };
