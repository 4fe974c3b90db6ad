//! A real mail server as a process: aiosmtpd, by `tests/python/mail_server.py`.

use crate::{PATIENCE, python};
use serde::Deserialize;
use serde_json::Value;
use std::{
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, Command},
    sync::mpsc,
    time::timeout,
};

/// A mail that was offered, and what was answered.
#[derive(Clone, Debug, Deserialize)]
pub struct Offer {
    pub verdict: String,
    /// Sender and recipients.
    pub envelope: (String, Vec<String>),
    pub headers: Vec<(String, String)>,
    pub text: String,
    pub html: String,
}

impl Offer {
    /// Every value of a header.
    pub fn header(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|it| it.0.eq_ignore_ascii_case(name)).map(|it| it.1.as_str()).collect()
    }
}

/// A running mail server; it ends with this value.
pub struct MailServer {
    pub port: u16,
    input: ChildStdin,
    heard: mpsc::UnboundedReceiver<()>,
    offers: Arc<Mutex<Vec<Offer>>>,
    process: Child,
}

impl MailServer {
    pub async fn start() -> Self {
        Self::at(0).await
    }

    /// At a port that an earlier one has left.
    pub async fn at(port: u16) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/mail_server.py");
        let mut command = Command::new(python::interpreter().await);
        command.arg(script).arg(port.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().unwrap();
        let input = process.stdin.take().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let first = timeout(PATIENCE, lines.next_line()).await.expect("it starts soon").unwrap();
        let port = first.expect("it says its port").parse().unwrap();
        let offers = Arc::new(Mutex::new(Vec::new()));
        let (sender, heard) = mpsc::unbounded_channel();
        let seen = offers.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                match serde_json::from_str::<Value>(&line).unwrap() {
                    Value::String(_) => drop(sender.send(())),
                    offer => seen.lock().unwrap().push(serde_json::from_value(offer).unwrap()),
                }
            }
        });
        Self { port, input, heard, offers, process }
    }

    pub fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }

    /// How it answers from now on: `take`, `later` or `never`. What was offered before is known by then.
    pub async fn answers(&mut self, verdict: &str) {
        self.input.write_all(format!("{verdict}\n").as_bytes()).await.unwrap();
        timeout(PATIENCE, self.heard.recv()).await.expect("it obeys soon").unwrap();
    }

    /// Every mail that was offered so far, in order.
    pub async fn offers(&mut self, verdict: &str) -> Vec<Offer> {
        self.answers(verdict).await;
        self.offers.lock().unwrap().clone()
    }

    /// Stops it: connections break and new ones are refused.
    pub async fn stop(mut self) -> Vec<Offer> {
        self.process.kill().await.unwrap();
        self.offers.lock().unwrap().clone()
    }
}
