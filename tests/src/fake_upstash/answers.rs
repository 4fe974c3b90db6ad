//! What each path answers.

use super::{
    Does, READ_ONLY_TOKEN, State, TOKEN,
    command::{self, Encoding},
};
use crate::redis::{Said, User};
use axum::{
    Json,
    body::Bytes,
    extract::{self, Query},
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{Html, IntoResponse as _, Response},
};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    future::pending,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

type Call = (extract::State<Arc<State>>, Query<HashMap<String, String>>, HeaderMap);

/// `POST /` with a command.
pub(super) async fn one(call: Call, body: Bytes) -> Response {
    answered(call, |state, user, encoding| async move {
        let command = match serde_json::from_slice(&body).map_err(|_| unreadable()).and_then(|it| command::read(&it)) {
            Ok(command) => command,
            Err(error) => return failure(StatusCode::BAD_REQUEST, &error),
        };
        single(&state.run(user, vec![command]).await[0], encoding)
    })
    .await
}

/// `POST /pipeline` with a list of commands: each has its own answer.
pub(super) async fn pipeline(call: Call, body: Bytes) -> Response {
    answered(call, |state, user, encoding| async move {
        let commands = match commands(&body) {
            Ok(commands) => commands,
            Err(error) => return failure(StatusCode::BAD_REQUEST, &error),
        };
        let said = state.run(user, commands).await;
        Json(said.iter().map(|it| command::answer(it, encoding)).collect::<Value>()).into_response()
    })
    .await
}

/// `POST /multi-exec` with a list of commands: all or none.
pub(super) async fn multi_exec(call: Call, body: Bytes) -> Response {
    answered(call, |state, user, encoding| async move {
        let mut commands = match commands(&body) {
            Ok(commands) => commands,
            Err(error) => return failure(StatusCode::BAD_REQUEST, &error),
        };
        commands.insert(0, vec!["MULTI".to_owned()]);
        commands.push(vec!["EXEC".to_owned()]);
        match state.run(user, commands).await.pop() {
            Some(Said::List(said)) => {
                Json(said.iter().map(|it| command::answer(it, encoding)).collect::<Value>()).into_response()
            }
            Some(Said::Error(error)) => failure(StatusCode::BAD_REQUEST, &error),
            other => panic!("EXEC says {other:?}"),
        }
    })
    .await
}

/// `/SET/key/value?EX=100`, and a body as the last argument.
pub(super) async fn path(method: Method, uri: Uri, call: Call, body: Bytes) -> Response {
    if ![Method::GET, Method::HEAD, Method::POST, Method::PUT].contains(&method) {
        return failure(StatusCode::METHOD_NOT_ALLOWED, "ERR method is not allowed");
    }
    answered(call, |state, user, encoding| async move {
        let decoded = |part: &str| percent_decoded(part);
        let mut parts: Vec<String> = uri.path().split('/').skip(1).map(decoded).collect();
        if !body.is_empty() {
            parts.push(String::from_utf8_lossy(&body).into_owned());
        }
        let queries = uri.query().unwrap_or_default().split('&').filter(|it| !it.is_empty());
        for query in queries.filter(|it| !it.starts_with("_token=")) {
            parts.extend(query.splitn(2, '=').map(decoded));
        }
        match command::checked(parts) {
            Ok(parts) => single(&state.run(user, vec![parts]).await[0], encoding),
            Err(error) => failure(StatusCode::BAD_REQUEST, &error),
        }
    })
    .await
}

/// Does what the test says; lets `run` answer whoever has a token.
async fn answered<F: Future<Output = Response>>(
    (extract::State(state), Query(query), headers): Call,
    run: impl FnOnce(Arc<State>, User, Encoding) -> F,
) -> Response {
    state.calls.fetch_add(1, Ordering::SeqCst);
    let header = |name: &str| headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let bearer = header("authorization").strip_prefix("Bearer ").map(str::to_owned);
    let user = match bearer.or_else(|| query.get("_token").cloned()).as_deref() {
        Some(TOKEN) => User::Owner,
        Some(READ_ONLY_TOKEN) => User::Reader,
        _ => return failure(StatusCode::UNAUTHORIZED, "WRONGPASS invalid or missing auth token"),
    };
    let encoding = if header("upstash-encoding") == "base64" { Encoding::Base64 } else { Encoding::Plain };
    let does = *state.does.lock().unwrap();
    match does {
        Does::Serve => run(state, user, encoding).await,
        Does::Late(ms) => {
            let response = run(state, user, encoding).await;
            tokio::time::sleep(Duration::from_millis(ms)).await;
            response
        }
        Does::Lose => {
            run(state, user, encoding).await;
            pending().await
        }
        Does::Hang => pending().await,
        Does::Refuse(status) => failure(StatusCode::from_u16(status).unwrap(), "ERR as the test says"),
        Does::Garble => Html("<h1>Welcome to the captive portal</h1>").into_response(),
    }
}

fn commands(body: &[u8]) -> Result<Vec<Vec<String>>, String> {
    let commands: Vec<Value> = serde_json::from_slice(body).map_err(|_| unreadable())?;
    commands.iter().map(command::read).collect()
}

fn unreadable() -> String {
    "ERR failed to parse command".to_owned()
}

fn single(said: &Said, encoding: Encoding) -> Response {
    let status = if matches!(said, Said::Error(_)) { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    // Whoever sends it back reads what it has written, on whichever replica; there is one here.
    (status, [("upstash-sync-token", "one")], Json(command::answer(said, encoding))).into_response()
}

fn failure(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({ "error": error }))).into_response()
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let hex = |it: Option<u8>| char::from(it.unwrap_or_default()).to_digit(16).unwrap_or_default() as u8;
        bytes.push(if byte == b'%' { hex(rest.next()) * 16 + hex(rest.next()) } else { byte });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
