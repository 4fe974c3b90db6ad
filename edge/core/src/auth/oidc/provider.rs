//! `OIDC_PROVIDERS`: who may tell us who a person is.
//!
//! What is wrong with the setting is told by the field's name, never by its value: secrets stand beside it.

use secrecy::SecretString;
use serde_json::{Map, Value};
use url::Url;

/// An outside provider, as it was configured.
pub struct Provider {
    /// In paths: `google`.
    pub id: String,
    /// For people: `Google`.
    pub name: String,
    pub client_id: String,
    pub client_secret: SecretString,
    pub kind: Kind,
    /// What is asked for beyond who the person is.
    pub extra_scopes: Vec<String>,
    /// Whether somebody without an account gets one.
    pub allow_signup: bool,
    /// Where our secret goes; where the provider says it wants it, unless set.
    pub token_auth: Option<TokenAuth>,
}

/// Where a client's secret goes (OpenID Connect Core, section 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenAuth {
    /// `client_secret_basic`: into a header.
    Header,
    /// `client_secret_post`: into the form.
    Form,
}

/// What a provider speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// OpenID Connect; everything else is read from the issuer's metadata.
    OpenId { issuer: String },
    /// OAuth 2.0 and GitHub's own API.
    Github { base_url: String, api_url: String },
}

const GOOGLE: &str = "https://accounts.google.com";
const GITHUB: &str = "https://github.com";
const GITHUB_API: &str = "https://api.github.com";

const FIELDS: &[&str] = &[
    "id",
    "name",
    "issuer",
    "client_id",
    "client_secret",
    "scopes",
    "allow_signup",
    "base_url",
    "api_url",
    "token_auth",
];

impl Provider {
    /// The issuer's names: Google signs with either of two.
    pub(super) fn issuers(issuer: &str) -> Vec<String> {
        let second = (issuer == GOOGLE).then(|| "accounts.google.com".to_owned());
        [issuer.to_owned()].into_iter().chain(second).collect()
    }
}

/// The providers that the setting lists, or everything that is wrong with it.
pub fn parse(text: &str, production: bool) -> Result<Vec<Provider>, Vec<String>> {
    let Ok(Value::Array(list)) = serde_json::from_str(text) else {
        return Err(vec!["OIDC_PROVIDERS must be a JSON list of objects".to_owned()]);
    };
    let mut problems = Vec::new();
    let mut providers: Vec<Provider> = Vec::new();
    for (index, entry) in list.iter().enumerate() {
        let mut read = Fields { entry: entry.as_object(), index, production, problems: &mut problems };
        let Some(provider) = read.provider() else { continue };
        if providers.iter().any(|it| it.id == provider.id) {
            read.problem("id", "must be unlike that of every other provider");
        }
        providers.push(provider);
    }
    if problems.is_empty() { Ok(providers) } else { Err(problems) }
}

/// One entry of the list.
struct Fields<'a> {
    entry: Option<&'a Map<String, Value>>,
    index: usize,
    production: bool,
    problems: &'a mut Vec<String>,
}

