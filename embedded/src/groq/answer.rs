//! What the fake model says: the same words for the same request, and sensible enough to look at.

use serde_json::{Map, Value, json};

use super::chat::{ChatRequest, Message, Tool};

/// A finished answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) reasoning: Option<String>,
    pub(super) said: Said,
    pub(super) finish_reason: &'static str,
    pub(super) prompt_tokens: usize,
    pub(super) completion_tokens: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Said {
    Text(String),
    /// A call of one function, with its arguments as JSON text.
    Call {
        function: String,
        arguments: String,
    },
}

pub(super) fn answer(request: &ChatRequest) -> Answer {
    let prompt = request.last_text("user");
    let reasons = request.model.starts_with("deepseek-r1");
    let reasoning = reasons.then(|| format!("The user says {prompt:?}. A short and direct answer fits best."));
    let prompt_tokens = prompt_tokens(request);
    let thought = |reasoning: &Option<String>| reasoning.as_deref().map_or(0, |text| pieces(text).len());
    if let Some(tool) = called_tool(request, &prompt) {
        let arguments = sample(&tool.function.parameters, "arguments", &prompt).to_string();
        let completion_tokens = thought(&reasoning) + pieces(&arguments).len();
        let said = Said::Call { function: tool.function.name.clone(), arguments };
        return Answer { reasoning, said, finish_reason: "tool_calls", prompt_tokens, completion_tokens };
    }
    let text = text(request, &prompt);
    let text = before_stop(&text, &request.stop_sequences());
    let whole = thought(&reasoning) + pieces(text).len();
    let limit = request.max_tokens().unwrap_or(whole);
    let (completion_tokens, finish_reason) = if whole > limit { (limit, "length") } else { (whole, "stop") };
    let reasoning = reasoning.map(|text| first_pieces(&text, completion_tokens));
    let said = Said::Text(first_pieces(text, completion_tokens - thought(&reasoning)));
    Answer { reasoning, said, finish_reason, prompt_tokens, completion_tokens }
}

/// Cuts text into the tokens that it is counted and streamed in: words with the space before them, at most 8 bytes.
pub(super) fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut start = 0;
    for (at, c) in text.char_indices() {
        if at > start && (c.is_whitespace() || at - start >= 8) {
            pieces.push(&text[start..at]);
            start = at;
        }
    }
    if start < text.len() {
        pieces.push(&text[start..]);
    }
    pieces
}

fn first_pieces(text: &str, count: usize) -> String {
    pieces(text).into_iter().take(count).collect()
}

fn prompt_tokens(request: &ChatRequest) -> usize {
    let messages = request.messages.iter().map(|message| 4 + pieces(&message.text()).len());
    let tools = request.tools.iter().map(|tool| pieces(&tool.function.parameters.to_string()).len() + 8);
    3 + messages.chain(tools).sum::<usize>()
}

/// The tool that the request forces, or the first that the prompt names by a word of its name.
fn called_tool<'a>(request: &'a ChatRequest, prompt: &str) -> Option<&'a Tool> {
    // After a tool's result comes the answer in words.
    if request.messages.last().is_some_and(|message| message.role == "tool") {
        return None;
    }
    let named = |tool: &&Tool| {
        let prompt = prompt.to_lowercase();
        tool.function.name.to_lowercase().split(['_', '-']).any(|word| word.len() > 3 && prompt.contains(word))
    };
    match &request.tool_choice {
        Value::String(choice) if choice == "none" => None,
        Value::String(choice) if choice == "required" => {
            request.tools.iter().find(named).or_else(|| request.tools.first())
        }
        Value::Object(choice) => {
            let name = choice.get("function").and_then(|function| function.get("name"));
            request.tools.iter().find(|tool| name == Some(&Value::from(tool.function.name.as_str())))
        }
        _ => request.tools.iter().find(named),
    }
}

fn text(request: &ChatRequest, prompt: &str) -> String {
    match request.response_format.get("type").and_then(Value::as_str) {
        Some("json_schema") => {
            return sample(&request.response_format["json_schema"]["schema"], "answer", prompt).to_string();
        }
        Some("json_object") => return json!({ "answer": plain(prompt) }).to_string(),
        _ => {}
    }
    match request.messages.last() {
        Some(message @ Message { role, .. }) if role == "tool" => format!("The tool says: {}", message.text()),
        _ => plain(prompt),
    }
}

fn plain(prompt: &str) -> String {
    let lower = prompt.to_lowercase();
    let after = |words: &str| {
        let at = lower.find(words)? + words.len();
        // Lower case can change a letter's length, so the place may not exist in the prompt itself.
        prompt.get(at..).map(|rest| rest.trim_matches([' ', ':', '"', '\n']).to_owned())
    };
    if let Some(count) = after("count to ").and_then(|rest| leading_number(&rest)) {
        return (1..=count).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
    }
    if let Some(rest) = after("repeat after me").or_else(|| after("repeat:")) {
        return rest;
    }
    if lower.contains("capital of france") {
        return "The capital of France is Paris.".to_owned();
    }
    if ["hello", "hi", "hey"].iter().any(|word| lower.trim_end_matches(['!', '.', ',']) == *word) {
        return "Hello! How can I help you today?".to_owned();
    }
    let topic: Vec<&str> = prompt.split_whitespace().take(12).collect();
    format!(
        "You asked: \"{}\". Here is a short answer. It depends on the details, so start with the simplest case, \
         check each step, and go on from there.",
        topic.join(" ")
    )
}

