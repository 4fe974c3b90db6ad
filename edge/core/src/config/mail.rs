//! How mail leaves.

use secrecy::SecretString;
use shared::setting::Reader;
use std::{fmt, str::FromStr};
use url::{Host, Url};

/// How mail leaves.
pub struct MailConfig {
    pub from: Sender,
    pub way: MailWay,
}

/// Who takes our mail.
pub enum MailWay {
    /// Nobody: mail stays in the outbox, where `/dev/outbox` shows it. Development only.
    Outbox,
    /// An HTTP API of Resend's shape.
    Resend { base_url: Url, api_key: SecretString },
    /// A mail server, natively.
    Smtp { url: SecretString },
}

/// The sender of mail: an address, and a name before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    pub name: Option<String>,
    pub address: String,
}

impl Sender {
    /// The part of the address behind the `@`.
    pub fn domain(&self) -> &str {
        self.address.rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

/// The text is no sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderError;

impl FromStr for Sender {
    type Err = SenderError;

    fn from_str(text: &str) -> Result<Self, SenderError> {
        let text = text.trim();
        let (name, address) = match text.strip_suffix('>') {
            Some(text) => text.split_once('<').ok_or(SenderError)?,
            None => ("", text),
        };
        let name = name.trim();
        let (local, domain) = address.split_once('@').ok_or(SenderError)?;
        let plain =
            |it: &str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_graphic() && !b"<>()[],;:\\\"@".contains(&it));
        // What would have to be escaped in a header is refused: a sender is the operator's to choose.
        let unfit = |it: char| it.is_control() || "<>\"\\".contains(it);
        if !plain(local) || !plain(domain) || name.contains(unfit) {
            return Err(SenderError);
        }
        let name = (!name.is_empty()).then(|| name.to_owned());
        Ok(Self { name, address: address.to_owned() })
    }
}

/// As a header has it.
impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |it: char| it.is_alphanumeric() || " -_'".contains(it);
        match &self.name {
            Some(name) if name.chars().all(plain) => write!(f, "{name} <{}>", self.address),
            Some(name) => write!(f, "\"{name}\" <{}>", self.address),
            None => f.write_str(&self.address),
        }
    }
}

pub(super) fn read(read: &mut Reader<'_>, production: bool) -> MailConfig {
    MailConfig { from: sender(read, production), way: way(read, production) }
}

fn sender(read: &mut Reader<'_>, production: bool) -> Sender {
    let sender = read.required("MAIL_FROM").parse::<Sender>();
    match &sender {
        Err(SenderError) => {
            read.problems.push("MAIL_FROM must look like AI Tool Nest <no-reply@example.com>".to_owned());
        }
        Ok(sender) if production && sender.domain() == "localhost" => {
            read.problems.push("MAIL_FROM must be an address of a domain of yours, and not of localhost".to_owned());
        }
        Ok(_) => {}
    }
    sender.unwrap_or_else(|_| Sender { name: None, address: "no-reply@localhost".to_owned() })
}

fn way(read: &mut Reader<'_>, production: bool) -> MailWay {
    let way = match (read.text("RESEND_API_KEY"), read.text("SMTP_URL")) {
        (Some(_), Some(_)) => Err("RESEND_API_KEY and SMTP_URL are both set: choose one"),
        (Some(key), None) => resend(read, key.into()),
        (None, Some(url)) => smtp(url, production),
        (None, None) if production => {
            Err("RESEND_API_KEY or SMTP_URL is missing: in production mail must be able to leave")
        }
        (None, None) => Ok(MailWay::Outbox),
    };
    way.unwrap_or_else(|problem| {
        read.problems.push(problem.to_owned());
        MailWay::Outbox
    })
}

fn resend(read: &mut Reader<'_>, api_key: SecretString) -> Result<MailWay, &'static str> {
    let base_url = Url::parse(read.required("RESEND_BASE_URL").trim_end_matches('/')).ok();
    let base_url = base_url.filter(|it| ["http", "https"].contains(&it.scheme()) && it.query().is_none());
    let base_url = base_url.ok_or("RESEND_BASE_URL must be an http or https URL without a query")?;
    Ok(MailWay::Resend { base_url, api_key })
}

/// Checks here what would otherwise come out with the first mail.
fn smtp(text: String, production: bool) -> Result<MailWay, &'static str> {
    let form = "SMTP_URL must look like smtps://user:password@mail.example.com:465";
    let url = Url::parse(&text).ok().filter(Url::has_host).ok_or(form)?;
    let tls = url.query_pairs().find(|(name, _)| name == "tls").map(|(_, value)| value.into_owned());
    let encrypted = match (url.scheme(), tls.as_deref()) {
        ("smtps", None) | ("smtp", Some("required")) => true,
        ("smtp", None | Some("opportunistic")) => false,
        _ => return Err("SMTP_URL must be smtps://, smtp://, or smtp:// with ?tls=required"),
    };
    // A relay beside the edge may go without TLS, but a password may not travel in plain.
    if production && !encrypted && !is_loopback(&url) && url.password().is_some() {
        return Err("SMTP_URL has a password, so it must be smtps://, or smtp:// with ?tls=required");
    }
    Ok(MailWay::Smtp { url: text.into() })
}

