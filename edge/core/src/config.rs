//! Every setting of the edge, read and checked at once, at start.

mod accounts;
mod limits;
mod mail;
mod settings;
mod stripe;
mod upstash;

pub use accounts::AccountsConfig;
pub use mail::{MailConfig, MailWay, Sender};
pub use settings::SETTINGS;
pub use stripe::StripeConfig;
pub use upstash::UpstashConfig;

use crate::{
    limits::LimitsConfig,
    root::{Root, Roots},
    seal::{self, Keyring},
};
use secrecy::SecretString;
use shared::{
    node::{CallKey, PublicKey},
    setting::{Problems, Reader},
};
use url::Url;

/// What the edge needs to know.
pub struct Config {
    pub project_name: String,
    pub version: String,
    /// Path before the management API, such as `/api/v1`.
    pub api_prefix: String,
    pub production: bool,
    /// Signs what the edge asks of GPU nodes; derived from `SECRET_KEY`, so edges that share it share this.
    pub call_key: CallKey,
    /// What nodes accept: the public halves of the call keys of the root secret and of those before and after it, so
    /// that no node refuses a call while the secret is replaced. The present one first.
    pub call_keys: Vec<PublicKey>,
    /// Where people and their programs reach this service, without a slash at its end: links in mail begin with it, and
    /// it is the issuer of tokens.
    pub public_url: String,
    /// `SECRET_KEY`, and those before and after it.
    pub roots: Roots,
    /// Seals secrets at rest.
    pub keyring: Keyring,
    /// Where anchors of the audit log are sent, besides the log.
    pub anchor_url: Option<Url>,
    pub accounts: AccountsConfig,
    pub mail: MailConfig,
    pub database_url: SecretString,
    pub database_connections: usize,
    pub host: String,
    pub port: u16,
    /// The OpenAI-compatible upstream; none without a key for it.
    pub upstream: Option<UpstreamConfig>,
    pub connect_timeout_ms: u64,
    pub first_byte_timeout_ms: u64,
    pub idle_timeout_ms: u64,
    /// How long the upstream is read on behind a client that has left.
    pub drain_ms: u64,
    /// Where the native edge keeps what is not written yet, so that it survives the process.
    pub usage_journal: Option<std::path::PathBuf>,
    pub body_limit_bytes: usize,
    pub limits: LimitsConfig,
    pub trusted_proxy_hops: usize,
    pub key_cache_ms: i64,
    pub key_grace_ms: i64,
    /// Where counters are kept that edges share; in the process without it.
    pub upstash: Option<UpstashConfig>,
    pub stripe: StripeConfig,
}

/// Groq, or any other server that speaks OpenAI's API.
pub struct UpstreamConfig {
    pub base_url: Url,
    pub api_key: SecretString,
    /// The model that is served even when the upstream's own list cannot be had.
    pub default_model: String,
}

const SECRET_KEY_CHARS: usize = 32;