impl Fields<'_> {
    fn provider(&mut self) -> Option<Provider> {
        let Some(entry) = self.entry else {
            self.problems.push(format!("OIDC_PROVIDERS[{}] must be an object", self.index));
            return None;
        };
        let before = self.problems.len();
        if entry.keys().any(|it| !FIELDS.contains(&it.as_str())) {
            let known = FIELDS.join(", ");
            self.problems.push(format!("OIDC_PROVIDERS[{}] has an unknown field; known are {known}", self.index));
        }
        let id = self.id();
        let kind = self.kind(&id);
        let provider = Provider {
            name: self.text("name").unwrap_or_else(|| preset_name(&id)),
            client_id: self.required("client_id"),
            client_secret: self.required("client_secret").into(),
            extra_scopes: self.scopes(),
            allow_signup: self.allow_signup(),
            token_auth: self.token_auth(),
            kind,
            id,
        };
        (self.problems.len() == before).then_some(provider)
    }

    fn id(&mut self) -> String {
        let id = self.required("id");
        let plain = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-';
        if id.len() > 32 || !id.bytes().all(plain) {
            self.problem("id", "must be at most 32 lower-case letters, digits and hyphens");
        }
        id
    }

    fn kind(&mut self, id: &str) -> Kind {
        if id == "github" {
            return Kind::Github {
                base_url: self.url("base_url").unwrap_or_else(|| GITHUB.to_owned()),
                api_url: self.url("api_url").unwrap_or_else(|| GITHUB_API.to_owned()),
            };
        }
        let issuer = match (self.text("issuer"), id) {
            (None, "google") => GOOGLE.to_owned(),
            // As it is written: tokens name it letter by letter.
            (Some(issuer), _) => {
                self.check_url("issuer", &issuer);
                issuer
            }
            (None, _) => {
                self.problem("issuer", "is missing");
                String::new()
            }
        };
        Kind::OpenId { issuer }
    }

    /// A URL without a slash at its end.
    fn url(&mut self, name: &'static str) -> Option<String> {
        let url = self.text(name)?;
        self.check_url(name, &url);
        Some(url.trim_end_matches('/').to_owned())
    }

    fn check_url(&mut self, name: &'static str, text: &str) {
        let url = Url::parse(text).ok().filter(|it| {
            let scheme = it.scheme() == "https" || (it.scheme() == "http" && !self.production);
            let plain = it.username().is_empty() && it.password().is_none();
            scheme && plain && it.has_host() && it.query().is_none() && it.fragment().is_none()
        });
        if url.is_none() {
            let scheme = if self.production { "an https URL" } else { "an http or https URL" };
            self.problem(name, &format!("must be {scheme} without a query"));
        }
    }

    fn scopes(&mut self) -> Vec<String> {
        let Some(value) = self.entry.and_then(|it| it.get("scopes")) else { return Vec::new() };
        // RFC 6749, section 3.3.
        let good = |it: &str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_graphic() && !b"\"\\".contains(&it));
        let scopes = value.as_array().map(|list| list.iter().map(|it| it.as_str().filter(|it| good(it))).collect());
        match scopes.and_then(|it: Option<Vec<&str>>| it) {
            Some(scopes) => scopes.into_iter().map(str::to_owned).collect(),
            None => {
                self.problem("scopes", "must be a list of texts without spaces");
                Vec::new()
            }
        }
    }

    fn allow_signup(&mut self) -> bool {
        match self.entry.and_then(|it| it.get("allow_signup")) {
            None => true,
            Some(Value::Bool(it)) => *it,
            Some(_) => {
                self.problem("allow_signup", "must be `true` or `false`");
                false
            }
        }
    }

    fn token_auth(&mut self) -> Option<TokenAuth> {
        match self.text("token_auth")?.as_str() {
            "client_secret_basic" => Some(TokenAuth::Header),
            "client_secret_post" => Some(TokenAuth::Form),
            _ => {
                self.problem("token_auth", "must be `client_secret_basic` or `client_secret_post`");
                None
            }
        }
    }

    fn required(&mut self, name: &'static str) -> String {
        self.text(name).unwrap_or_else(|| {
            self.problem(name, "is missing");
            String::new()
        })
    }

    /// A text that is not empty and that can go into a header or a page.
    fn text(&mut self, name: &'static str) -> Option<String> {
        match self.entry.and_then(|it| it.get(name))? {
            Value::String(it) if !it.trim().is_empty() && !it.chars().any(char::is_control) => Some(it.clone()),
            _ => {
                self.problem(name, "must be a text of printable characters");
                Some("x".to_owned())
            }
        }
    }

    fn problem(&mut self, name: &str, what: &str) {
        self.problems.push(format!("OIDC_PROVIDERS[{}].{name} {what}", self.index));
    }
}

