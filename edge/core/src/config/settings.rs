//! The list of settings: names, defaults, and what each is for.

use super::limits;
use crate::limits::DEFAULT_ADDRESS_LIMITS;
use shared::setting::Setting;

/// Every setting of the edge; `.env.example` is made from this list.
pub const SETTINGS: &[Setting] = &[
    setting("PROJECT_NAME", Some("AI Tool Nest"), "Name of the service, as people see it."),
    setting("VERSION", Some(env!("CARGO_PKG_VERSION")), "Version that the service reports."),
    setting(
        "API_V1_STR",
        Some("/api/v1"),
        "Path before the management API; the OpenAI-compatible API is always at /v1.",
    ),
    setting(
        "APP_ENV",
        Some("development"),
        "`development` or `production`; production refuses stand-ins and weak secrets.",
    ),
    secret(
        "SECRET_KEY",
        "Root secret, at least 32 characters, the same on every edge; other keys are derived from it. `nest dev` makes one.",
    ),
    secret(
        "PREVIOUS_SECRET_KEY",
        "The root secret before the present one: what was signed by it stays good while it is set.",
    ),
    secret(
        "NEXT_SECRET_KEY",
        "The root secret that will follow: its token keys are published before they are used. Set it a day ahead.",
    ),
    secret(
        "ENCRYPTION_KEYS",
        "Key-encryption keys for secrets at rest, `id:base64 of 32 bytes`, comma-separated; the first encrypts. Derived from SECRET_KEY unless set.",
    ),
    secret(
        "AUDIT_ANCHOR_URL",
        "Where anchors of the audit log are posted, besides the log: a place that whoever changes the database cannot change.",
    ),
    setting(
        "PUBLIC_URL",
        Some("http://127.0.0.1:8787"),
        "Address at which people reach this service: links in mail begin with it, and it is the issuer of tokens.",
    ),
    setting("SIGNUP_OPEN", Some("true"), "Whether strangers may sign up; invitations work in any case."),
    setting("PASSWORD_GRANT", Some("true"), "Whether first-party programs may use the OAuth2 password grant."),
    setting(
        "LOGIN_TRIES_PER_ADDRESS",
        Some("100"),
        "Tries of log-in, sign-up, reset and the like that one address may make in an hour.",
    ),
    setting(
        "LOGIN_FAILURES_PER_MINUTE",
        Some("600"),
        "Failed log-ins of the whole service in a minute, beyond which only known devices may try.",
    ),
    setting("SESSION_IDLE_DAYS", Some("14"), "A session that is not used for so many days ends."),
    setting("SESSION_DAYS", Some("90"), "A session ends after so many days in any case."),
    secret(
        "OIDC_PROVIDERS",
        "JSON list of providers for sign-in: [{id, issuer, client_id, client_secret, name, scopes, token_auth, allow_signup}]; `google` and `github` need no issuer. They send people back to PUBLIC_URL + API_V1_STR + /auth/oidc/{id}/callback.",
    ),
    setting("MAIL_FROM", Some("AI Tool Nest <no-reply@localhost>"), "Sender of mail, `Name <address>` or an address."),
    secret(
        "RESEND_API_KEY",
        "Key for an HTTP mail API of Resend's shape. One of this and SMTP_URL is needed in production.",
    ),
    setting("RESEND_BASE_URL", Some("https://api.resend.com"), "Base URL of that API."),
    secret(
        "SMTP_URL",
        "Mail server, such as smtps://user:password@mail.example.com:465, or smtp://mail.example.com:587?tls=required for STARTTLS; for the native edge alone.",
    ),
    secret("DATABASE_URL", "Address of Postgres 15 to 18; wins over the POSTGRES_ settings."),
    setting("POSTGRES_USER", Some("nest"), "Postgres role, when there is no DATABASE_URL."),
    secret("POSTGRES_PASSWORD", "Password of that role."),
    setting("POSTGRES_HOST", Some("127.0.0.1"), "Postgres host, when there is no DATABASE_URL."),
    setting("POSTGRES_PORT", Some("5432"), "Postgres port, when there is no DATABASE_URL."),
    setting("POSTGRES_DB", Some("nest"), "Postgres database, when there is no DATABASE_URL."),
    setting("DATABASE_CONNECTIONS", Some("8"), "Most Postgres connections of one edge process."),
    setting("HOST", Some("127.0.0.1"), "Address that the edge listens on."),
    setting("PORT", Some("8787"), "Port that the edge listens on."),
    secret("GROQ_API_KEY", "Key for the upstream; may also be spelled GROK_API_KEY. Without it only GPU nodes answer."),
    secret("GROK_API_KEY", "Another spelling of GROQ_API_KEY."),
    setting("OPENAI_BASE_URL", Some("https://api.groq.com/openai/v1"), "Base URL of the OpenAI-compatible upstream."),
    setting("OPENAI_MODEL_NAME", Some("deepseek-r1-distill-llama-70b"), "Model that the upstream is known to serve."),
    setting(
        "UPSTREAM_CONNECT_TIMEOUT_MS",
        Some("3000"),
        "Longest wait for a connection to a node or upstream, in milliseconds.",
    ),
    setting(
        "UPSTREAM_FIRST_BYTE_TIMEOUT_MS",
        Some("120000"),
        "Longest wait for the head of an answer, in milliseconds.",
    ),
    setting("UPSTREAM_IDLE_TIMEOUT_MS", Some("30000"), "Longest silence within an answer, in milliseconds."),
    setting(
        "DRAIN_MS",
        Some("10000"),
        "How long a stream of the upstream is read on behind a client that left, so that its own count is known, in milliseconds; 0 ends it at once.",
    ),
    setting(
        "USAGE_JOURNAL",
        None,
        "File in which the native edge keeps the usage that is not in Postgres yet, so that a crash loses none of it; each edge needs its own.",
    ),
    setting("BODY_LIMIT_BYTES", Some("4194304"), "Largest request body, in bytes."),
    setting(
        "ADDRESS_LIMITS",
        Some(DEFAULT_ADDRESS_LIMITS),
        "How often one address may call each class of routes, `class=count/window@share`: the window is s, m, h or d, the share the percent of it that an edge gives by itself while the store of counters is away. A class that is not named keeps its default.",
    ),
    setting(
        "ORG_LIMITS",
        Some(limits::ORG_LIMITS),
        "Limits of organisations for which no operator has set others; what is not named is not limited.",
    ),
    setting(
        "LIMIT_SHARE",
        Some("50"),
        "Percent of the limits of keys and organisations that an edge gives by itself while the store of counters is away.",
    ),
    setting(
        "TRUSTED_PROXY_HOPS",
        Some("0"),
        "How many proxies in front append to X-Forwarded-For; 0 ignores the header.",
    ),
    setting(
        "KEY_CACHE_MS",
        Some("1000"),
        "After how long at most a change of an API key, its owner or its organisation counts here, in milliseconds; until then an edge does not ask again.",
    ),
    setting(
        "KEY_GRACE_MS",
        Some("900000"),
        "How long a known API key keeps working while Postgres is away, in milliseconds.",
    ),
    setting(
        "UPSTASH_REDIS_REST_URL",
        None,
        "Address of the REST interface of an Upstash Redis, in which edges share counters. Without it each counts for itself.",
    ),
    secret("UPSTASH_REDIS_REST_TOKEN", "Token of that database that may write."),
    setting("UPSTASH_TIMEOUT_MS", Some("150"), "Longest wait for an answer of it, in milliseconds."),
    secret(
        "STRIPE_SECRET_KEY",
        "Key for Stripe: sk_test_... for its test mode, sk_live_... for money. Without it nobody can pay.",
    ),
    secret(
        "STRIPE_WEBHOOK_SECRETS",
        "Signing secrets of the webhook endpoint, comma-separated: several while one is rotated. `nest stripe sync` makes the endpoint.",
    ),
    setting("STRIPE_BASE_URL", Some("https://api.stripe.com"), "Address of Stripe, or of what stands in for it."),
    setting("STRIPE_ACCOUNT_ID", None, "The account whose events count, acct_...; any that signs, unless it is set."),
    setting(
        "BILLING_RETURN_PATH",
        Some("/billing.html"),
        "Path below PUBLIC_URL to which people come back from Stripe's pages.",
    ),
];

const fn setting(name: &'static str, default: Option<&'static str>, doc: &'static str) -> Setting {
    Setting { name, default, secret: false, doc }
}

const fn secret(name: &'static str, doc: &'static str) -> Setting {
    Setting { name, default: None, secret: true, doc }
}
