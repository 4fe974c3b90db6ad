//! Answers that send a browser elsewhere.

use crate::openapi::{Describe, Draft};
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{ACCEPT, CACHE_CONTROL, LOCATION, SET_COOKIE},
};

/// A 302 that nobody keeps, with cookies.
pub(crate) struct Redirect {
    location: String,
    cookies: Vec<HeaderValue>,
}

impl Redirect {
    pub(super) fn to(location: impl Into<String>) -> Self {
        Self { location: location.into(), cookies: Vec::new() }
    }

    pub(super) fn with_cookie(mut self, cookie: HeaderValue) -> Self {
        self.cookies.push(cookie);
        self
    }

    /// With the cookies of another answer, whose body a browser on its way would not read.
    pub(super) fn with_cookies_of(mut self, answer: &Response) -> Self {
        self.cookies.extend(answer.headers().get_all(SET_COOKIE).iter().cloned());
        self
    }
}

impl IntoResponse for Redirect {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::FOUND;
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for cookie in self.cookies {
            headers.append(SET_COOKIE, cookie);
        }
        let location = HeaderValue::try_from(self.location).expect("a URL and a checked path are plain ASCII");
        headers.insert(LOCATION, location);
        response
    }
}

impl Describe for Redirect {
    fn describe(draft: &mut Draft) {
        draft.answer("302", None, None);
    }
}

/// Whether a page is what the client wants to show: a browser on its way says so.
pub(super) fn wants_page(headers: &HeaderMap) -> bool {
    headers.get(ACCEPT).and_then(|it| it.to_str().ok()).is_some_and(|it| it.contains("text/html"))
}
