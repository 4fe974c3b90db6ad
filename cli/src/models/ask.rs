//! `nest models run`: one question, its answer as it comes.

use crate::{
    report::{Failure, Report},
    state::read_status,
};
use anyhow::Context as _;
use serde_json::{Value, json};
use std::{io::Write as _, path::Path};

pub(super) async fn run(prompt: &str, model: Option<String>, state_dir: &Path, report: Report) -> anyhow::Result<()> {
    let status = read_status(state_dir).filter(|it| it.ready);
    let status = status.ok_or_else(|| Failure::NotReady("nothing runs here: start it with `nest dev`".to_owned()))?;
    let key = status.demo.as_ref().map(|it| it.api_key.as_str()).unwrap_or_default();
    let model =
        model.or_else(|| crate::dev::chat_model(&status.models).map(str::to_owned)).context("no model is served")?;
    let body = json!({"model": model, "stream": !report.json, "messages": [{"role": "user", "content": prompt}]});
    let client = reqwest::Client::builder().no_proxy().build()?;
    let request = client.post(format!("{}/v1/chat/completions", status.edge)).bearer_auth(key).json(&body);
    let mut answer =
        request.send().await.map_err(|error| Failure::NotReady(format!("the edge does not answer: {error}")))?;
    if !answer.status().is_success() {
        let error: Value = answer.json().await?;
        anyhow::bail!("{}", error["error"]["message"].as_str().unwrap_or("the edge refused the call"));
    }
    if report.json {
        return report.show(&answer.json::<Value>().await?, Value::to_string);
    }
    let mut lines = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        lines.extend_from_slice(&chunk);
        while let Some(end) = lines.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = lines.drain(..=end).collect();
            print_delta(&line)?;
        }
    }
    println!();
    Ok(())
}

/// Prints the text that a line of the stream carries, if it carries any.
fn print_delta(line: &[u8]) -> anyhow::Result<()> {
    let Some(data) = line.strip_prefix(b"data: ") else { return Ok(()) };
    let Ok(event) = serde_json::from_slice::<Value>(data) else { return Ok(()) };
    if let Some(message) = event["error"]["message"].as_str() {
        anyhow::bail!("{message}");
    }
    print!("{}", event["choices"][0]["delta"]["content"].as_str().unwrap_or_default());
    Ok(std::io::stdout().flush()?)
}