impl Config {
    /// Reads every setting through `lookup`, or says everything that is wrong.
    pub fn load(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, Problems> {
        let mut read = Reader::new(SETTINGS, lookup);
        let roots = Roots {
            current: secret_key(&mut read),
            previous: other_root(&mut read, "PREVIOUS_SECRET_KEY"),
            next: other_root(&mut read, "NEXT_SECRET_KEY"),
        };
        let production = production(&mut read);
        let public_url = public_url(&mut read, production);
        let config = Self {
            stripe: stripe::read(&mut read, &public_url, production),
            project_name: read.required("PROJECT_NAME"),
            version: read.required("VERSION"),
            api_prefix: api_prefix(&mut read),
            production,
            call_key: call_key(&roots.current),
            call_keys: roots.all().map(|root| call_key(root).public()).collect(),
            public_url,
            keyring: keyring(&mut read, &roots),
            roots,
            anchor_url: anchor_url(&mut read, production),
            accounts: accounts::read(&mut read, production),
            mail: mail::read(&mut read, production),
            database_url: database_url(&mut read),
            database_connections: read.parse::<usize>("DATABASE_CONNECTIONS", "a number of at least 1").max(1),
            host: read.required("HOST"),
            port: read.parse("PORT", "a port number"),
            upstream: upstream(&mut read),
            connect_timeout_ms: read.parse("UPSTREAM_CONNECT_TIMEOUT_MS", "a number of milliseconds"),
            first_byte_timeout_ms: read.parse("UPSTREAM_FIRST_BYTE_TIMEOUT_MS", "a number of milliseconds"),
            idle_timeout_ms: read.parse("UPSTREAM_IDLE_TIMEOUT_MS", "a number of milliseconds"),
            drain_ms: read.parse("DRAIN_MS", "a number of milliseconds"),
            usage_journal: read.text("USAGE_JOURNAL").map(Into::into),
            body_limit_bytes: read.parse("BODY_LIMIT_BYTES", "a number of bytes"),
            limits: limits::read(&mut read),
            trusted_proxy_hops: read.parse("TRUSTED_PROXY_HOPS", "a number"),
            key_cache_ms: read.parse("KEY_CACHE_MS", "a number of milliseconds"),
            key_grace_ms: read.parse("KEY_GRACE_MS", "a number of milliseconds"),
            upstash: upstash::read(&mut read, production),
        };
        read.finish(config)
    }

    /// The same, for a host that speaks no SMTP.
    pub fn without_smtp(self) -> Result<Self, Problems> {
        match self.mail.way {
            MailWay::Smtp { .. } => {
                Err(Problems(vec!["SMTP_URL is for the native edge: this host sends by RESEND_API_KEY".to_owned()]))
            }
            MailWay::Outbox | MailWay::Resend { .. } => Ok(self),
        }
    }
}

/// The Postgres address alone, for commands that need nothing else.
pub fn database_url_alone(lookup: &dyn Fn(&str) -> Option<String>) -> Result<SecretString, Problems> {
    let mut read = Reader::new(SETTINGS, lookup);
    let url = database_url(&mut read);
    read.finish(url)
}

fn api_prefix(read: &mut Reader<'_>) -> String {
    let prefix = read.required("API_V1_STR");
    let plain = prefix.starts_with('/') && !prefix.ends_with('/') && !prefix.contains(['{', '}', '?', '#', ' ']);
    if !plain || prefix == "/v1" || prefix.starts_with("/v1/") {
        read.problems.push(
            "API_V1_STR must be a path such as /api/v1, and not /v1, where the OpenAI-compatible API is".to_owned(),
        );
        return "/api/v1".to_owned();
    }
    prefix
}

fn production(read: &mut Reader<'_>) -> bool {
    match read.required("APP_ENV").as_str() {
        "production" => true,
        "development" => false,
        _ => {
            read.problems.push("APP_ENV must be `development` or `production`".to_owned());
            true
        }
    }
}

fn call_key(root: &Root) -> CallKey {
    CallKey::from_seed(root.derive("nest edge call key v1"))
}

fn secret_key(read: &mut Reader<'_>) -> Root {
    let key = read.required("SECRET_KEY");
    check_root(read, "SECRET_KEY", &key);
    Root::new(&key.into())
}

fn other_root(read: &mut Reader<'_>, name: &str) -> Option<Root> {
    let key = read.text(name)?;
    check_root(read, name, &key);
    Some(Root::new(&key.into()))
}

fn check_root(read: &mut Reader<'_>, name: &str, key: &str) {
    let mut kinds: Vec<char> = key.chars().collect();
    kinds.sort_unstable();
    kinds.dedup();
    if !key.is_empty() && (key.chars().count() < SECRET_KEY_CHARS || kinds.len() < 8) {
        read.problems.push(format!("{name} must be random and have at least {SECRET_KEY_CHARS} characters, such as from `openssl rand -base64 48`"));
    }
}

/// The keys of `ENCRYPTION_KEYS`, and those derived from the root secrets: the first of all wraps, the others unwrap
/// what was wrapped before.
fn keyring(read: &mut Reader<'_>, roots: &Roots) -> Keyring {
    let mut keys = Vec::new();
    if let Some(text) = read.text("ENCRYPTION_KEYS") {
        match seal::parse(&text, roots) {
            Some(given) => keys = given,
            None => {
                let what = "ENCRYPTION_KEYS must be `id:key` pairs with commas between them, each id once, each key 32 bytes in base64, such as from `openssl rand -base64 32`";
                read.problems.push(what.to_owned());
            }
        }
    }
    keys.extend(seal::derived(roots));
    Keyring::new(keys)
}

/// Anchors are no secret, but whoever can change them on their way can hide what they would show.
fn anchor_url(read: &mut Reader<'_>, production: bool) -> Option<Url> {
    let text = read.text("AUDIT_ANCHOR_URL")?;
    let good = |it: &Url| it.has_host() && (it.scheme() == "https" || (it.scheme() == "http" && !production));
    let url = Url::parse(&text).ok().filter(good);
    if url.is_none() {
        let scheme = if production { "an https URL" } else { "an http or https URL" };
        read.problems.push(format!("AUDIT_ANCHOR_URL must be {scheme}"));
    }
    url
}

fn public_url(read: &mut Reader<'_>, production: bool) -> String {
    let text = read.required("PUBLIC_URL");
    let url = Url::parse(&text).ok().filter(|it| {
        let scheme = it.scheme() == "https" || (it.scheme() == "http" && !production);
        scheme && it.query().is_none() && it.fragment().is_none() && it.has_host()
    });
    if url.is_none() {
        let scheme = if production { "an https URL" } else { "an http or https URL" };
        read.problems.push(format!("PUBLIC_URL must be {scheme} without a query"));
    }
    text.trim_end_matches('/').to_owned()
}

fn database_url(read: &mut Reader<'_>) -> SecretString {
    let url = match read.text("DATABASE_URL") {
        Some(url) => Url::parse(&url).ok(),
        None => joined_database_url(read),
    };
    match url {
        Some(url) if ["postgres", "postgresql"].contains(&url.scheme()) => String::from(url).into(),
        _ => {
            read.problems.push("DATABASE_URL must look like postgres://user:password@host:5432/database".to_owned());
            SecretString::default()
        }
    }
}

/// Joins the `POSTGRES_` settings; `Url` encodes what a URL cannot hold as it is.
fn joined_database_url(read: &mut Reader<'_>) -> Option<Url> {
    let port: u16 = read.parse("POSTGRES_PORT", "a port number");
    let mut url = Url::parse("postgres://localhost").expect("a static URL");
    url.set_host(Some(&read.required("POSTGRES_HOST"))).ok()?;
    url.set_port(Some(port)).ok()?;
    url.set_username(&encode(&read.required("POSTGRES_USER"))).ok()?;
    url.set_password(read.text("POSTGRES_PASSWORD").map(|it| encode(&it)).as_deref()).ok()?;
    url.set_path(&encode(&read.required("POSTGRES_DB")));
    Some(url)
}

/// Percent-encodes everything but letters and digits; `Url`'s setters leave a `%` as it is.
fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn upstream(read: &mut Reader<'_>) -> Option<UpstreamConfig> {
    let base_url = read.required("OPENAI_BASE_URL");
    let base_url =
        Url::parse(base_url.trim_end_matches('/')).ok().filter(|it| ["http", "https"].contains(&it.scheme()));
    if base_url.is_none() {
        read.problems.push("OPENAI_BASE_URL must be an http or https URL".to_owned());
    }
    let api_key = read.text("GROQ_API_KEY").or_else(|| read.text("GROK_API_KEY"))?;
    Some(UpstreamConfig {
        base_url: base_url?,
        api_key: api_key.into(),
        default_model: read.required("OPENAI_MODEL_NAME"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    fn load(settings: &[(&str, &str)]) -> Result<Config, Problems> {
        let base = [("SECRET_KEY", "0123456789abcdefghijklmnopqrstuv")];
        Config::load(&|name| {
            settings.iter().chain(&base).find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn postgres_settings_are_encoded_when_joined_and_a_url_wins() {
        for (settings, url) in [
            (
                &[("POSTGRES_PASSWORD", "p@ss:w/rd?%#"), ("POSTGRES_USER", "us er"), ("POSTGRES_DB", "my/db")][..],
                "postgres://us%20er:p%40ss%3Aw%2Frd%3F%25%23@127.0.0.1:5432/my%2Fdb",
            ),
            (&[("POSTGRES_HOST", "db.example"), ("POSTGRES_PORT", "6000")], "postgres://nest@db.example:6000/nest"),
            (&[("POSTGRES_HOST", "ignored"), ("DATABASE_URL", "postgres://a:b@c:1/d")], "postgres://a:b@c:1/d"),
        ] {
            assert_eq!(load(settings).unwrap().database_url.expose_secret(), url);
        }
    }

    #[test]
    fn everything_wrong_is_told_at_once_and_no_value_is_shown() {
        let problems = load(&[
            ("PORT", "s3cret-port"),
            ("SECRET_KEY", "short"),
            ("APP_ENV", "prod"),
            ("DATABASE_URL", "mysql://s3cret"),
            ("API_V1_STR", "/v1"),
            ("OIDC_PROVIDERS", r#"[{"id":"corp","client_secret":"s3cret"}]"#),
        ]);
        let Err(problems) = problems else { panic!("such settings must be refused") };
        let text = problems.to_string();
        for name in ["PORT", "SECRET_KEY", "APP_ENV", "DATABASE_URL", "API_V1_STR", "OIDC_PROVIDERS[0].issuer"] {
            assert!(text.contains(name), "{text}");
        }
        assert!(!text.contains("s3cret") && !text.contains("short"), "{text}");
    }

    #[test]
    fn groq_s_key_may_be_spelled_either_way() {
        assert!(load(&[]).unwrap().upstream.is_none());
        for name in ["GROQ_API_KEY", "GROK_API_KEY"] {
            let upstream = load(&[(name, "gsk")]).unwrap().upstream.unwrap();
            assert_eq!(upstream.base_url.as_str(), "https://api.groq.com/openai/v1");
            assert_eq!(upstream.default_model, "deepseek-r1-distill-llama-70b");
        }
    }

    #[test]
    fn edges_with_one_root_secret_sign_with_one_key() {
        let key = |secret| load(&[("SECRET_KEY", secret)]).unwrap().call_key.public();
        let (a, b) = ("abcdefghijklmnopqrstuvwxyz012345", "bcdefghijklmnopqrstuvwxyz0123456");
        assert_eq!(key(a), key(a));
        assert_ne!(key(a), key(b));
    }
}
