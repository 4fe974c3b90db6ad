//! Downloads that survive cut connections: bytes gather in a file, and each try asks for what is missing.
//!
//! One function for every source. The client of the Hugging Face hub does this for the hub only, and brings a
//! hundred crates (chunk deduplication, its own retries) that a pinned file with a known digest has no use for.

use futures_util::StreamExt as _;
use reqwest::{Client, Response, StatusCode, header};
use std::{path::Path, time::Duration};
use tokio::{fs, io::AsyncWriteExt as _, time::sleep};
use url::Url;

/// Tries without a single new byte before giving up.
const FRUITLESS_TRIES: u32 = 4;

/// Why a download failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum DownloadError {
    /// The server is there and refuses.
    #[error("{host} answered {status}")]
    Refused {
        /// Who.
        host: String,
        /// How.
        status: StatusCode,
    },
    /// The server can't be reached, or the connection broke again and again.
    #[error("the connection to {host} failed")]
    Connection {
        /// Whose.
        host: String,
        /// What the client says, without the address, which may hold a password.
        #[source]
        cause: reqwest::Error,
    },
    /// The server sends less or more than it should.
    #[error("{host} sent {got} bytes instead of {wanted}")]
    Length {
        /// Who.
        host: String,
        /// Bytes in the file.
        got: u64,
        /// Bytes that were announced.
        wanted: u64,
    },
    /// The disk.
    #[error("the file can't be written")]
    Disk(#[from] std::io::Error),
}