fn preset_name(id: &str) -> String {
    match id {
        "google" => "Google".to_owned(),
        "github" => "GitHub".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_need_no_addresses() {
        let text = r#"[{"id":"google","client_id":"a","client_secret":"b"},
            {"id":"github","client_id":"a","client_secret":"b","scopes":["read:org"],"allow_signup":false},
            {"id":"corp","name":"Corp","issuer":"https://id.corp.example/","client_id":"a","client_secret":"b"}]"#;
        let providers = parse(text, true).unwrap();
        let names: Vec<_> = providers.iter().map(|it| (it.id.as_str(), it.name.as_str())).collect();
        assert_eq!(names, [("google", "Google"), ("github", "GitHub"), ("corp", "Corp")]);
        assert_eq!(providers[0].kind, Kind::OpenId { issuer: GOOGLE.to_owned() });
        assert_eq!(providers[1].kind, Kind::Github { base_url: GITHUB.to_owned(), api_url: GITHUB_API.to_owned() });
        assert_eq!(providers[2].kind, Kind::OpenId { issuer: "https://id.corp.example/".to_owned() });
        assert_eq!(Provider::issuers(GOOGLE), [GOOGLE, "accounts.google.com"]);
        assert_eq!(Provider::issuers("https://id.corp.example/"), ["https://id.corp.example/"]);
        assert_eq!((providers[1].extra_scopes.join(" "), providers[1].allow_signup), ("read:org".to_owned(), false));
    }

    /// Checklist 114.
    #[test]
    fn what_is_wrong_is_told_by_name_and_no_value_is_shown() {
        const ENTRY: &str = r#""client_id":"s3cret","client_secret":"s3cret""#;
        for (text, field) in [
            ("s3cret".to_owned(), "OIDC_PROVIDERS must be a JSON list"),
            (r#"{"id":"s3cret"}"#.to_owned(), "OIDC_PROVIDERS must be a JSON list"),
            (r#"["s3cret"]"#.to_owned(), "OIDC_PROVIDERS[0] must be an object"),
            (format!(r#"[{{"id":"google",{ENTRY},"s3cret":1}}]"#), "OIDC_PROVIDERS[0] has an unknown field"),
            (format!(r#"[{{"id":"S3cret!",{ENTRY}}}]"#), "[0].id must"),
            (format!(r#"[{{{ENTRY},"issuer":"https://s3cret"}}]"#), "[0].id is missing"),
            (format!(r#"[{{"id":"a",{ENTRY}}}]"#), "[0].issuer is missing"),
            (format!(r#"[{{"id":"a",{ENTRY},"issuer":"http://s3cret"}}]"#), "[0].issuer must be an https URL"),
            (format!(r#"[{{"id":"a",{ENTRY},"issuer":"https://s3cret/?a"}}]"#), "[0].issuer must be an https URL"),
            (format!(r#"[{{"id":"a",{ENTRY},"issuer":"https://u:s3cret@a"}}]"#), "[0].issuer must be an https URL"),
            (format!(r#"[{{"id":"github",{ENTRY},"api_url":"s3cret"}}]"#), "[0].api_url must"),
            (r#"[{"id":"google","client_id":"s3cret"}]"#.to_owned(), "[0].client_secret is missing"),
            (r#"[{"id":"google","client_secret":7,"client_id":"s3cret"}]"#.to_owned(), "[0].client_secret must"),
            (format!(r#"[{{"id":"google",{ENTRY},"scopes":["s3 cret"]}}]"#), "[0].scopes must"),
            (format!(r#"[{{"id":"google",{ENTRY},"scopes":"s3cret"}}]"#), "[0].scopes must"),
            (format!(r#"[{{"id":"google",{ENTRY},"allow_signup":"s3cret"}}]"#), "[0].allow_signup must"),
            (format!(r#"[{{"id":"google",{ENTRY},"token_auth":"s3cret"}}]"#), "[0].token_auth must"),
            (format!(r#"[{{"id":"google",{ENTRY}}},{{"id":"google",{ENTRY}}}]"#), "[1].id must be unlike"),
        ] {
            let Err(problems) = parse(&text, true) else { panic!("{text} must be refused") };
            let told = problems.join("\n");
            assert!(told.contains(field), "{text}: {told}");
            assert!(!told.to_lowercase().contains("s3"), "{told}");
        }
    }
}
