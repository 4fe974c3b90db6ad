//! The store of counters that edges share.

use http::HeaderValue;
use secrecy::SecretString;
use shared::setting::Reader;
use url::Url;

/// An Upstash Redis, or whatever else speaks its REST interface.
#[derive(Clone, Debug)]
pub struct UpstashConfig {
    pub url: Url,
    pub token: SecretString,
    /// Longest wait for an answer.
    pub timeout_ms: u64,
}

/// None where neither of the two settings is set: counters are kept in the process then.
pub(super) fn read(read: &mut Reader<'_>, production: bool) -> Option<UpstashConfig> {
    let timeout_ms = read.parse::<u64>("UPSTASH_TIMEOUT_MS", "a number of milliseconds").max(1);
    let (url, token) = match (read.text("UPSTASH_REDIS_REST_URL"), read.text("UPSTASH_REDIS_REST_TOKEN")) {
        (Some(url), Some(token)) => (url, token),
        (None, None) => return None,
        (Some(_), None) => return refuse(read, "UPSTASH_REDIS_REST_TOKEN is missing: UPSTASH_REDIS_REST_URL needs it"),
        (None, Some(_)) => {
            return refuse(read, "UPSTASH_REDIS_REST_URL is missing: UPSTASH_REDIS_REST_TOKEN is for it");
        }
    };
    if HeaderValue::try_from(&token).is_err() {
        return refuse(read, "UPSTASH_REDIS_REST_TOKEN fits into no header: it has a character that a token has not");
    }
    let url = Url::parse(url.trim()).ok().filter(|it| {
        let scheme = it.scheme() == "https" || (it.scheme() == "http" && !production);
        let bare = it.username().is_empty() && it.password().is_none();
        scheme && it.has_host() && bare && it.query().is_none() && it.fragment().is_none()
    });
    match (url, production) {
        (Some(url), _) => Some(UpstashConfig { url, token: token.into(), timeout_ms }),
        (None, true) => refuse(read, "UPSTASH_REDIS_REST_URL must be an https URL without a user or a query"),
        (None, false) => refuse(read, "UPSTASH_REDIS_REST_URL must be an http or https URL without a user or a query"),
    }
}

fn refuse(read: &mut Reader<'_>, problem: &str) -> Option<UpstashConfig> {
    read.problems.push(problem.to_owned());
    None
}

#[cfg(test)]
mod tests {
    use crate::Config;

    #[test]
    fn both_settings_are_there_or_none_and_in_production_nobody_reads_along() {
        const URL: &str = "UPSTASH_REDIS_REST_URL";
        const TOKEN: &str = "UPSTASH_REDIS_REST_TOKEN";
        for (url, token, environment, verdict) in [
            ("", "", "development", Ok(false)),
            ("", "", "production", Ok(false)),
            ("https://eu1.upstash.example/", "s3cret", "production", Ok(true)),
            ("http://127.0.0.1:9/redis/", "s3cret", "development", Ok(true)),
            ("http://upstash.example", "s3cret", "production", Err(URL)),
            ("https://upstash.example", "", "development", Err(TOKEN)),
            ("", "s3cret", "development", Err(URL)),
            ("https://upstash.example", "s3cret\n", "development", Err(TOKEN)),
            ("https://upstash.example?_token=s3cret", "s3cret", "development", Err(URL)),
            ("https://user:s3cret@upstash.example", "s3cret", "development", Err(URL)),
            ("upstash.example", "s3cret", "development", Err(URL)),
        ] {
            let settings = [
                (URL, url),
                (TOKEN, token),
                ("APP_ENV", environment),
                ("SECRET_KEY", "0123456789abcdefghijklmnopqrstuv"),
                ("PUBLIC_URL", "https://nest.example.com"),
                ("SMTP_URL", "smtps://mail.example.com"),
                ("MAIL_FROM", "nest@example.com"),
            ];
            let lookup = |name: &str| settings.iter().find(|it| it.0 == name).map(|it| it.1.to_owned());
            match (Config::load(&lookup), verdict) {
                (Ok(config), Ok(there)) => assert_eq!(config.upstash.is_some(), there, "{url} {environment}"),
                (Err(problems), Err(name)) => {
                    let text = problems.to_string();
                    assert!(text.contains(name) && !text.contains("s3cret") && !text.contains("//"), "{text}");
                }
                (Ok(_), Err(_)) => panic!("{url} {token} must be refused"),
                (Err(problems), Ok(_)) => panic!("{problems}"),
            }
        }
    }
}
