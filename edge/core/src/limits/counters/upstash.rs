//! A client of Upstash Redis over its REST interface: a command is a `POST` of a JSON array.
//!
//! Nothing is tried again: whether a command whose answer was lost has been done, nobody knows.

use super::{reply::Reply, script::Script};
use crate::{Host, config::UpstashConfig, host::BoxError};
use axum::body::Body;
use bytes::Bytes;
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Either, select},
};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

/// No answer to a command of ours is longer.
const BODY_BYTES: usize = 1024 * 1024;

/// As much as is kept of what a store says about a command.
const COMPLAINT_CHARS: usize = 120;

/// A database behind a REST interface.
pub struct Upstash {
    config: UpstashConfig,
}

/// A command was not answered. No text holds a command, a key or the token.
#[derive(Debug, thiserror::Error)]
pub enum UpstashError {
    /// Not reached, not in time, or it says that it is busy or broken; the command may have been done.
    #[error("Upstash is away")]
    Away(#[source] BoxError),
    /// It does not take the token.
    #[error("Upstash refuses the token")]
    Denied,
    /// It answered what Upstash does not.
    #[error("Upstash's answer cannot be read")]
    Garbled,
    /// The command failed, in Redis's words up to the first that is quoted from the command.
    #[error("Redis refuses a command: {0}")]
    Command(String),
}

impl Upstash {
    pub fn new(config: UpstashConfig) -> Self {
        Self { config }
    }

    /// Runs one command.
    pub async fn command(&self, host: &dyn Host, parts: &[&str]) -> Result<Reply, UpstashError> {
        self.in_time(host, self.run(host, parts).boxed()).await
    }

    /// Runs commands one after another with one call; others' commands may come between, and one that fails stops
    /// none of the others.
    pub async fn pipeline(
        &self,
        host: &dyn Host,
        commands: &[&[&str]],
    ) -> Result<Vec<Result<Reply, UpstashError>>, UpstashError> {
        let whole = async {
            let answers = self.post(host, "/pipeline", &json!(commands)).await?;
            let answers = answers.as_array().filter(|it| it.len() == commands.len()).ok_or(UpstashError::Garbled)?;
            Ok(answers.iter().map(outcome).collect())
        };
        self.in_time(host, whole.boxed()).await
    }

    /// Runs a script by its name, and by its text where the store does not know it yet.
    pub async fn evaluate(
        &self,
        host: &dyn Host,
        script: &Script,
        keys: &[&str],
        arguments: &[&str],
    ) -> Result<Reply, UpstashError> {
        let count = keys.len().to_string();
        let command = |verb, script| [&[verb, script, count.as_str()], keys, arguments].concat();
        let whole = async {
            match self.run(host, &command("EVALSHA", &script.sha1)).await {
                // Nothing was done, so this is no second time.
                Err(UpstashError::Command(text)) if text.contains("NOSCRIPT") => {
                    self.run(host, &command("EVAL", script.text)).await
                }
                answer => answer,
            }
        };
        self.in_time(host, whole.boxed()).await
    }

    async fn run(&self, host: &dyn Host, parts: &[&str]) -> Result<Reply, UpstashError> {
        outcome(&self.post(host, "/", &json!(parts)).await?)
    }

    /// What `answer` comes to, unless it takes too long.
    async fn in_time<T>(
        &self,
        host: &dyn Host,
        answer: BoxFuture<'_, Result<T, UpstashError>>,
    ) -> Result<T, UpstashError> {
        match select(answer, host.sleep(self.config.timeout_ms)).await {
            Either::Left((answer, _)) => answer,
            Either::Right(_) => Err(away("no answer in time")),
        }
    }

    async fn post(&self, host: &dyn Host, path: &str, body: &Value) -> Result<Value, UpstashError> {
        let response = host.fetch(self.request(path, body)?).await.map_err(away)?;
        let status = response.status();
        match status {
            // A refused command answers with 400, and says why.
            StatusCode::OK | StatusCode::BAD_REQUEST => read(response).await,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(UpstashError::Denied),
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Err(away(format!("status {status}"))),
            _ if status.is_server_error() => Err(away(format!("status {status}"))),
            _ => Err(UpstashError::Garbled),
        }
    }

    fn request(&self, path: &str, body: &Value) -> Result<Request<Bytes>, UpstashError> {
        let token = format!("Bearer {}", self.config.token.expose_secret());
        // The settings are checked at start: a token that fits into no header does not come here.
        let mut token = HeaderValue::try_from(token).map_err(|_| UpstashError::Denied)?;
        token.set_sensitive(true);
        Request::post(format!("{}{path}", self.config.url.as_str().trim_end_matches('/')))
            .header(header::AUTHORIZATION, token)
            .header(header::CONTENT_TYPE, "application/json")
            .header("upstash-encoding", "base64")
            .body(body.to_string().into())
            .map_err(away)
    }
}

async fn read(response: Response<Body>) -> Result<Value, UpstashError> {
    let body = Limited::new(response.into_body(), BODY_BYTES).collect().await.map_err(away)?.to_bytes();
    serde_json::from_slice(&body).map_err(|_| UpstashError::Garbled)
}

/// The result of one command, or its error.
fn outcome(answer: &Value) -> Result<Reply, UpstashError> {
    match (answer.get("result"), answer.get("error")) {
        (Some(result), None) => Reply::read(result).ok_or(UpstashError::Garbled),
        (None, Some(Value::String(error))) => Err(UpstashError::Command(complaint(error))),
        _ => Err(UpstashError::Garbled),
    }
}

/// What Redis says, up to what it may have quoted from the command. A quotation mark within a word is an apostrophe.
fn complaint(error: &str) -> String {
    let mut word = false;
    let quotes = |it: char| {
        let opens = "\"`[{\n\r".contains(it) || (it == '\'' && !word);
        word = it.is_alphanumeric();
        opens
    };
    let end = error.find(quotes).unwrap_or(error.len());
    error[..end].trim_end().chars().take(COMPLAINT_CHARS).collect()
}

fn away(cause: impl Into<BoxError>) -> UpstashError {
    UpstashError::Away(cause.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_quotes_nothing_of_the_command() {
        for (error, expected) in [
            ("ERR unknown command 'FOO', with args beginning with: 'secret' ", "ERR unknown command"),
            ("NOSCRIPT No matching script. Please use EVAL.", "NOSCRIPT No matching script. Please use EVAL."),
            ("ERR syntax error in [\"SET\",\"k\"]", "ERR syntax error in"),
            ("ERR one\nsecret", "ERR one"),
            ("ERR it can't be near 'secret'", "ERR it can't be near"),
            ("", ""),
        ] {
            assert_eq!(complaint(error), expected);
        }
        assert_eq!(complaint(&"x".repeat(1_000)).len(), COMPLAINT_CHARS);
    }

    #[test]
    fn an_answer_is_a_result_or_an_error() {
        for (answer, said) in [
            (json!({"result": 1}), "Ok(Integer(1))"),
            (json!({"result": null}), "Ok(Null)"),
            (json!({"error": "ERR no"}), "Err(Command(\"ERR no\"))"),
            (json!({"error": 1}), "Err(Garbled)"),
            (json!({"result": 1, "error": "ERR no"}), "Err(Garbled)"),
            (json!({"result": {"a": 1}}), "Err(Garbled)"),
            (json!({}), "Err(Garbled)"),
            (json!([1]), "Err(Garbled)"),
            (json!("result"), "Err(Garbled)"),
        ] {
            assert_eq!(format!("{:?}", outcome(&answer)), said, "{answer}");
        }
    }
}
