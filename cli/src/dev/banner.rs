//! What a person sees when everything is ready: addresses, a key, and two snippets that work as printed.

use crate::{report::Report, state::Status};
use std::time::Duration;

/// Prints the banner, or the status as JSON.
pub(super) fn print(status: &Status, report: Report, took: Duration) -> anyhow::Result<()> {
    report.show(status, |status| text(status, took))
}

fn text(status: &Status, took: Duration) -> String {
    let demo = status.demo.as_ref().expect("a ready stack has its demo account");
    let model = chat_model(&status.models).unwrap_or_default();
    let mut lines =
        vec![String::new(), format!("  AI Tool Nest is ready ({:.1} s)", took.as_secs_f64()), String::new()];
    let mut line = |name: &str, value: &str| lines.push(format!("  {name:<14}{value}"));
    line("API base", &format!("{}/v1", status.edge));
    line("metrics", &format!("{}/metrics", status.edge));
    if let Some(node) = &status.node {
        line("GPU node", node);
    }
    line("database", status.database_url.as_deref().unwrap_or("none"));
    if let Some(groq) = &status.fake_groq {
        line("Groq", &format!("{groq} (a stand-in)"));
    }
    if let Some(stripe) = &status.fake_stripe {
        line("Stripe", &format!("{stripe} (a stand-in, with its pages)"));
    }
    line("models", &status.models.join(", "));
    line("demo user", &format!("{} / {}", demo.email, demo.password));
    line("API key", &demo.api_key);
    lines.push(String::new());
    lines.push("  Try it:".to_owned());
    lines.push(String::new());
    lines.push(curl(&status.edge, &demo.api_key, model));
    lines.push(String::new());
    lines.push(python(&status.edge, &demo.api_key, model));
    lines.push(String::new());
    lines.push(
        "  nest usage --calls shows what was recorded, nest status what runs. Ctrl-C stops everything.".to_owned(),
    );
    lines.join("\n")
}

/// The model to show: one that a node serves, since that is a real one.
pub(crate) fn chat_model(models: &[String]) -> Option<&str> {
    let ours = gpu_node::models::CATALOGUE.iter().filter(|it| it.task == shared::node::Task::Chat).map(|it| it.id);
    ours.into_iter().find(|id| models.iter().any(|it| it == id)).or(models.first().map(String::as_str))
}

fn curl(edge: &str, key: &str, model: &str) -> String {
    format!(
        r#"curl -N {edge}/v1/chat/completions -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' -d '{{"model": "{model}", "stream": true, "messages": [{{"role": "user", "content": "Why is the sky blue?"}}]}}'"#
    )
}

fn python(edge: &str, key: &str, model: &str) -> String {
    format!(
        r#"python3 - <<'EOF'   # pip install openai
from openai import OpenAI
client = OpenAI(base_url="{edge}/v1", api_key="{key}")
for chunk in client.chat.completions.create(model="{model}", stream=True, messages=[{{"role": "user", "content": "Why is the sky blue?"}}]):
    print(chunk.choices[0].delta.content or "", end="", flush=True)
print()
EOF"#
    )
}
