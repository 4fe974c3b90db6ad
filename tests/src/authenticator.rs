//! An authenticator with a browser before it, which holds passkeys, by way of `tests/python/passkey.py`.

use crate::{Talk, python};
use serde::Serialize;
use serde_json::{Value, json};

/// An authenticator; its passkeys are gone with it.
pub struct Authenticator {
    talk: Talk,
}

/// What an authenticator can sign with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Es256,
    EdDsa,
}

/// Whether passkeys stay on one device, which counts its signatures, or are copied to others, which cannot count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    Single,
    Synced,
}

/// What goes wrong in a ceremony.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    WrongOrigin,
    WrongChallenge,
    /// The hash of another relying party's id.
    WrongRpId,
    /// The type of the other ceremony.
    WrongType,
    NoUserPresence,
    NoUserVerification,
    /// Backed up, though it cannot be.
    ImpossibleBackup,
    /// `id` and `rawId` differ.
    MismatchedId,
    /// More authenticator data than its flags say.
    TrailingBytes,
    /// The page was in a frame of another site.
    CrossOrigin,
    /// Creation: a key of an algorithm that was not offered.
    UnofferedAlgorithm,
    /// Assertion: the count of the last one.
    OldSignCount,
    /// Assertion: signed with another key.
    OtherKey,
    /// Assertion: the signature is of other data.
    OtherData,
    /// Assertion: the handle of another user.
    OtherUserHandle,
}

impl Algorithm {
    /// As COSE numbers it.
    pub fn cose(self) -> i64 {
        match self {
            Self::Es256 => -7,
            Self::EdDsa => -8,
        }
    }
}

impl Authenticator {
    /// One that takes whichever of these algorithms it is offered first.
    pub async fn start(algorithms: &[Algorithm], device: Device) -> Self {
        let mut talk = python::script("passkey.py").talk().await;
        let algorithms: Vec<_> = algorithms.iter().map(|it| it.cose()).collect();
        talk.ask(&json!({ "algorithms": algorithms, "synced": device == Device::Synced })).await;
        Self { talk }
    }

    /// Makes a passkey, as `navigator.credentials.create` would for a page of `origin`; errs with the exception's name.
    pub async fn create(&mut self, options: &Value, origin: &str) -> Result<Value, String> {
        self.ceremony("create", options, origin, None).await
    }

    /// Signs, as `navigator.credentials.get` would for a page of `origin`; errs with the exception's name.
    pub async fn get(&mut self, options: &Value, origin: &str) -> Result<Value, String> {
        self.ceremony("get", options, origin, None).await
    }

    /// As [`Self::create`], with something wrong in what comes of it.
    pub async fn create_wrongly(&mut self, options: &Value, origin: &str, fault: Fault) -> Value {
        self.ceremony("create", options, origin, Some(fault)).await.unwrap()
    }

    /// As [`Self::get`], with something wrong in what comes of it.
    pub async fn get_wrongly(&mut self, options: &Value, origin: &str, fault: Fault) -> Value {
        self.ceremony("get", options, origin, Some(fault)).await.unwrap()
    }

    async fn ceremony(
        &mut self,
        name: &str,
        options: &Value,
        origin: &str,
        fault: Option<Fault>,
    ) -> Result<Value, String> {
        let mut answer = self.talk.ask(&json!({ name: options, "origin": origin, "fault": fault })).await;
        match answer["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer["credential"].take()),
        }
    }
}
