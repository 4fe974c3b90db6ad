//! Who brings money in.

use http::HeaderValue;
use secrecy::SecretString;
use shared::setting::Reader;
use url::Url;

/// Stripe, or what stands in for it.
pub struct StripeConfig {
    pub base_url: Url,
    /// None where payments are off, or where another edge asks Stripe and this one only takes its word.
    pub secret_key: Option<SecretString>,
    /// Secrets of the webhook endpoint: several while one is rotated.
    pub webhook_secrets: Vec<SecretString>,
    /// Events of any other account count for nothing.
    pub account: Option<String>,
    /// Whether `secret_key` moves real money; events of the other kind count for nothing.
    pub livemode: bool,
    /// Where people come back to from Stripe's pages: `PUBLIC_URL` and `BILLING_RETURN_PATH`.
    pub return_url: String,
}

pub(super) fn read(read: &mut Reader<'_>, public_url: &str, production: bool) -> StripeConfig {
    let secret_key = read.text("STRIPE_SECRET_KEY");
    let webhook_secrets = read.text("STRIPE_WEBHOOK_SECRETS").unwrap_or_default();
    let webhook_secrets = webhook_secrets.split(',').map(str::trim).filter(|it| !it.is_empty());
    if secret_key.as_deref().is_some_and(|it| HeaderValue::try_from(it).is_err()) {
        read.problems.push("STRIPE_SECRET_KEY fits into no header: it has a character that a key has not".to_owned());
    }
    StripeConfig {
        base_url: base_url(read, production),
        livemode: secret_key.as_deref().is_some_and(|it| it.starts_with("sk_live_") || it.starts_with("rk_live_")),
        webhook_secrets: webhook_secrets.map(Into::into).collect(),
        account: read.text("STRIPE_ACCOUNT_ID"),
        return_url: format!("{public_url}{}", return_path(read)),
        secret_key: secret_key.map(Into::into),
    }
}

/// Without a slash at its end.
fn base_url(read: &mut Reader<'_>, production: bool) -> Url {
    let text = read.required("STRIPE_BASE_URL");
    let url = Url::parse(text.trim_end_matches('/')).ok().filter(|it| {
        let scheme = it.scheme() == "https" || (it.scheme() == "http" && !production);
        let bare = it.username().is_empty() && it.password().is_none();
        scheme && it.has_host() && bare && it.query().is_none() && it.fragment().is_none()
    });
    url.unwrap_or_else(|| {
        let schemes = if production { "an https" } else { "an http or https" };
        read.problems.push(format!("STRIPE_BASE_URL must be {schemes} URL without a user or a query"));
        Url::parse("https://api.stripe.com").expect("a plain URL")
    })
}

/// A path of our own: nobody comes back to anywhere else.
fn return_path(read: &mut Reader<'_>) -> String {
    let path = read.required("BILLING_RETURN_PATH");
    let plain = path.bytes().all(|it| it.is_ascii_alphanumeric() || b"/._-#".contains(&it));
    if !path.starts_with('/') || path.starts_with("//") || !plain {
        read.problems.push("BILLING_RETURN_PATH must be a path such as /billing.html".to_owned());
    }
    path
}

#[cfg(test)]
mod tests {
    use crate::Config;

    fn load(more: &[(&str, &str)]) -> Result<Config, String> {
        let base = [
            ("SECRET_KEY", "0123456789abcdefghijklmnopqrstuv"),
            ("PUBLIC_URL", "https://nest.example.com"),
            ("SMTP_URL", "smtps://mail.example.com"),
            ("MAIL_FROM", "nest@example.com"),
        ];
        let lookup = |name: &str| more.iter().chain(&base).find(|it| it.0 == name).map(|it| it.1.to_owned());
        Config::load(&lookup).map_err(|it| it.to_string())
    }

    #[test]
    fn what_would_lead_astray_is_refused_and_no_secret_is_shown() {
        for (name, value, environment, good) in [
            ("STRIPE_BASE_URL", "http://127.0.0.1:12111", "development", true),
            ("STRIPE_BASE_URL", "http://127.0.0.1:12111", "production", false),
            ("STRIPE_BASE_URL", "https://user:s3cret@stripe.example", "development", false),
            ("STRIPE_BASE_URL", "stripe.example", "development", false),
            ("STRIPE_SECRET_KEY", "sk_test_s3cret\n", "development", false),
            ("STRIPE_SECRET_KEY", "sk_live_s3cret", "production", true),
            ("BILLING_RETURN_PATH", "/console/#/billing", "production", true),
            ("BILLING_RETURN_PATH", "//evil.example", "production", false),
            ("BILLING_RETURN_PATH", "https://evil.example", "production", false),
            ("BILLING_RETURN_PATH", "/x?next=y", "production", false),
            ("BILLING_RETURN_PATH", "@evil.example", "production", false),
        ] {
            let loaded = load(&[(name, value), ("APP_ENV", environment)]);
            assert_eq!(loaded.is_ok(), good, "{name} {value} {environment}");
            if let Err(problems) = loaded {
                assert!(problems.contains(name) && !problems.contains("s3cret"), "{problems}");
            }
        }
    }

    #[test]
    fn the_key_says_whether_money_is_real_and_secrets_are_several_while_one_is_rotated() {
        for (key, livemode) in [("sk_live_1", true), ("rk_live_1", true), ("sk_test_1", false), ("sk_1", false)] {
            let settings = [("STRIPE_SECRET_KEY", key), ("STRIPE_WEBHOOK_SECRETS", "whsec_1, whsec_2,")];
            let stripe = load(&settings).unwrap().stripe;
            assert_eq!((stripe.livemode, stripe.webhook_secrets.len()), (livemode, 2), "{key}");
            assert_eq!(stripe.return_url, "https://nest.example.com/billing.html");
        }
        let stripe = load(&[]).unwrap().stripe;
        assert!(stripe.secret_key.is_none() && stripe.webhook_secrets.is_empty() && stripe.account.is_none());
    }
}