/// `Url` does not know the scheme, and so leaves an IPv4 address a domain.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => {
            name == "localhost" || name.parse().is_ok_and(|it: std::net::Ipv4Addr| it.is_loopback())
        }
        Some(Host::Ipv4(it)) => it.is_loopback(),
        Some(Host::Ipv6(it)) => it.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use shared::setting::Problems;

    fn load(settings: &[(&str, &str)]) -> Result<Config, Problems> {
        let base = [("SECRET_KEY", "0123456789abcdefghijklmnopqrstuv"), ("PUBLIC_URL", "https://nest.example.com")];
        Config::load(&|name| {
            settings.iter().chain(&base).find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    /// `production`, who takes mail or the setting at fault, and the settings.
    type Case<'a> = (bool, &'a str, &'a [(&'a str, &'a str)]);

    #[test]
    fn one_way_out_is_chosen_and_what_cannot_work_is_refused() {
        let key = ("RESEND_API_KEY", "re_s3cret");
        let cases: &[Case<'_>] = &[
            (false, "outbox", &[]),
            (true, "SMTP_URL", &[]),
            (true, "resend", &[key]),
            (false, "resend", &[key, ("RESEND_BASE_URL", "http://127.0.0.1:9/")]),
            (false, "RESEND_BASE_URL", &[key, ("RESEND_BASE_URL", "ftp://s3cret")]),
            (false, "RESEND_BASE_URL", &[key, ("RESEND_BASE_URL", "s3cret")]),
            (false, "choose one", &[key, ("SMTP_URL", "smtps://mail.example.com")]),
            (true, "smtp", &[("SMTP_URL", "smtps://u:s3cret@mail.example.com:465")]),
            (true, "smtp", &[("SMTP_URL", "smtp://u:s3cret@mail.example.com:587?tls=required")]),
            (true, "smtp", &[("SMTP_URL", "smtp://relay:25")]),
            (true, "smtp", &[("SMTP_URL", "smtp://u:s3cret@127.0.0.1:25")]),
            (true, "SMTP_URL", &[("SMTP_URL", "smtp://u:s3cret@mail.example.com:587")]),
            (true, "SMTP_URL", &[("SMTP_URL", "smtp://u:s3cret@mail.example.com:587?tls=opportunistic")]),
            (false, "smtp", &[("SMTP_URL", "smtp://u:s3cret@mail.example.com:587")]),
            (false, "SMTP_URL", &[("SMTP_URL", "https://s3cret.example.com")]),
            (false, "SMTP_URL", &[("SMTP_URL", "smtp://s3cret.example.com?tls=none")]),
            (false, "SMTP_URL", &[("SMTP_URL", "s3cret")]),
            (false, "MAIL_FROM", &[("MAIL_FROM", "s3cret")]),
            (true, "MAIL_FROM", &[key, ("MAIL_FROM", "Nest <no-reply@localhost>")]),
        ];
        for (production, expected, settings) in cases {
            let mut settings = settings.to_vec();
            settings.push(("APP_ENV", if *production { "production" } else { "development" }));
            settings
                .push(("MAIL_FROM", if *production { "Nest <no-reply@example.com>" } else { "no-reply@localhost" }));
            let seen = match load(&settings).map(|it| it.mail.way) {
                Ok(MailWay::Outbox) => "outbox".to_owned(),
                Ok(MailWay::Resend { .. }) => "resend".to_owned(),
                Ok(MailWay::Smtp { .. }) => "smtp".to_owned(),
                Err(problems) => problems.to_string(),
            };
            assert!(seen.contains(expected) && !seen.contains("s3cret"), "{settings:?}: {seen}");
        }
    }

    #[test]
    fn a_host_that_speaks_no_smtp_refuses_the_setting() {
        for (settings, refused) in [
            (&[("SMTP_URL", "smtps://mail.example.com")][..], true),
            (&[("RESEND_API_KEY", "re_1")], false),
            (&[], false),
        ] {
            let loaded = load(settings).and_then(Config::without_smtp);
            assert_eq!(loaded.err().is_some_and(|it| it.to_string().contains("SMTP_URL")), refused, "{settings:?}");
        }
    }

    /// Checklist 13.
    #[test]
    fn a_sender_is_one_address_and_nothing_that_breaks_a_header() {
        for (text, expected) in [
            ("no-reply@example.com", Some("no-reply@example.com")),
            ("AI Tool Nest <no-reply@example.com>", Some("AI Tool Nest <no-reply@example.com>")),
            (" Nest, Inc. <a@b.example> ", Some("\"Nest, Inc.\" <a@b.example>")),
            ("Nëst <a@b.example>", Some("Nëst <a@b.example>")),
            ("<a@b.example>", Some("a@b.example")),
            ("a@b.example, c@d.example", None),
            ("A <a@b.example> <c@d.example>", None),
            ("A\r\nBcc: c@d.example <a@b.example>", None),
            ("\"A\" <a@b.example>", None),
            ("A <a@b.example\r\n>", None),
            ("a@", None),
            ("@b", None),
            ("a", None),
            ("A <a@b@c>", None),
        ] {
            let seen = text.parse::<Sender>().ok().map(|it| it.to_string());
            assert_eq!(seen.as_deref(), expected, "{text:?}");
        }
    }
}
