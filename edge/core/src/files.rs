//! Static files, for hosts whose platform serves none: which file a request asks for, and how it is answered.

use axum::{body::Body, response::Response};
use http::{
    HeaderValue, Method, Request,
    header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
};

/// Answers with the file that `request` asks for, if it asks for one that `read` has. The router sees the rest.
pub fn answer(
    request: &Request<Body>,
    api_prefix: &str,
    read: impl FnOnce(&str) -> Option<Vec<u8>>,
) -> Option<Response> {
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        return None;
    }
    let (name, content_type) = named(request.uri().path(), api_prefix)?;
    let mut response = Response::new(Body::from(read(name)?));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Some(response)
}

/// The file and its type that a path names; none for the API's own paths, and for whatever is not a plain name.
fn named<'a>(path: &'a str, api_prefix: &str) -> Option<(&'a str, &'static str)> {
    let below = |prefix: &str| path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if [api_prefix, "/v1", "/api", "/healthz", "/readyz"].into_iter().any(below) {
        return None;
    }
    let name = if path == "/" { "index.html" } else { path.strip_prefix('/')? };
    // No segment may be empty, start with a dot, or hold anything that could mean more than itself.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let good = |segment: &str| !segment.is_empty() && !segment.starts_with('.') && segment.bytes().all(plain);
    if !name.split('/').all(good) {
        return None;
    }
    let (_, extension) = name.rsplit_once('.')?;
    Some((name, content_type(extension)?))
}

fn content_type(extension: &str) -> Option<&'static str> {
    Some(match extension {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "json" => "application/json",
        "txt" => "text/plain; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_file_or_is_the_router_s() {
        for (path, name) in [
            ("/", Some("index.html")),
            ("/app/main.js", Some("app/main.js")),
            ("/v1/models.json", None),
            ("/api/v1/x.js", None),
            ("/healthz", None),
            ("/v1", None),
            ("/v1x.js", Some("v1x.js")),
            ("/../secret.txt", None),
            ("/a//b.js", None),
            ("/.env.txt", None),
            ("/a%2e.js", None),
            ("/index", None),
            ("/key.pem", None),
        ] {
            assert_eq!(named(path, "/api/v1").map(|(name, _)| name), name, "{path}");
        }
    }

    #[test]
    fn only_reading_methods_ask_for_files() {
        for (method, answered) in [(Method::GET, true), (Method::HEAD, true), (Method::POST, false)] {
            let request = Request::builder().method(method.clone()).uri("/x.js").body(Body::empty()).unwrap();
            assert_eq!(answer(&request, "/api/v1", |_| Some(Vec::new())).is_some(), answered, "{method}");
        }
        let request = Request::get("/x.js").body(Body::empty()).unwrap();
        assert!(answer(&request, "/api/v1", |_| None).is_none(), "a file that is not there is the router's to tell");
    }
}
