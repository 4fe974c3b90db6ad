//! Conversations as prompts: the model's own template, as its authors wrote it.

use minijinja::{Environment, Error, ErrorKind, Value, context, syntax::SyntaxConfig, value::Serde};
use serde::Serialize;
use shared::openai::chat::{ChatMessage, Content};

/// A model's chat template.
pub struct Template {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

/// A message as templates expect it: the content is a plain text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Message {
    /// `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// What was said.
    pub content: String,
}

/// Why a message can't be given to the model.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The role is none we know.
    #[error("the role {0:?} is not one of system, developer, user, assistant and tool")]
    Role(String),
    /// Something other than text.
    #[error("content of type {0:?} is not supported: this model reads text")]
    Kind(String),
    /// A message must say something, but for an assistant's that calls tools.
    #[error("the content is missing")]
    Missing,
}

impl Template {
    /// Parses `source`, a Jinja template as in `tokenizer_config.json` or GGUF's `tokenizer.chat_template`.
    pub fn new(source: String, bos: String, eos: String) -> Result<Self, Error> {
        let mut environment = Environment::new();
        // Templates are written for Python's Jinja as `transformers` sets it up.
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
        environment.add_function("raise_exception", |text: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, text))
        });
        environment.add_template_owned("chat", source)?;
        Ok(Self { environment, bos, eos })
    }

    /// The prompt that asks for the next message of the conversation.
    pub fn render(&self, messages: &[Message]) -> Result<String, Error> {
        self.environment.get_template("chat")?.render(context! {
            messages => Serde(messages),
            add_generation_prompt => true,
            bos_token => &self.bos,
            eos_token => &self.eos,
        })
    }
}

impl TryFrom<ChatMessage> for Message {
    type Error = MessageError;

    fn try_from(message: ChatMessage) -> Result<Self, MessageError> {
        let role = match message.role.as_str() {
            // OpenAI's newer name for the same thing.
            "developer" => "system".to_owned(),
            "system" | "user" | "assistant" | "tool" => message.role,
            _ => return Err(MessageError::Role(message.role)),
        };
        let content = match message.content {
            Some(Content::Text(text)) => text,
            Some(Content::Parts(parts)) => {
                let texts = parts.into_iter().map(|part| match part.text {
                    Some(text) if part.kind == "text" => Ok(text),
                    _ => Err(MessageError::Kind(part.kind)),
                });
                texts.collect::<Result<Vec<_>, _>>()?.concat()
            }
            None if role == "assistant" => String::new(),
            None => return Err(MessageError::Missing),
        };
        Ok(Self { role, content })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SmolLM2's own, from the file that we serve.
    const SMOLLM: &str = "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

    fn message(role: &str, content: &str) -> Message {
        Message { role: role.to_owned(), content: content.to_owned() }
    }

    fn render(source: &str, messages: &[Message]) -> Result<String, Error> {
        Template::new(source.to_owned(), "<s>".to_owned(), "</s>".to_owned()).unwrap().render(messages)
    }

    #[test]
    fn a_conversation_becomes_chatml() {
        assert_eq!(
            render(
                SMOLLM,
                &[
                    message("system", "Be brief."),
                    message("user", "Hi\nthere"),
                    message("assistant", "Hello."),
                    message("user", "{{ 7 }}")
                ]
            )
            .unwrap(),
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi\nthere<|im_end|>\n<|im_start|>assistant\nHello.<|im_end|>\n<|im_start|>user\n{{ 7 }}<|im_end|>\n<|im_start|>assistant\n"
        );
        assert_eq!(
            render(SMOLLM, &[message("user", "Hi")]).unwrap(),
            "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
        );
    }

    #[test]
    fn templates_may_use_python_and_refuse() {
        let user = [message("user", " hi ")];
        assert_eq!(render("{{ bos_token + messages[0].content.strip().upper() }}", &user).unwrap(), "<s>HI");
        let refused = render("{{ raise_exception('roles must alternate') }}", &user).unwrap_err();
        assert!(refused.to_string().contains("roles must alternate"));
    }

    #[test]
    fn messages_are_text_of_known_roles() {
        for (json, expected) in [
            (r#"{"role":"user","content":"a"}"#, Ok(message("user", "a"))),
            (r#"{"role":"developer","content":"a"}"#, Ok(message("system", "a"))),
            (
                r#"{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}"#,
                Ok(message("user", "ab")),
            ),
            (r#"{"role":"assistant","content":null}"#, Ok(message("assistant", ""))),
            (r#"{"role":"user"}"#, Err(MessageError::Missing)),
            (r#"{"role":"robot","content":"a"}"#, Err(MessageError::Role("robot".to_owned()))),
            (
                r#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}"#,
                Err(MessageError::Kind("image_url".to_owned())),
            ),
        ] {
            let message: ChatMessage = serde_json::from_str(json).unwrap();
            assert_eq!(Message::try_from(message), expected, "{json}");
        }
    }
}
