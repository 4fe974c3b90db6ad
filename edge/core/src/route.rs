//! The route table: every route, who may use it, and what it takes and gives.
//!
//! The router is built from the table and from nothing else, so a route that declares no access does not exist. Tests
//! walk the table; `openapi.json` is written from it.

use crate::{
    access::{self, Access},
    limits::Class,
    openapi::{Documented, Draft},
};
use axum::{
    Router,
    handler::Handler,
    middleware::from_fn,
    routing::{MethodFilter, MethodRouter, on},
};
use http::Method;
use utoipa::{PartialSchema as _, ToSchema};

/// One row of the table.
pub struct Route {
    pub method: Method,
    /// As axum spells it, without the API's prefix.
    pub path: &'static str,
    /// Whether the path lies below the API's prefix, such as `/api/v1`.
    pub prefixed: bool,
    pub access: Access,
    /// By which of an address' limits its calls are counted; none for what watches the service.
    pub class: Option<Class>,
    /// What it does, in a sentence.
    pub summary: &'static str,
    handler: MethodRouter,
    /// The slice whose handler it has.
    #[cfg(feature = "openapi")]
    pub(crate) slice: &'static str,
    /// What its handler takes and gives.
    #[cfg(feature = "openapi")]
    pub(crate) described: Vec<fn(&mut Draft)>,
}

impl Route {
    /// A route below the API's prefix.
    fn new<H, A, M>(method: Method, path: &'static str, access: Access, handler: H, summary: &'static str) -> Self
    where
        H: Handler<A, ()> + Documented<M>,
        A: 'static,
    {
        let filter = MethodFilter::try_from(method.clone()).expect("a route has a plain method");
        let handler = on(filter, handler);
        Self {
            method,
            path,
            prefixed: true,
            access,
            class: Some(Class::of_path(path)),
            summary,
            handler,
            #[cfg(feature = "openapi")]
            slice: std::any::type_name::<H>().split("::").nth(1).unwrap_or_default(),
            #[cfg(feature = "openapi")]
            described: vec![H::document],
        }
    }

    /// At the root instead.
    pub(crate) fn at_root(self) -> Self {
        Self { prefixed: false, ..self }
    }

    /// Counts its calls by another limit than its path says.
    pub(crate) fn limited(self, class: Class) -> Self {
        Self { class: Some(class), ..self }
    }

    /// Does not count its calls.
    pub(crate) fn unlimited(self) -> Self {
        Self { class: None, ..self }
    }

    /// Says what its handler reads out of the body by itself.
    pub(crate) fn takes<T: ToSchema>(self) -> Self {
        self.described(|draft| draft.takes::<T>("application/json"))
    }

    /// Says what its handler answers 200 with, where its type does not.
    pub(crate) fn gives<T: ToSchema>(self) -> Self {
        self.answers::<200, T>()
    }

    /// As [`Route::gives`], with another status.
    pub(crate) fn answers<const CODE: u16, T: ToSchema>(self) -> Self {
        self.described(|draft| draft.gives::<T>(&CODE.to_string(), "application/json"))
    }

    /// Says what the events are of which its handler streams.
    pub(crate) fn streams<T: ToSchema>(self) -> Self {
        self.described(|draft| draft.gives::<T>("200", "text/event-stream"))
    }

    /// Says that its answer is a spreadsheet for whoever asks for one.
    pub(crate) fn exports_csv(self) -> Self {
        self.described(|draft| draft.answer("200", Some("text/csv"), Some(String::schema())))
    }

    #[cfg(feature = "openapi")]
    fn described(mut self, describe: fn(&mut Draft)) -> Self {
        self.described.push(describe);
        self
    }

    #[cfg(not(feature = "openapi"))]
    fn described(self, _: fn(&mut Draft)) -> Self {
        self
    }
}

/// Puts the guard before a handler. Not generic, so that there is one of it and not one a route.
fn guarded(access: Access, class: Option<Class>, handler: MethodRouter) -> MethodRouter {
    handler.layer(from_fn(move |request, next| access::guard(access, class, request, next)))
}

macro_rules! methods {
    ($($name:ident = $method:ident;)*) => {$(
        /// A route below the API's prefix.
        pub(crate) fn $name<H, A, M>(path: &'static str, access: Access, handler: H, summary: &'static str) -> Route
        where
            H: Handler<A, ()> + Documented<M>,
            A: 'static,
        {
            Route::new(Method::$method, path, access, handler, summary)
        }
    )*};
}

methods! {
    get = GET;
    post = POST;
    put = PUT;
    patch = PATCH;
    delete = DELETE;
}

/// The routers of the routes at the root and of those below the prefix.
pub(crate) fn routers(routes: Vec<Route>) -> (Router, Router) {
    routes.into_iter().fold((Router::new(), Router::new()), |(root, below), route| {
        let handler = guarded(route.access, route.class, route.handler);
        if route.prefixed { (root, below.route(route.path, handler)) } else { (root.route(route.path, handler), below) }
    })
}
