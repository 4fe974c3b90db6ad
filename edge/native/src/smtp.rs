//! Mail to a mail server, by lettre: a pool of connections, encrypted as `SMTP_URL` says.

use anyhow::Context as _;
use edge_core::{
    config::{MailConfig, MailWay, Sender},
    host::{MailError, OutgoingMail},
};
use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    address::AddressError,
    message::{
        Mailbox, MultiPart,
        header::{Header, HeaderName, HeaderValue},
    },
    transport::smtp::{Error as SmtpError, PoolConfig},
};
use secrecy::ExposeSecret as _;
use std::{error::Error, time::Duration};

/// Longest wait for a connection, and for an answer to each command.
const ANSWER: Duration = Duration::from_secs(10);
/// Most connections to the mail server.
const CONNECTIONS: u32 = 4;

/// The way to a mail server; none when mail leaves otherwise.
pub(crate) struct Smtp(Option<AsyncSmtpTransport<Tokio1Executor>>);

impl Smtp {
    /// Reads the URL; connects to nothing yet.
    pub(crate) fn new(config: &MailConfig) -> anyhow::Result<Self> {
        let MailWay::Smtp { url } = &config.way else { return Ok(Self(None)) };
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.expose_secret());
        // The library's own words may quote the URL, which has a password.
        let transport = transport.ok().context("SMTP_URL cannot be read")?;
        let pool = PoolConfig::new().max_size(CONNECTIONS);
        Ok(Self(Some(transport.timeout(Some(ANSWER)).pool_config(pool).build())))
    }

    pub(crate) async fn send(&self, mail: OutgoingMail) -> Result<(), MailError> {
        let transport = self.0.as_ref().ok_or_else(|| MailError::Later("SMTP_URL is not set".into()))?;
        let message = message(mail).map_err(MailError::Never)?;
        transport.send(message).await.map_err(failure)?;
        Ok(())
    }
}

fn message(mail: OutgoingMail) -> Result<Message, Box<dyn Error + Send + Sync>> {
    let message = Message::builder()
        .message_id(Some(mail.message_id))
        .from(mailbox(mail.from)?)
        .to(Mailbox::new(None, mail.to.parse()?))
        .subject(mail.subject)
        .header(AutoSubmitted)
        .multipart(MultiPart::alternative_plain_html(mail.text, mail.html))?;
    Ok(message)
}

fn mailbox(sender: Sender) -> Result<Mailbox, AddressError> {
    Ok(Mailbox::new(sender.name, sender.address.parse::<Address>()?))
}

/// A refusal for ever is one of the mail or its recipient. Who we are (530 to 538) is the operator's to mend.
fn failure(error: SmtpError) -> MailError {
    let code = error.status().map_or(0, u16::from);
    if error.is_permanent() && !(530..540).contains(&code) {
        MailError::Never(error.into())
    } else {
        MailError::Later(error.into())
    }
}

/// Nobody's holiday notice is to answer: RFC 3834.
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}
