//! `audit_head.key`: the key of the chain, as the rotation of encryption keys sees it.

use crate::{
    seal::{Place, Replaced, SealedColumn, SealedRow},
    sql::sql,
};

sql! {
    ROWS(String, i64) -> SealedRow = "
        select id::text as row, key as sealed from audit_head
        where id > coalesce(nullif($1::text, '')::int8, 0) order by id limit $2::int8";

    REPLACE(String, Vec<u8>, Vec<u8>) -> Replaced = "
        update audit_head set key = $3::bytea where id = $1::text::int8 and key = $2::bytea
        returning id::text as row";
}

/// There is one row, and its id is 1.
pub(crate) const SEALED: SealedColumn = SealedColumn { column: "audit_head.key", rows: &ROWS, replace: &REPLACE };

/// Where the key of the chain is sealed.
pub(super) const PLACE: Place<'static> = Place { column: SEALED.column, row: "1" };
