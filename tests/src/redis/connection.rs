//! Redis's protocol, version 2, as far as one connection needs it.

use std::{io, path::Path};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream},
    net::UnixStream,
};

/// What a command is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Null,
    Integer(i64),
    Status(String),
    Text(Vec<u8>),
    List(Vec<Said>),
    Error(String),
}

impl Said {
    /// The text, which is UTF-8.
    pub fn text(&self) -> String {
        match self {
            Self::Status(text) => text.clone(),
            Self::Text(bytes) => String::from_utf8(bytes.clone()).unwrap(),
            other => panic!("{other:?} is no text"),
        }
    }
}

pub(super) struct Connection(BufStream<UnixStream>);

impl Connection {
    pub(super) async fn open(socket: &Path) -> io::Result<Self> {
        Ok(Self(BufStream::new(UnixStream::connect(socket).await?)))
    }

    /// Runs a command, of which a broken connection is the only failure that is not an answer.
    pub(super) async fn ask(&mut self, parts: &[Vec<u8>]) -> Said {
        self.send(parts).await.unwrap();
        self.read().await.unwrap()
    }

    async fn send(&mut self, parts: &[Vec<u8>]) -> io::Result<()> {
        self.0.write_all(format!("*{}\r\n", parts.len()).as_bytes()).await?;
        for part in parts {
            self.0.write_all(format!("${}\r\n", part.len()).as_bytes()).await?;
            self.0.write_all(part).await?;
            self.0.write_all(b"\r\n").await?;
        }
        self.0.flush().await
    }

    async fn read(&mut self) -> io::Result<Said> {
        let line = self.line().await?;
        let (kind, rest) = line.split_at(1);
        let number = || rest.parse::<i64>().map_err(|_| io::Error::other(format!("{line:?} has no number")));
        Ok(match kind {
            "+" => Said::Status(rest.to_owned()),
            "-" => Said::Error(rest.to_owned()),
            ":" => Said::Integer(number()?),
            "$" | "*" if number()? < 0 => Said::Null,
            "$" => {
                let mut text = vec![0; usize::try_from(number()?).expect("not below zero")];
                self.0.read_exact(&mut text).await?;
                self.0.read_exact(&mut [0; 2]).await?;
                Said::Text(text)
            }
            "*" => {
                let mut items = Vec::new();
                for _ in 0..number()? {
                    items.push(Box::pin(self.read()).await?);
                }
                Said::List(items)
            }
            _ => return Err(io::Error::other(format!("{line:?} is no answer"))),
        })
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line).await?;
        match line.strip_suffix("\r\n") {
            Some(line) if !line.is_empty() => Ok(line.to_owned()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}
