//! Lists, a page at a time.

use crate::Error;
use serde::{Deserialize, Serialize};
use std::str::FromStr;
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{
        Ref, RefOr,
        schema::{ArrayBuilder, ObjectBuilder, Schema, SchemaType, Type},
    },
};

/// Entries on a page that nobody asked to be longer.
const USUAL: i64 = 50;

/// Entries on a page at most.
const LONGEST: i64 = 100;

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
pub(crate) struct Paging {
    /// Entries on the page: 50 unless given, 100 at most.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A page of a list.
#[derive(Debug, Serialize)]
pub(crate) struct Page<T> {
    data: Vec<T>,
    /// For the next page; null on the last.
    next_cursor: Option<String>,
}

impl Paging {
    /// Entries on the page.
    pub(crate) fn limit(&self) -> i64 {
        self.limit.unwrap_or(USUAL).clamp(1, LONGEST)
    }

    /// One more than fits on the page, which tells whether there is another.
    pub(crate) fn rows(&self) -> i64 {
        self.limit() + 1
    }

    /// The last entry of the page before. A cursor is the text of its id, which callers need not know.
    pub(crate) fn after<I: FromStr>(&self) -> Result<Option<I>, Error> {
        let wrong = || Error::Invalid { message: "`cursor` is none of this list".to_owned(), param: Some("cursor") };
        self.cursor.as_deref().map(|it| it.parse().map_err(|_| wrong())).transpose()
    }
}

impl<T> Page<T> {
    /// The page of `rows`, of which there may be one more than fits.
    pub(crate) fn of<R, I: ToString>(
        paging: &Paging,
        mut rows: Vec<R>,
        id: impl Fn(&R) -> I,
        view: impl Fn(R) -> T,
    ) -> Self {
        let limit = usize::try_from(paging.limit()).expect("a page is short");
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows.last().filter(|_| more).map(|last| id(last).to_string());
        Self { data: rows.into_iter().map(view).collect(), next_cursor }
    }

    /// The list, and the cursor, for an answer that says more than these.
    pub(crate) fn into_parts(self) -> (Vec<T>, Option<String>) {
        (self.data, self.next_cursor)
    }
}

/// By hand: what is derived has one name for the pages of all lists.
impl<T: ToSchema> PartialSchema for Page<T> {
    fn schema() -> RefOr<Schema> {
        let cursor = SchemaType::from_iter([Type::String, Type::Null]);
        ObjectBuilder::new()
            .property("data", ArrayBuilder::new().items(Ref::from_schema_name(T::name())))
            .required("data")
            .property("next_cursor", ObjectBuilder::new().schema_type(cursor))
            .required("next_cursor")
            .into()
    }
}

impl<T: ToSchema> ToSchema for Page<T> {
    fn name() -> std::borrow::Cow<'static, str> {
        format!("{}Page", T::name()).into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        T::schemas(schemas);
        schemas.push((T::name().into_owned(), T::schema()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paging(limit: Option<i64>, cursor: Option<&str>) -> Paging {
        Paging { limit, cursor: cursor.map(str::to_owned) }
    }

    #[test]
    fn a_page_has_at_most_what_was_asked_for_and_says_where_the_next_begins() {
        for (limit, found, shown, next) in [
            (None, 3, 3, None),
            (Some(2), 3, 2, Some("1")),
            (Some(3), 3, 3, None),
            (Some(0), 2, 1, Some("0")),
            (Some(1_000), 101, 100, Some("99")),
            (Some(2), 0, 0, None),
        ] {
            let paging = paging(limit, None);
            assert!(i64::from(found) <= paging.rows(), "a statement gives no more");
            let page = Page::of(&paging, (0..found).collect(), |row| *row, |row| row);
            assert_eq!((page.data.len(), page.next_cursor.as_deref()), (shown, next), "{limit:?} of {found}");
        }
    }

    #[test]
    fn a_cursor_is_an_id_of_the_list() {
        assert_eq!(paging(None, None).after::<i64>().unwrap(), None);
        assert_eq!(paging(None, Some("7")).after::<i64>().unwrap(), Some(7));
        assert!(paging(None, Some("seven")).after::<i64>().is_err());
    }
}