/// A client for large files: fails fast when nobody is there, waits as long as bytes come.
pub(super) fn client(connect_timeout: Duration) -> Result<Client, reqwest::Error> {
    Client::builder()
        .connect_timeout(connect_timeout)
        .read_timeout(Duration::from_secs(30))
        .user_agent(concat!("ai-tool-nest/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// Downloads `url` into `part`, going on from what is there; `seen` is told how many bytes there are.
///
/// `bytes` is the length that the file must have. Its contents are for the caller to check.
pub(super) async fn download(
    client: &Client,
    url: &Url,
    part: &Path,
    bytes: Option<u64>,
    seen: &(dyn Fn(u64) + Send + Sync),
) -> Result<(), DownloadError> {
    let host = url.host_str().unwrap_or_default().to_owned();
    let mut fruitless = 0;
    loop {
        let had = length(part).await;
        if bytes.is_some_and(|bytes| had == bytes) {
            return Ok(());
        }
        let error = match attempt(client, url, part, had, bytes, seen).await {
            Ok(()) => {
                let got = length(part).await;
                match bytes {
                    Some(wanted) if wanted != got => DownloadError::Length { host: host.clone(), got, wanted },
                    _ => return Ok(()),
                }
            }
            Err(Failed::ForGood(error)) => return Err(error),
            Err(Failed::ForNow(error)) => error,
        };
        fruitless = if length(part).await > had { 0 } else { fruitless + 1 };
        if fruitless >= FRUITLESS_TRIES {
            return Err(error);
        }
        sleep(Duration::from_millis(250 << fruitless)).await;
    }
}

enum Failed {
    ForNow(DownloadError),
    ForGood(DownloadError),
}

async fn attempt(
    client: &Client,
    url: &Url,
    part: &Path,
    had: u64,
    bytes: Option<u64>,
    seen: &(dyn Fn(u64) + Send + Sync),
) -> Result<(), Failed> {
    let host = url.host_str().unwrap_or_default();
    let broken =
        |cause: reqwest::Error| DownloadError::Connection { host: host.to_owned(), cause: cause.without_url() };
    let mut request = client.get(url.clone());
    if had > 0 {
        request = request.header(header::RANGE, format!("bytes={had}-"));
    }
    let response = request.send().await.map_err(|cause| {
        // Nobody at the address now means nobody in a second: the next source is a better use of the time.
        if cause.is_connect() { Failed::ForGood(broken(cause)) } else { Failed::ForNow(broken(cause)) }
    })?;
    let status = response.status();
    if !status.is_success() {
        let error = DownloadError::Refused { host: host.to_owned(), status };
        if status == StatusCode::RANGE_NOT_SATISFIABLE {
            // What we have is no beginning of what they have: start again.
            fs::remove_file(part).await.map_err(|it| Failed::ForGood(it.into()))?;
            return Err(Failed::ForNow(error));
        }
        let passing = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        return Err(if passing { Failed::ForNow(error) } else { Failed::ForGood(error) });
    }
    // A server that knows no ranges sends all of it again.
    let mut at = if continues(&response, had) { had } else { 0 };
    let disk = |it: std::io::Error| Failed::ForGood(it.into());
    let mut file = fs::OpenOptions::new().create(true).append(true).open(part).await.map_err(disk)?;
    file.set_len(at).await.map_err(disk)?;
    seen(at);
    let mut stream = response.bytes_stream();
    while let Some(chunk) = stream.next().await {
        let chunk = match chunk {
            Ok(chunk) => chunk,
            Err(cause) => {
                file.flush().await.map_err(disk)?;
                return Err(Failed::ForNow(broken(cause)));
            }
        };
        at += chunk.len() as u64;
        if let Some(wanted) = bytes.filter(|wanted| at > *wanted) {
            return Err(Failed::ForGood(DownloadError::Length { host: host.to_owned(), got: at, wanted }));
        }
        file.write_all(&chunk).await.map_err(disk)?;
        seen(at);
    }
    file.sync_all().await.map_err(disk)
}

/// Whether the answer goes on from byte `had`.
fn continues(response: &Response, had: u64) -> bool {
    let range = response.headers().get(header::CONTENT_RANGE).and_then(|it| it.to_str().ok()).unwrap_or_default();
    response.status() == StatusCode::PARTIAL_CONTENT && range.starts_with(&format!("bytes {had}-"))
}

async fn length(part: &Path) -> u64 {
    fs::metadata(part).await.map_or(0, |it| it.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    };
    use tokio::{
        io::{AsyncBufReadExt as _, BufReader},
        net::TcpListener,
    };

    /// How the server treats its callers.
    #[derive(Clone, Copy)]
    enum Mood {
        /// Sends at most this many bytes an answer, then cuts the connection.
        Cuts(usize),
        /// Knows no ranges, and is whole.
        NoRanges,
        /// Says 404.
        Missing,
    }

    fn content() -> Vec<u8> {
        (0..100_000_u32).flat_map(u32::to_le_bytes).collect()
    }

    /// Serves [`content`] and counts its answers.
    async fn serve(mood: Mood) -> (Url, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/file", listener.local_addr().unwrap()).parse().unwrap();
        let answers = Arc::new(AtomicUsize::new(0));
        let counter = answers.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                let mut stream = BufReader::new(stream);
                let (mut line, mut from) = (String::new(), 0);
                while stream.read_line(&mut line).await.unwrap() > 2 {
                    if let Some(range) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
                        from = range.trim().trim_end_matches('-').parse().unwrap();
                    }
                    line.clear();
                }
                let content = content();
                let all = content.len();
                let (head, body) = match mood {
                    Mood::Missing => ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned(), &[][..]),
                    Mood::NoRanges => (format!("HTTP/1.1 200 OK\r\ncontent-length: {all}\r\n\r\n"), &content[..]),
                    Mood::Cuts(most) => (
                        format!(
                            "HTTP/1.1 {}\r\ncontent-length: {}\r\ncontent-range: bytes {from}-{}/{all}\r\n\r\n",
                            if from > 0 { "206 Partial Content" } else { "200 OK" },
                            all - from,
                            all - 1
                        ),
                        &content[from..all.min(from + most)],
                    ),
                };
                // A client that gave up early is no concern of the server.
                let _ = stream.write_all(&[head.as_bytes(), body].concat()).await;
            }
        });
        (url, answers)
    }

    async fn fetch(mood: Mood, before: &[u8]) -> (Result<Vec<u8>, DownloadError>, usize, u64) {
        let folder = tempfile::tempdir().unwrap();
        let part = folder.path().join("file.part");
        std::fs::write(&part, before).unwrap();
        let (url, answers) = serve(mood).await;
        let last = AtomicU64::new(0);
        let client = client(Duration::from_secs(1)).unwrap();
        let seen = |bytes| last.store(bytes, Ordering::SeqCst);
        let result = download(&client, &url, &part, Some(content().len() as u64), &seen).await;
        let result = result.map(|()| std::fs::read(&part).unwrap());
        (result, answers.load(Ordering::SeqCst), last.load(Ordering::SeqCst))
    }

    #[tokio::test]
    async fn a_cut_download_goes_on_where_it_was() {
        let (result, answers, last) = fetch(Mood::Cuts(150_000), b"").await;
        assert!(result.unwrap() == content());
        assert_eq!((answers, last), (3, 400_000));
    }

    #[tokio::test]
    async fn an_earlier_beginning_is_kept() {
        let (result, answers, _) = fetch(Mood::Cuts(400_000), &content()[..1_000]).await;
        assert!(result.unwrap() == content());
        assert_eq!(answers, 1);
    }

    #[tokio::test]
    async fn a_server_without_ranges_starts_again() {
        let (result, _, _) = fetch(Mood::NoRanges, b"something else").await;
        assert!(result.unwrap() == content());
    }

    #[tokio::test]
    async fn a_missing_file_is_not_asked_for_twice() {
        let (result, answers, _) = fetch(Mood::Missing, b"").await;
        assert!(matches!(result, Err(DownloadError::Refused { status: StatusCode::NOT_FOUND, .. })));
        assert_eq!(answers, 1);
    }

    #[tokio::test]
    async fn a_server_that_sends_nothing_is_given_up() {
        let (result, answers, _) = fetch(Mood::Cuts(0), b"").await;
        assert!(matches!(result, Err(DownloadError::Connection { .. })), "{result:?}");
        assert_eq!(answers, FRUITLESS_TRIES as usize);
    }
}