fn leading_number(text: &str) -> Option<usize> {
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok().filter(|count| *count <= 100_000)
}

fn before_stop<'a>(text: &'a str, stops: &[String]) -> &'a str {
    let end = stops.iter().filter(|stop| !stop.is_empty()).filter_map(|stop| text.find(stop.as_str())).min();
    &text[..end.unwrap_or(text.len())]
}

/// A value that fits a JSON schema; strings take the last name in the prompt, such as a city.
fn sample(schema: &Value, name: &str, prompt: &str) -> Value {
    if let Some(value) = schema.get("const").or_else(|| schema.get("enum").and_then(|values| values.get(0))) {
        return value.clone();
    }
    if let Some(first) = ["anyOf", "oneOf", "allOf"].iter().find_map(|of| schema.get(of)?.get(0)) {
        return sample(first, name, prompt);
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.first().and_then(Value::as_str),
        kind => kind.as_str(),
    };
    let least = |floor: u64| schema.get("minimum").and_then(Value::as_u64).unwrap_or(floor);
    match kind {
        Some("integer") => json!(least(1)),
        Some("number") => json!(least(1) as f64 + 0.5),
        Some("boolean") => json!(true),
        Some("null") => Value::Null,
        Some("array") => json!([sample(&schema["items"], name, prompt)]),
        Some("string") => json!(last_name(prompt).unwrap_or(name)),
        _ => {
            let properties = schema.get("properties").and_then(Value::as_object);
            let fields = properties.into_iter().flatten();
            Value::Object(fields.map(|(key, schema)| (key.clone(), sample(schema, key, prompt))).collect::<Map<_, _>>())
        }
    }
}

/// The last capitalised word that does not begin the text.
fn last_name(prompt: &str) -> Option<&str> {
    let words = prompt.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).skip(1);
    words.filter(|word| word.len() > 1 && word.starts_with(char::is_uppercase)).last()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(body: Value) -> Answer {
        answer(&serde_json::from_value(body).unwrap())
    }

    fn said(prompt: &str) -> Said {
        ask(json!({ "model": "llama-3.3-70b-versatile", "messages": [{ "role": "user", "content": prompt }] })).said
    }

    #[test]
    fn simple_questions_have_simple_answers() {
        for (prompt, expected) in [
            ("Hello!", "Hello! How can I help you today?"),
            ("What is the capital of France?", "The capital of France is Paris."),
            ("Please count to 5.", "1 2 3 4 5"),
            ("Repeat after me: one two", "one two"),
        ] {
            assert_eq!(said(prompt), Said::Text(expected.to_owned()), "{prompt}");
        }
    }

    #[test]
    fn pieces_join_to_the_whole() {
        for text in ["", "one", "one two\nthree", "a word-longer-than-a-piece ü", "   "] {
            assert_eq!(pieces(text).concat(), text);
        }
    }

    #[test]
    fn a_token_limit_cuts_the_answer_and_says_so() {
        let cut = ask(json!({
            "model": "llama-3.3-70b-versatile", "max_completion_tokens": 3,
            "messages": [{ "role": "user", "content": "count to 50" }],
        }));
        assert_eq!((cut.said, cut.finish_reason, cut.completion_tokens), (Said::Text("1 2 3".into()), "length", 3));
    }

    #[test]
    fn a_stop_sequence_ends_the_answer() {
        let stopped = ask(json!({
            "model": "llama-3.3-70b-versatile", "stop": " 4",
            "messages": [{ "role": "user", "content": "count to 50" }],
        }));
        assert_eq!((stopped.said, stopped.finish_reason), (Said::Text("1 2 3".into()), "stop"));
    }

    #[test]
    fn a_tool_is_called_when_the_prompt_asks_for_it() {
        let tool = json!({ "type": "function", "function": { "name": "get_weather", "parameters": {
            "type": "object", "properties": { "city": { "type": "string" }, "days": { "type": "integer" } },
        } } });
        let body = |prompt: &str, choice: Value| {
            json!({ "model": "llama-3.3-70b-versatile", "tools": [tool], "tool_choice": choice,
                    "messages": [{ "role": "user", "content": prompt }] })
        };
        let arguments = r#"{"city":"Oslo","days":1}"#.to_owned();
        let call = Said::Call { function: "get_weather".into(), arguments };
        assert_eq!(ask(body("What is the weather in Oslo?", json!("auto"))).said, call);
        assert_eq!(ask(body("Tell me of Oslo", json!("required"))).said, call);
        assert!(matches!(ask(body("What is the weather in Oslo?", json!("none"))).said, Said::Text(_)));
        assert!(matches!(ask(body("Tell me of Oslo", json!("auto"))).said, Said::Text(_)));
    }

    #[test]
    fn a_schema_is_filled() {
        let Said::Text(text) = ask(json!({
            "model": "llama-3.3-70b-versatile", "messages": [{ "role": "user", "content": "Classify this" }],
            "response_format": { "type": "json_schema", "json_schema": { "name": "label", "schema": {
                "type": "object", "properties": {
                    "label": { "enum": ["good", "bad"] }, "tags": { "type": "array", "items": { "type": "string" } },
                },
            } } },
        }))
        .said
        else {
            panic!("a schema is answered in text")
        };
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json!({ "label": "good", "tags": ["tags"] }));
    }
}
