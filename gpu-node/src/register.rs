//! Tells the edge that the node is here, what it serves, and that it lives; learns whose calls to accept.

use crate::{
    config::Config,
    http::{State, now},
};
use reqwest::{Client, StatusCode};
use secrecy::ExposeSecret as _;
use serde::Serialize;
use shared::{
    node::{CallKey, Capacity, HEADERS, Heartbeat, HeartbeatAnswer, Registered, Registration, ServedModel, sign},
    time::Timestamp,
};
use std::{
    io::{self, Write as _},
    path::Path,
    time::Duration,
};
use tokio::{sync::watch, time::sleep};
use tracing::{debug, info, warn};
use url::Url;

/// Between heartbeats, unless the edge asks for another.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// Longest wait for an answer of the edge.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The node as the edge knows it.
pub(crate) struct Member {
    client: Client,
    key: CallKey,
    base: String,
    registration: Registration,
    state: State,
    /// Whether the keys that the edge answers are to be accepted; else the configured ones are, and no others.
    learn_keys: bool,
    /// When the last call was signed: the edge takes each time of a node once, and later ones only.
    last_signed: Timestamp,
}

/// Why the edge was not reached.
#[derive(Debug, thiserror::Error)]
enum CallFailed {
    #[error("the edge can't be reached")]
    Unreachable(#[source] reqwest::Error),
    #[error("the edge answered {status}: {body}")]
    Refused { status: StatusCode, body: String },
    #[error("the edge's answer makes no sense")]
    Nonsense(#[source] reqwest::Error),
}

impl Member {
    /// A node that is reached at `public_url` and signs with `key`.
    pub(crate) fn new(config: &Config, public_url: &Url, key: CallKey, state: State) -> Result<Self, reqwest::Error> {
        let models = config.models.iter().map(|it| ServedModel {
            id: it.id.to_owned(),
            task: it.task,
            context_tokens: it.context_tokens,
        });
        let registration = Registration {
            public_key: key.public(),
            base_url: public_url.as_str().trim_end_matches('/').to_owned(),
            name: config.name.clone().unwrap_or_else(machine_name),
            models: models.collect(),
            capacity: Capacity { running: 1, queued: u32::try_from(config.queue).unwrap_or(u32::MAX) },
            join_token: config.join_token.as_ref().map(|it| it.expose_secret().to_owned()),
        };
        Ok(Self {
            client: Client::builder().timeout(PATIENCE).build()?,
            key,
            base: format!("{}{}/nodes", config.edge_url.as_str().trim_end_matches('/'), config.api_prefix),
            registration,
            state,
            learn_keys: config.edge_keys.is_none(),
            last_signed: Timestamp::default(),
        })
    }

    /// Registers and beats, for ever: the edge may start later, restart, or forget. `changed` is told when the node's
    /// readiness changes, which the edge shall know at once.
    pub(crate) async fn run(mut self, mut changed: watch::Receiver<()>) {
        let mut pause = Duration::from_millis(250);
        loop {
            match self.register().await {
                Ok(registered) => {
                    info!(node.id = %registered.node_id, "registered with the edge as {}", registered.node_id);
                    pause = Duration::from_millis(250);
                    self.beat(&registered, &mut changed).await;
                }
                Err(error) => {
                    warn!(error = crate::models::chain(&error), "not registered; next try in {pause:?}");
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    async fn register(&mut self) -> Result<Registered, CallFailed> {
        let registration = self.registration.clone();
        let answer = self.call("register", &registration).await?;
        let registered: Registered = answer.json().await.map_err(CallFailed::Nonsense)?;
        if self.learn_keys {
            self.state.accept_edges(registered.edge_keys.clone());
        }
        Ok(registered)
    }

    /// Beats until the edge does not know the node any more.
    async fn beat(&mut self, registered: &Registered, changed: &mut watch::Receiver<()>) {
        let every =
            if registered.heartbeat_ms == 0 { HEARTBEAT } else { Duration::from_millis(registered.heartbeat_ms) };
        loop {
            let heartbeat = Heartbeat {
                node_id: registered.node_id,
                ready: self.state.not_ready().is_none(),
                running: u32::try_from(self.state.metrics.running.get()).unwrap_or(0),
                queued: u32::try_from(self.state.metrics.queued.get()).unwrap_or(0),
            };
            match self.call("heartbeat", &heartbeat).await {
                Ok(answer) => {
                    debug!("heartbeat");
                    self.learn(answer).await;
                }
                Err(CallFailed::Refused { status: StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND, .. }) => {
                    info!("the edge does not know this node any more: registering again");
                    return;
                }
                // The next beat is the next try.
                Err(error) => warn!(error = crate::models::chain(&error), "no heartbeat"),
            }
            tokio::select! {
                () = sleep(every) => {}
                told = changed.changed() => if told.is_err() { sleep(every).await },
            }
        }
    }

    /// Accepts the keys that an answer to a heartbeat names. An edge of an older version names none.
    async fn learn(&self, answer: reqwest::Response) {
        if !self.learn_keys || answer.status() == StatusCode::NO_CONTENT {
            return;
        }
        match answer.json::<HeartbeatAnswer>().await {
            Ok(HeartbeatAnswer { edge_keys }) => self.state.accept_edges(edge_keys),
            // Those that are known stay good.
            Err(error) => warn!(error = crate::models::chain(&error), "the answer to a heartbeat makes no sense"),
        }
    }

    async fn call(&mut self, act: &str, message: &impl Serialize) -> Result<reqwest::Response, CallFailed> {
        let url: Url = format!("{}/{act}", self.base).parse().expect("a URL and a path make a URL");
        let body = serde_json::to_vec(message).expect("messages are plain data");
        self.last_signed = now().max(self.last_signed.plus_ms(1));
        let values = sign(&self.key, "POST", url.path(), &body, self.last_signed, rand::random());
        let mut request = self.client.post(url).header("content-type", "application/json").body(body);
        for (name, value) in HEADERS.into_iter().zip(values) {
            request = request.header(name, value);
        }
        let answer = request.send().await.map_err(CallFailed::Unreachable)?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let body = answer.text().await.unwrap_or_default().chars().take(300).collect();
        Err(CallFailed::Refused { status, body })
    }
}

/// Reads the node's key from `path`, or makes one there that only this user can read.
pub(crate) fn own_key(path: &Path) -> io::Result<CallKey> {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
    let broken = || io::Error::new(io::ErrorKind::InvalidData, "the file holds no key");
    match std::fs::read_to_string(path) {
        Ok(text) => return CallKey::from_text(text.trim()).ok_or_else(broken),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Err(_) => {}
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let seed: [u8; 32] = rand::random();
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(BASE64.encode(seed).as_bytes())?;
    file.sync_all()?;
    Ok(CallKey::from_seed(seed))
}

fn machine_name() -> String {
    let name = std::fs::read_to_string("/etc/hostname").ok().or_else(|| std::env::var("HOSTNAME").ok());
    name.map(|it| it.trim().to_owned()).filter(|it| !it.is_empty()).unwrap_or_else(|| "gpu-node".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/node.key");
        let made = own_key(&path).unwrap().public();
        assert_eq!(own_key(&path).unwrap().public(), made);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        std::fs::write(&path, "garbage").unwrap();
        assert!(own_key(&path).is_err());
    }
}
