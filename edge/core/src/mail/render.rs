//! From a template and what it is filled with to subject, text and HTML.

use super::{Template, rules::one_line};
use crate::{Config, error::chain};
use minijinja::{Environment, UndefinedBehavior, Value, syntax::SyntaxConfig};
use std::{collections::BTreeMap, sync::LazyLock};

/// A mail as its reader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rendered {
    /// One line.
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) html: String,
}

/// A mail that cannot be written: its template wants something that the act did not give.
#[derive(Debug, thiserror::Error)]
#[error("the template `{template}` cannot be filled: {detail}")]
pub(super) struct RenderError {
    template: &'static str,
    detail: String,
}

/// Longest subject, longest value that a person chose, and longest link.
const SUBJECT_CHARS: usize = 200;
const VALUE_CHARS: usize = 200;
const LINK_CHARS: usize = 2_000;

macro_rules! templates {
    ($($name:literal),* $(,)?) => {
        &[$((concat!($name, ".txt"), include_str!(concat!("templates/", $name, ".txt"))),
            (concat!($name, ".html"), include_str!(concat!("templates/", $name, ".html")))),*]
    };
}

const SOURCES: &[(&str, &str)] = templates![
    "layout",
    "verify",
    "account_exists",
    "password_reset",
    "password_changed",
    "email_change",
    "email_changed",
    "factor_changed",
    "recovery_codes_low",
    "identity_linked",
    "invitation",
    "spend_alert",
    "payment_failed",
];

/// Names that end in `.html` are escaped for HTML, and no others.
static TEMPLATES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let syntax = SyntaxConfig::builder().trim_blocks(true).build().expect("the usual marks");
    environment.set_syntax(syntax);
    let button = ("button.html", include_str!("templates/button.html"));
    for (name, source) in SOURCES.iter().chain([&button]) {
        environment.add_template(name, source).expect("every template is rendered by a test");
    }
    environment
});

/// Writes a mail. `fill` is an object of texts and numbers.
pub(super) fn render(config: &Config, template: Template, fill: &serde_json::Value) -> Result<Rendered, RenderError> {
    let mut values = values(fill);
    values.insert("project", Value::from(config.project_name.as_str()));
    values.insert("home", Value::from(config.public_url.as_str()));
    fill_in(template, values).map_err(|error| RenderError { template: template.name(), detail: chain(&error) })
}

fn fill_in(template: Template, mut values: BTreeMap<&str, Value>) -> Result<Rendered, minijinja::Error> {
    let name = template.name();
    let mut plain = TEMPLATES.get_template(&format!("{name}.txt"))?.render_captured(values.clone())?;
    let subject = plain.with_state_mut(|state| state.render_block("subject"))?;
    let subject = one_line(&subject, SUBJECT_CHARS);
    let text = plain.into_output().trim().to_owned() + "\n";
    values.insert("subject", Value::from(subject.as_str()));
    let html = TEMPLATES.get_template(&format!("{name}.html"))?.render(values)?;
    Ok(Rendered { subject, text, html })
}

/// What people chose is put on one line, so that no name writes a paragraph of its own.
fn values(fill: &serde_json::Value) -> BTreeMap<&str, Value> {
    let fields = fill.as_object().into_iter().flatten();
    fields
        .map(|(name, value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let chars = if name == "link" { LINK_CHARS } else { VALUE_CHARS };
            (name.as_str(), Value::from(one_line(&text, chars)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;
    use serde_json::{Value as Json, json};

    const LINK: &str = "https://nest.example.com/verify#token=abc&x=1";

    fn config() -> Config {
        let settings = [
            ("SECRET_KEY", "0123456789abcdefghijklmnopqrstuv"),
            ("PROJECT_NAME", "Nest & Co"),
            ("PUBLIC_URL", "https://nest.example.com"),
        ];
        Config::load(&|name| settings.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
            .unwrap()
    }

    /// What an act gives to each template.
    fn fill(template: Template) -> Json {
        match template {
            Template::Verify | Template::AccountExists | Template::PasswordReset | Template::EmailChange => {
                json!({ "link": LINK })
            }
            Template::PasswordChanged => json!({}),
            Template::EmailChanged => json!({ "email": "new@example.com" }),
            Template::FactorChanged => json!({ "what": "an authenticator app was added" }),
            Template::RecoveryCodesLow => json!({ "left": 2 }),
            Template::IdentityLinked => json!({ "provider": "GitHub" }),
            Template::PaymentFailed => json!({ "what": "The card was refused.", "link": LINK }),
            Template::SpendAlert => json!({
                "org": "Smith & Sons", "what": "the spend cap of the API key ci", "percent": 90, "spent": "9.01", "cap": "10",
                "period": "this month",
                "then": "Calls that it does not cover are refused until it is raised or its period ends.",
            }),
            Template::Invitation => {
                json!({ "link": LINK, "org": "Smith & Sons", "inviter": "Ann", "role": "developer" })
            }
        }
    }

    #[test]
    fn every_mail_reads_well() {
        for template in Template::ALL {
            let mail = render(&config(), template, &fill(template)).unwrap();
            let shown = format!("Subject: {}\n\n{}\n=====\n{}", mail.subject, mail.text, mail.html);
            assert_snapshot!(template.name(), shown);
        }
    }

    #[test]
    fn a_mail_that_lacks_a_value_is_not_written() {
        for template in Template::ALL {
            for missing in fill(template).as_object().unwrap().keys() {
                let mut fill = fill(template);
                fill.as_object_mut().unwrap().remove(missing);
                let error = render(&config(), template, &fill).unwrap_err();
                assert!(error.to_string().contains(template.name()), "{error}");
            }
        }
    }

    /// Checklist 13.
    #[test]
    fn no_value_breaks_out_of_its_place() {
        const HOSTILE: &str = "Evil\r\nBcc: victim@example.com\r\n\r\n<script>alert(1)</script>\"' onclick=x <a href=//e.example>{{ link }}</a>\u{2028}&";
        for template in Template::ALL {
            let (honest, mut evil) = (fill(template), fill(template));
            for value in evil.as_object_mut().unwrap().values_mut() {
                *value = HOSTILE.into();
            }
            let honest = render(&config(), template, &honest).unwrap();
            let evil = render(&config(), template, &evil).unwrap();
            assert!(!evil.subject.contains(|it: char| it.is_control()), "{:?}", evil.subject);
            // No line and no tag more than an honest mail has.
            assert_eq!(evil.text.lines().count(), honest.text.lines().count(), "{}", evil.text);
            for mark in ["<", ">", "\"", "\n"] {
                let (seen, expected) = (evil.html.matches(mark).count(), honest.html.matches(mark).count());
                assert_eq!(seen, expected, "{mark:?} in {}", evil.html);
            }
            assert!(!evil.text.contains("\nBcc:") && !evil.text.contains('\r'), "{}", evil.text);
        }
    }

    #[test]
    fn what_people_chose_is_cut_and_a_link_is_not() {
        let link = format!("https://nest.example.com/{}", "t".repeat(500));
        let org = "o".repeat(5_000);
        let fill = json!({ "link": link, "org": org, "inviter": "Ann", "role": "owner" });
        let mail = render(&config(), Template::Invitation, &fill).unwrap();
        assert!(mail.text.contains(&link) && mail.subject.chars().count() <= 201 && mail.text.len() < 2_000);
    }
}
