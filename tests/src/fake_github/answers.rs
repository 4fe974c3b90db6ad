//! What it answers.

use super::{Given, State};
use crate::browser::form;
use axum::{
    extract::{Query, State as Shared},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Json, Redirect, Response},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use reqwest::Url;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

type Fields = HashMap<String, String>;

pub(super) async fn authorize(Shared(state): Shared<Arc<State>>, Query(asked): Query<Fields>) -> Response {
    let field = |name: &str| asked.get(name).cloned().unwrap_or_default();
    if field("client_id") != state.client_id {
        return (StatusCode::NOT_FOUND, "Not Found").into_response();
    }
    let back = |more: &[(&str, &str)]| {
        let mut url: Url = state.redirect_uri.parse().unwrap();
        url.query_pairs_mut().extend_pairs(more);
        if let Some(it) = asked.get("state") {
            url.query_pairs_mut().append_pair("state", it);
        }
        Redirect::to(url.as_str()).into_response()
    };
    let redirect_uri = asked.get("redirect_uri").unwrap_or(&state.redirect_uri).clone();
    if redirect_uri != state.redirect_uri {
        return back(&[("error", "redirect_uri_mismatch")]);
    }
    let Some(user) = state.visitor.lock().unwrap().clone() else {
        return back(&[
            ("error", "access_denied"),
            ("error_description", "The user has denied your application access."),
        ]);
    };
    let scopes = field("scope").split([' ', ',']).filter(|it| !it.is_empty()).map(str::to_owned).collect();
    let challenge = asked.get("code_challenge").filter(|_| field("code_challenge_method") == "S256").cloned();
    let code = fresh("code_");
    let given = Given { user, scopes, redirect_uri, code_challenge: challenge };
    state.codes.lock().unwrap().insert(code.clone(), given);
    back(&[("code", &code)])
}

pub(super) async fn access_token(Shared(state): Shared<Arc<State>>, headers: HeaderMap, body: String) -> Response {
    let asked = fields(&body);
    let answer = match exchange(&state, &asked) {
        Ok(given) => {
            let (token, scope) = (fresh("gho_"), given.scopes.join(","));
            state.tokens.lock().unwrap().insert(token.clone(), given);
            vec![("access_token", token), ("token_type", "bearer".to_owned()), ("scope", scope)]
        }
        // The status is 200, as if all were well.
        Err(error) => vec![("error", error.to_owned()), ("error_description", format!("It says {error}."))],
    };
    if headers.get(header::ACCEPT).is_some_and(|it| it == "application/json") {
        let object: Map<String, Value> = answer.into_iter().map(|(name, it)| (name.to_owned(), it.into())).collect();
        return Json(object).into_response();
    }
    let pairs: Vec<_> = answer.iter().map(|(name, it)| (*name, it.as_str())).collect();
    ([(header::CONTENT_TYPE, "application/x-www-form-urlencoded; charset=utf-8")], form(&pairs)).into_response()
}

/// What the code stands for. A code is good for one try.
fn exchange(state: &State, asked: &Fields) -> Result<Given, &'static str> {
    let field = |name: &str| asked.get(name).map(String::as_str);
    if field("client_id") != Some(&state.client_id) || field("client_secret") != Some(&state.client_secret) {
        return Err("incorrect_client_credentials");
    }
    let given = field("code").and_then(|code| state.codes.lock().unwrap().remove(code));
    let given = given.ok_or("bad_verification_code")?;
    if field("redirect_uri").is_some_and(|it| it != given.redirect_uri) {
        return Err("redirect_uri_mismatch");
    }
    let challenge = field("code_verifier").map(|it| BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(it)));
    if given.code_challenge != challenge {
        return Err("bad_verification_code");
    }
    Ok(given)
}

pub(super) async fn user(Shared(state): Shared<Arc<State>>, headers: HeaderMap) -> Response {
    match caller(&state, &headers) {
        Ok(given) => Json(given.user).into_response(),
        Err((status, message)) => refused(status, message),
    }
}

pub(super) async fn emails(Shared(state): Shared<Arc<State>>, headers: HeaderMap) -> Response {
    match caller(&state, &headers) {
        Ok(given) if given.scopes.iter().any(|it| it == "user:email" || it == "user") => {
            Json(given.user.emails).into_response()
        }
        // What a token may not see is not there.
        Ok(_) => refused(StatusCode::NOT_FOUND, "Not Found"),
        Err((status, message)) => refused(status, message),
    }
}

/// Whose token it is.
fn caller(state: &State, headers: &HeaderMap) -> Result<Given, (StatusCode, &'static str)> {
    let header = |name| headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or_default();
    if header(header::USER_AGENT).is_empty() {
        return Err((StatusCode::FORBIDDEN, "Request forbidden by administrative rules."));
    }
    let token = header(header::AUTHORIZATION).split_once(' ').map_or("", |(_, token)| token);
    let given = state.tokens.lock().unwrap().get(token).cloned();
    given.ok_or((StatusCode::UNAUTHORIZED, "Bad credentials"))
}

fn refused(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "message": message }))).into_response()
}

/// A form's fields, or a JSON object's texts: GitHub takes either.
fn fields(body: &str) -> Fields {
    if body.starts_with('{') {
        return serde_json::from_str(body).unwrap_or_default();
    }
    let url = Url::parse(&format!("http://localhost/?{body}")).unwrap();
    url.query_pairs().into_owned().collect()
}

fn fresh(prefix: &str) -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    format!("{prefix}{:016}", NUMBER.fetch_add(1, Ordering::Relaxed))
}
