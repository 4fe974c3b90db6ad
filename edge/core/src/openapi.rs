//! Routes describe themselves: what a handler takes and gives is what openapi.json says it takes and gives.
#![cfg_attr(not(feature = "openapi"), allow(dead_code, reason = "only what writes openapi.json asks"))]

use crate::{
    App, Error,
    app::Id,
    limits::Client,
    payload::{Input, Payload, Query},
};
use axum::{Json, extract::Path, response::Response};
use http::{Extensions, HeaderMap, Method, StatusCode, Uri};
use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
};
use utoipa::{
    ToSchema,
    openapi::{
        Ref, RefOr, Required, Response as Answer,
        content::ContentBuilder,
        path::{OperationBuilder, ParameterIn},
        request_body::RequestBodyBuilder,
        schema::Schema,
    },
};

/// An operation that is being described, and the schemas that it names.
#[derive(Default)]
pub struct Draft {
    pub(crate) operation: OperationBuilder,
    /// By status; one may have several media types.
    pub(crate) answers: BTreeMap<String, Answer>,
    pub(crate) schemas: BTreeMap<String, RefOr<Schema>>,
    /// Names that several types have.
    pub(crate) ambiguous: BTreeSet<String>,
}

impl Draft {
    /// The name of `T`, which becomes one of the document's schemas.
    pub(crate) fn name<T: ToSchema>(&mut self) -> RefOr<Schema> {
        let mut parts = Vec::new();
        T::schemas(&mut parts);
        let name = T::name().into_owned();
        parts.push((name.clone(), T::schema()));
        for (name, schema) in parts {
            let known = self.schemas.insert(name.clone(), schema);
            if known.is_some_and(|it| it != self.schemas[&name]) {
                self.ambiguous.insert(name);
            }
        }
        Ref::from_schema_name(name).into()
    }

    /// Says that the body is a `T`.
    pub(crate) fn takes<T: ToSchema>(&mut self, media_type: &str) {
        let schema = self.name::<T>();
        self.body(media_type, schema);
    }

    /// Says that an answer with `status` is a `T`.
    pub(crate) fn gives<T: ToSchema>(&mut self, status: &str, media_type: &str) {
        let schema = self.name::<T>();
        self.answer(status, Some(media_type), Some(schema));
    }

    fn body(&mut self, media_type: &str, schema: RefOr<Schema>) {
        let body = RequestBodyBuilder::new().content(media_type, ContentBuilder::new().schema(Some(schema)).build());
        self.edit(|it| it.request_body(Some(body.required(Some(Required::True)).build())));
    }

    pub(crate) fn answer(&mut self, status: &str, media_type: Option<&str>, schema: Option<RefOr<Schema>>) {
        let code: Option<StatusCode> = status.parse().ok();
        let reason = code.and_then(|it| it.canonical_reason()).unwrap_or_default();
        let answer = self.answers.entry(status.to_owned()).or_insert_with(|| Answer::new(reason));
        if let Some(media_type) = media_type {
            let content = ContentBuilder::new().schema(schema).build();
            answer.content.insert(media_type.to_owned(), content.into());
        }
    }

    pub(crate) fn edit(&mut self, change: impl FnOnce(OperationBuilder) -> OperationBuilder) {
        self.operation = change(std::mem::take(&mut self.operation));
    }
}

/// An argument or a result of handlers.
pub trait Describe {
    /// Adds what it means to the operation; nothing, unless it says so.
    fn describe(_: &mut Draft) {}
}

/// A handler whose arguments and result all describe themselves.
pub trait Documented<M> {
    /// Describes the operation.
    fn document(draft: &mut Draft);
}

macro_rules! documented {
    ($($argument:ident)*) => {
        impl<Function, Answer, Output, $($argument),*> Documented<($($argument,)*)> for Function
        where
            Function: Fn($($argument),*) -> Answer,
            Answer: Future<Output = Output>,
            Output: Describe,
            $($argument: Describe,)*
        {
            fn document(draft: &mut Draft) {
                $($argument::describe(draft);)*
                Output::describe(draft);
            }
        }
    };
}

documented!();
documented!(A);
documented!(A B);
documented!(A B C);
documented!(A B C D);
documented!(A B C D E);
documented!(A B C D E F);
documented!(A B C D E F G);

impl Describe for App {}
impl Describe for Id {}
impl Describe for Client {}
impl Describe for Method {}
impl Describe for Uri {}
impl Describe for HeaderMap {}
impl Describe for Extensions {}
/// A path's parameters stand in the path itself.
impl<T> Describe for Path<T> {}

/// Bytes that the handler reads by itself; its route says what they are.
impl Describe for Payload {}
impl Describe for Response {}

impl<T: utoipa::IntoParams> Describe for Query<T> {
    fn describe(draft: &mut Draft) {
        for parameter in T::into_params(|| Some(ParameterIn::Query)) {
            draft.edit(|it| it.parameter(parameter));
        }
    }
}

impl<T: ToSchema> Describe for Input<T> {
    fn describe(draft: &mut Draft) {
        draft.takes::<T>("application/json");
    }
}

impl<T: ToSchema> Describe for Json<T> {
    fn describe(draft: &mut Draft) {
        draft.gives::<T>("200", "application/json");
    }
}

impl<T: Describe> Describe for Result<T, Error> {
    fn describe(draft: &mut Draft) {
        T::describe(draft);
    }
}

/// An answer with a status that its type names.
pub struct Status<const CODE: u16, T>(pub T);

impl<const CODE: u16, T: axum::response::IntoResponse> axum::response::IntoResponse for Status<CODE, T> {
    fn into_response(self) -> Response {
        (StatusCode::from_u16(CODE).expect("a route names a status"), self.0).into_response()
    }
}

impl<const CODE: u16, T: ToSchema> Describe for Status<CODE, Json<T>> {
    fn describe(draft: &mut Draft) {
        draft.gives::<T>(&CODE.to_string(), "application/json");
    }
}

impl<const CODE: u16> Describe for Status<CODE, ()> {
    fn describe(draft: &mut Draft) {
        draft.answer(&CODE.to_string(), None, None);
    }
}

/// 204, with nothing to say.
pub type NoContent = Status<204, ()>;
/// 201, with what was made.
pub type Created<T> = Status<201, Json<T>>;
/// 202: whatever comes of it comes by mail.
pub type Accepted<T> = Status<202, Json<T>>;
