//! Pure decisions of signing in with a provider.

use super::super::email;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use serde::Deserialize;
use sha2::{Digest as _, Sha256, Sha512};
use url::Url;

/// Longest path to come back to.
const PATH_BYTES: usize = 512;

/// Longest subject; OpenID Connect Core, section 2.
const SUBJECT_BYTES: usize = 255;

/// Letters of a name that are kept.
const NAME_CHARS: usize = 200;

/// What a provider says of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Profile {
    pub(super) subject: String,
    /// In our one form; none when it is missing, unverified, or no address.
    pub(super) verified_email: Option<String>,
    pub(super) name: String,
}

/// Claims of a person, in an ID token or at the userinfo endpoint.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Claims {
    pub(super) email: Option<String>,
    pub(super) email_verified: Option<Flag>,
    pub(super) name: Option<String>,
}

/// Some providers write their booleans as texts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(super) enum Flag {
    Bool(bool),
    Text(String),
}

impl Flag {
    fn is_true(&self) -> bool {
        match self {
            Self::Bool(it) => *it,
            Self::Text(it) => it == "true",
        }
    }
}

/// Where to go after the log-in, if it is a path of this service and of no other: nothing that a browser could take for
/// another host.
pub(super) fn local_path(text: &str) -> Option<&str> {
    let plain = text.len() <= PATH_BYTES && text.bytes().all(|it| it.is_ascii_graphic() && it != b'\\');
    if !plain || !text.starts_with('/') || text.starts_with("//") {
        return None;
    }
    let base = Url::parse("https://nest.invalid/deep/path").expect("a static URL");
    let joined = base.join(text).ok()?;
    (joined.origin() == base.origin()).then_some(text)
}

/// The PKCE challenge of a verifier (RFC 7636, S256).
pub(super) fn challenge(verifier: &str) -> String {
    BASE64URL.encode(Sha256::digest(verifier.as_bytes()))
}

/// Whether `at_hash` is that of the access token, by the hash that belongs to the signature's algorithm.
pub(super) fn at_hash_is_right(at_hash: &str, access_token: &str, algorithm: &str) -> bool {
    let hash = match algorithm {
        "EdDSA" | "Ed25519" => Sha512::digest(access_token.as_bytes()).to_vec(),
        _ => Sha256::digest(access_token.as_bytes()).to_vec(),
    };
    BASE64URL.encode(&hash[..hash.len() / 2]) == at_hash
}

/// Whether a token for these audiences was issued to `client_id` (OpenID Connect Core, section 3.1.3.7, 3 to 5).
pub(super) fn issued_to(client_id: &str, audiences: &[&str], authorized: Option<&str>) -> bool {
    audiences.contains(&client_id)
        && authorized.is_none_or(|it| it == client_id)
        && (audiences.len() == 1 || authorized.is_some())
}

/// Whether the metadata's endpoint may be asked: it is no less protected than the issuer.
pub(super) fn endpoint(text: &str, issuer: &str) -> Option<Url> {
    let secure = issuer.starts_with("https://");
    let fits = |it: &Url| it.has_host() && (it.scheme() == "https" || (it.scheme() == "http" && !secure));
    Url::parse(text).ok().filter(fits)
}

