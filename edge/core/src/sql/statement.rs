//! Statements whose parameters and rows have Rust types, so that the compiler checks every call and one test the rest.

use super::{Kind, Row, SqlError, SqlType, Value};
use std::marker::PhantomData;

/// One SQL statement that takes `P` and gives rows of `R`.
pub struct Statement<P, R> {
    /// The text, with `$1`, `$2`, ... for the parameters.
    pub sql: &'static str,
    types: PhantomData<fn(P) -> R>,
}

impl<P: Params, R: FromRow> Statement<P, R> {
    pub(crate) const fn new(sql: &'static str) -> Self {
        Self { sql, types: PhantomData }
    }

    /// The statement without its types, for the test that prepares them all.
    pub(crate) const fn describe(&self, name: &'static str) -> Described {
        Described { name, sql: self.sql, params: P::KINDS, columns: R::COLUMNS }
    }
}

/// What a statement claims to take and to give.
#[derive(Clone, Copy, Debug)]
pub struct Described {
    /// Module and constant, such as `edge_core::keys::sql::BY_ID`.
    pub name: &'static str,
    /// The text.
    pub sql: &'static str,
    /// Kinds of `$1`, `$2`, ...
    pub params: &'static [Kind],
    /// Names and kinds of the columns.
    pub columns: &'static [(&'static str, Kind)],
}

/// A row type: its columns, in the order of the `select` list.
pub trait FromRow: Sized {
    /// Names and kinds.
    const COLUMNS: &'static [(&'static str, Kind)];
    /// Reads one row.
    fn from_row(row: &Row) -> Result<Self, SqlError>;
}

/// A statement that gives no columns.
impl FromRow for () {
    const COLUMNS: &'static [(&'static str, Kind)] = &[];
    fn from_row(_: &Row) -> Result<Self, SqlError> {
        Ok(())
    }
}

/// A tuple of parameters.
pub trait Params {
    /// Their kinds.
    const KINDS: &'static [Kind];
    /// Their values, in order.
    fn into_values(self) -> Vec<Value>;
}

macro_rules! params {
    ($($name:ident)*) => {
        impl<$($name: SqlType),*> Params for ($($name,)*) {
            const KINDS: &'static [Kind] = &[$($name::KIND),*];
            #[allow(non_snake_case, clippy::unused_unit)]
            fn into_values(self) -> Vec<Value> {
                let ($($name,)*) = self;
                vec![$($name.into_value()),*]
            }
        }
    };
}

params!();
params!(A);
params!(A B);
params!(A B C);
params!(A B C D);
params!(A B C D E);
params!(A B C D E F);
params!(A B C D E F G);
params!(A B C D E F G H);
params!(A B C D E F G H I);
params!(A B C D E F G H I J);
params!(A B C D E F G H I J K);
params!(A B C D E F G H I J K L);
params!(A B C D E F G H I J K L M);
params!(A B C D E F G H I J K L M N);

/// Declares a row type whose fields are the columns, in order.
macro_rules! row {
    ($(#[$doc:meta])* $vis:vis struct $name:ident { $($(#[$field_doc:meta])* $field_vis:vis $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        $vis struct $name { $($(#[$field_doc])* $field_vis $field: $type,)* }

        impl $crate::sql::FromRow for $name {
            const COLUMNS: &'static [(&'static str, $crate::sql::Kind)] =
                &[$((stringify!($field), <$type as $crate::sql::SqlType>::KIND)),*];
            fn from_row(row: &$crate::sql::Row) -> Result<Self, $crate::sql::SqlError> {
                let mut columns = 0..;
                Ok(Self { $($field: row.get(columns.next().expect("columns are counted without end"))?,)* })
            }
        }
    };
}

/// Declares a slice's statements and the list of them; none can be left out of the list.
macro_rules! sql {
    ($($(#[$doc:meta])* $name:ident($($param:ty),*) -> $row:ty = $text:expr;)*) => {
        $($(#[$doc])* const $name: $crate::sql::Statement<($($param,)*), $row> = $crate::sql::Statement::new($text);)*

        /// This slice's statements.
        pub(crate) fn statements() -> Vec<$crate::sql::Described> {
            vec![$($name.describe(concat!(module_path!(), "::", stringify!($name)))),*]
        }
    };
}

pub(crate) use {row, sql};
