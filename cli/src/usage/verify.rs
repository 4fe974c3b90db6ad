//! `nest usage verify`: is this receipt one of ours?

use crate::report::Report;
use anyhow::Context as _;
use edge_core::billing::receipt;
use serde_json::Value;
use shared::money::Nanos;
use std::{fs, io::Read as _};

pub(crate) async fn run(receipt: &str, keys: &str, report: Report) -> anyhow::Result<()> {
    let text = read(receipt)?;
    let keys =
        if keys.starts_with("https://") || keys.starts_with("http://") { fetch(keys).await? } else { read(keys)? };
    let claims = receipt::verify(&keys, &receipt_in(&text)).context("the receipt is not good")?;
    report.show(&claims, |it| {
        format!(
            "The receipt is good.\n\n{} on {}\n{} tokens in, {} out\n${} by price table {}\nissued by {}",
            it.request_id,
            it.model,
            it.prompt_tokens,
            it.completion_tokens,
            Nanos(it.cost_nanos),
            it.price_version,
            it.iss
        )
    })
}

fn read(name: &str) -> anyhow::Result<String> {
    if name != "-" {
        return fs::read_to_string(name).with_context(|| format!("cannot read {name}"));
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(text)
}

async fn fetch(url: &str) -> anyhow::Result<String> {
    let response = reqwest::get(url).await.with_context(|| format!("cannot reach {url}"))?.error_for_status()?;
    Ok(response.text().await?)
}

/// The receipt in a text that is one, or an answer with one, or a stream that ends with one.
fn receipt_in(text: &str) -> String {
    let comment = text.lines().rev().find_map(|line| line.strip_prefix(": nest "));
    let json: Value = serde_json::from_str(comment.unwrap_or(text)).unwrap_or_default();
    json["receipt"].as_str().unwrap_or(text.trim()).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_found_where_it_was_given() {
        for text in [
            "a.b.c\n",
            r#"{"request_id":"req_1","receipt":"a.b.c"}"#,
            "data: {}\n\ndata: [DONE]\n\n: nest {\"cost_usd\":\"1\",\"receipt\":\"a.b.c\"}\n\n",
        ] {
            assert_eq!(receipt_in(text), "a.b.c", "{text}");
        }
    }
}