/// A profile; none without a subject that can be kept.
pub(super) fn profile(subject: &str, claims: &Claims) -> Option<Profile> {
    let good = !subject.is_empty() && subject.len() <= SUBJECT_BYTES && !subject.chars().any(char::is_control);
    let verified = claims.email_verified.as_ref().is_some_and(Flag::is_true);
    let email = claims.email.as_deref().filter(|_| verified).and_then(email::normalised);
    let name = claims.name.as_deref().unwrap_or_default();
    let name = name.trim().chars().filter(|it| !it.is_control()).take(NAME_CHARS).collect();
    good.then(|| Profile { subject: subject.to_owned(), verified_email: email, name })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_a_path_of_ours_is_gone_back_to() {
        for good in ["/", "/console", "/console/keys?tab=1#top", "/a//b", "/%2f%2fevil.example", "/@evil", "/.//x"] {
            assert_eq!(local_path(good), Some(good));
        }
        let long = format!("/{}", "a".repeat(PATH_BYTES));
        for bad in [
            "",
            "console",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "\t//evil.example",
            " //evil.example",
            "https://evil.example",
            "https:evil.example",
            "javascript:alert(1)",
            "data:text/html,x",
            "//evil.example/%2f..",
            "/\u{2f}/evil.example",
            "/／evil.example",
            "http:///evil.example",
            "/ /evil.example",
            "//[::1]",
            "/\\/evil.example",
            "/\r\nset-cookie:x",
            "?a",
            "#a",
            "@evil",
            "/\u{0}",
            long.as_str(),
        ] {
            assert_eq!(local_path(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_leads_to_another_host(text in "[/\\\\@:.?#a-z\\t\\n %]{0,12}") {
            if let Some(path) = local_path(&text) {
                let base = Url::parse("https://nest.example/api/v1/auth/oidc/x/callback").unwrap();
                let joined = base.join(path).unwrap();
                prop_assert_eq!(joined.host_str(), Some("nest.example"));
            }
        }
    }

    /// RFC 7636, appendix B.
    #[test]
    fn a_challenge_is_the_rfc_s() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(challenge(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    /// OpenID Connect Core, appendix A.3: the access token and hash of its example.
    #[test]
    fn at_hash_is_the_specification_s() {
        let token = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y";
        assert!(at_hash_is_right("77QmUPtjPfzWtF2AnpK9RQ", token, "RS256"));
        assert!(!at_hash_is_right("77QmUPtjPfzWtF2AnpK9RQ", token, "EdDSA"));
        assert!(!at_hash_is_right("77QmUPtjPfzWtF2AnpK9RQ", "another", "RS256"));
        assert!(!at_hash_is_right("", token, "RS256"));
    }

    #[test]
    fn a_token_must_be_issued_to_us() {
        for (audiences, authorized, good) in [
            (&["us"][..], None, true),
            (&["us"], Some("us"), true),
            (&["us"], Some("them"), false),
            (&["them"], None, false),
            (&["them"], Some("us"), false),
            (&["us", "them"], None, false),
            (&["us", "them"], Some("us"), true),
            (&["us", "them"], Some("them"), false),
            (&[], None, false),
        ] {
            assert_eq!(issued_to("us", audiences, authorized), good, "{audiences:?} {authorized:?}");
        }
    }

    #[test]
    fn an_endpoint_is_no_less_protected_than_its_issuer() {
        for (url, issuer, good) in [
            ("https://a.example/token", "https://a.example", true),
            ("http://a.example/token", "https://a.example", false),
            ("http://127.0.0.1:1/token", "http://127.0.0.1:1", true),
            ("file:///etc/passwd", "http://127.0.0.1:1", false),
            ("ftp://a.example", "http://127.0.0.1:1", false),
            ("/token", "https://a.example", false),
            ("", "https://a.example", false),
        ] {
            assert_eq!(endpoint(url, issuer).is_some(), good, "{url} of {issuer}");
        }
    }

    #[test]
    fn an_address_counts_only_when_it_is_verified() {
        let claims = |email: &str, verified: Option<Flag>| Claims {
            email: Some(email.to_owned()),
            email_verified: verified,
            name: Some(format!(" A\nnn{} ", "n".repeat(300))),
        };
        let text = |it: &str| Some(Flag::Text(it.to_owned()));
        for (verified, counts) in [
            (Some(Flag::Bool(true)), true),
            (text("true"), true),
            (Some(Flag::Bool(false)), false),
            (text("false"), false),
            (text("TRUE"), false),
            (text("1"), false),
            (None, false),
        ] {
            let profile = profile("1", &claims("Ann@Example.com", verified.clone())).unwrap();
            let expected = counts.then(|| "ann@example.com".to_owned());
            assert_eq!(profile.verified_email, expected, "{verified:?}");
            assert_eq!(profile.name.chars().count(), NAME_CHARS);
            assert!(profile.name.starts_with("Ann"));
        }
        assert_eq!(profile("1", &claims("no address", Some(Flag::Bool(true)))).unwrap().verified_email, None);
        for subject in ["", "a\nb", &"a".repeat(256)] {
            assert_eq!(profile(subject, &Claims::default()), None, "{subject:?}");
        }
    }
}
