//! How values that JSON has no type for describe themselves in openapi.json.

use utoipa::openapi::{
    RefOr,
    schema::{ObjectBuilder, Schema, SchemaType, Type},
};

/// A text of the form `pattern`.
pub(crate) fn text(pattern: &str) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).pattern(Some(pattern)).build().into()
}

/// One of these texts.
pub(crate) fn one_of(texts: &[&str]) -> RefOr<Schema> {
    let builder = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String));
    builder.enum_values(Some(texts.iter().copied())).build().into()
}

/// A list of such values.
pub(crate) fn list(item: RefOr<Schema>) -> RefOr<Schema> {
    utoipa::openapi::schema::ArrayBuilder::new().items(item).build().into()
}
