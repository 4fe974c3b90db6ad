//! Mail as a host hands it to a mail server.

use super::BoxError;
use crate::config::Sender;

/// A mail to one person.
#[derive(Clone, Debug)]
pub struct OutgoingMail {
    /// With its angle brackets; the same at every try.
    pub message_id: String,
    /// Who sends it.
    pub from: Sender,
    /// The address alone.
    pub to: String,
    /// One line.
    pub subject: String,
    /// For readers without HTML.
    pub text: String,
    /// For readers with it.
    pub html: String,
}

/// A mail did not go out.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// It may go out another time; nobody can say whether this try has reached somebody.
    #[error("the mail did not go out")]
    Later(#[source] BoxError),
    /// The same mail will be refused whenever it is tried.
    #[error("the mail is refused for ever")]
    Never(#[source] BoxError),
}
