//! Every setting of the node, read and checked at once, at start.

use crate::{
    engine::available_cores,
    models::{Entry, find},
};
use secrecy::SecretString;
use shared::{
    node::PublicKey,
    setting::{Problems, Reader, Setting},
};
use std::path::PathBuf;
use url::Url;

/// What the node needs to know.
pub struct Config {
    /// Address that the node listens on.
    pub host: String,
    /// Port that the node listens on; 0 for any that is free.
    pub port: u16,
    /// Folder that holds the models.
    pub models_dir: PathBuf,
    /// The models to load.
    pub models: Vec<&'static Entry>,
    /// File that holds the node's own key; made on the first start.
    pub key_file: PathBuf,
    /// Permission to join the edge, needed once.
    pub join_token: Option<SecretString>,
    /// Base of the edge's address.
    pub edge_url: Url,
    /// Path before the edge's management API.
    pub api_prefix: String,
    /// Keys of the edges whose calls are accepted; none takes them from the answer to the registration.
    pub edge_keys: Option<Vec<PublicKey>>,
    /// How the edge reaches the node; none derives it from host and port.
    pub public_url: Option<Url>,
    /// A name for people.
    pub name: Option<String>,
    /// Most calls that wait for the device.
    pub queue: usize,
    /// Threads that compute.
    pub threads: usize,
    /// Longest that running answers may take once the node is told to stop, in milliseconds.
    pub drain_ms: u64,
}

/// Every setting of the node; `.env.example` is made from this list.
pub const SETTINGS: &[Setting] = &[
    setting("NODE_HOST", Some("127.0.0.1"), "Address that a GPU node listens on."),
    setting("NODE_PORT", Some("8788"), "Port that a GPU node listens on."),
    setting("NODE_MODELS_DIR", Some(".nest/models"), "Folder that holds the models of a GPU node."),
    setting("NODE_MODELS", Some("smollm2-135m-instruct,all-minilm-l6-v2"), "Models that a GPU node serves, by comma."),
    setting("NODE_KEY_FILE", Some(".nest/node.key"), "File with a GPU node's own key; made on the first start."),
    Setting {
        name: "NODE_JOIN_TOKEN",
        default: None,
        secret: true,
        doc: "Single-use permission for a GPU node to join the edge; not needed once its key is known.",
    },
    setting("EDGE_URL", Some("http://127.0.0.1:8787"), "Where a GPU node finds the edge."),
    setting("API_V1_STR", Some("/api/v1"), "Path before the edge's management API."),
    setting(
        "NODE_EDGE_KEYS",
        None,
        "Public keys of the edges that a GPU node obeys, by comma; else it trusts the edge it registers with.",
    ),
    setting("NODE_PUBLIC_URL", None, "Where the edge finds a GPU node; else its host and port."),
    setting("NODE_NAME", None, "Name of a GPU node for people; else the machine's."),
    setting("NODE_QUEUE", Some("32"), "Most calls that wait for a GPU node's device; one more is refused with 503."),
    setting("NODE_THREADS", None, "Threads that compute on a GPU node; else as many as there are cores for it."),
    setting(
        "NODE_DRAIN_MS",
        Some("30000"),
        "Longest that a stopping GPU node finishes running answers, in milliseconds.",
    ),
];

const fn setting(name: &'static str, default: Option<&'static str>, doc: &'static str) -> Setting {
    Setting { name, default, secret: false, doc }
}

impl Config {
    /// Reads every setting through `lookup`, or says everything that is wrong.
    pub fn load(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Problems> {
        let mut read = Reader::new(SETTINGS, &lookup);
        let config = Self {
            host: read.required("NODE_HOST"),
            port: read.parse("NODE_PORT", "a port number"),
            models_dir: read.required("NODE_MODELS_DIR").into(),
            models: models(&mut read),
            key_file: read.required("NODE_KEY_FILE").into(),
            join_token: read.text("NODE_JOIN_TOKEN").map(Into::into),
            edge_url: web_address(&mut read, "EDGE_URL")
                .unwrap_or_else(|| "http://invalid".parse().expect("a static URL")),
            api_prefix: read.required("API_V1_STR"),
            edge_keys: edge_keys(&mut read, &lookup),
            public_url: web_address(&mut read, "NODE_PUBLIC_URL"),
            name: read.text("NODE_NAME"),
            queue: at_least_one(&mut read, "NODE_QUEUE").unwrap_or(1),
            threads: at_least_one(&mut read, "NODE_THREADS").unwrap_or_else(available_cores),
            drain_ms: read.parse("NODE_DRAIN_MS", "a number of milliseconds"),
        };
        read.finish(config)
    }
}

fn models(read: &mut Reader<'_>) -> Vec<&'static Entry> {
    let mut models: Vec<&'static Entry> = Vec::new();
    for id in list(&read.required("NODE_MODELS")) {
        match find(id) {
            Some(entry) if models.iter().any(|it| it.id == entry.id) => {}
            Some(entry) => models.push(entry),
            None => read
                .problems
                .push(format!("NODE_MODELS names {id}, which is not in the catalogue: see `nest models ls`")),
        }
    }
    models
}

/// An empty list would accept nobody's calls: better said at start than found out by 401s.
fn edge_keys(read: &mut Reader<'_>, lookup: &dyn Fn(&str) -> Option<String>) -> Option<Vec<PublicKey>> {
    let text = lookup("NODE_EDGE_KEYS")?;
    let keys: Vec<_> = list(&text).map(str::parse).collect();
    if keys.is_empty() || keys.iter().any(Result::is_err) {
        read.problems
            .push("NODE_EDGE_KEYS must be unset, or hold at least one Ed25519 public key in base64url".to_owned());
    }
    Some(keys.into_iter().flatten().collect())
}

fn web_address(read: &mut Reader<'_>, name: &str) -> Option<Url> {
    let url = read.text(name)?.trim().parse::<Url>().ok().filter(|it| ["http", "https"].contains(&it.scheme()));
    if url.is_none() {
        read.problems.push(format!("{name} must be an http or https URL"));
    }
    url
}

fn at_least_one(read: &mut Reader<'_>, name: &str) -> Option<usize> {
    let number = read.text(name)?.trim().parse().ok().filter(|it| *it > 0);
    if number.is_none() {
        read.problems.push(format!("{name} must be a number of at least 1"));
    }
    number
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|it| !it.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(settings: &[(&str, &str)]) -> Result<Config, Problems> {
        Config::load(|name| settings.iter().find(|it| it.0 == name).map(|it| it.1.to_owned()))
    }

    #[test]
    fn nothing_needs_to_be_set() {
        let config = load(&[]).unwrap();
        assert_eq!((config.host.as_str(), config.port, config.queue), ("127.0.0.1", 8788, 32));
        assert_eq!(config.models.len(), 2);
        assert_eq!(config.edge_url.as_str(), "http://127.0.0.1:8787/");
        assert!(config.threads >= 1 && config.edge_keys.is_none() && config.join_token.is_none());
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let problems = load(&[
            ("NODE_PORT", "eighty"),
            ("NODE_MODELS", "gpt-5"),
            ("NODE_THREADS", "0"),
            ("EDGE_URL", "ftp://x"),
            ("NODE_EDGE_KEYS", "abc"),
        ]);
        let problems = problems.err().unwrap().0;
        for name in ["NODE_PORT", "NODE_MODELS", "NODE_THREADS", "EDGE_URL", "NODE_EDGE_KEYS"] {
            assert_eq!(problems.iter().filter(|it| it.starts_with(name)).count(), 1, "{name}: {problems:?}");
        }
    }

    #[test]
    fn an_empty_list_of_edge_keys_is_refused() {
        for list in ["", " ", ",", " , "] {
            assert!(load(&[("NODE_EDGE_KEYS", list)]).is_err(), "{list:?}");
        }
        let key = shared::node::CallKey::from_seed([1; 32]).public();
        let config = load(&[("NODE_EDGE_KEYS", &format!("{key},"))]).unwrap();
        assert_eq!(config.edge_keys, Some(vec![key]));
    }
}
