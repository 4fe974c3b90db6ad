//! Where settings come from: the environment, then `.env`, then what `nest dev` made for this machine.

use shared::setting::Setting;
use std::{collections::HashMap, path::Path};

/// Every value that may be looked up, with its source.
pub(crate) struct Settings {
    sources: Vec<(&'static str, HashMap<String, String>)>,
}

impl Settings {
    /// Reads the environment, `.env` in the present folder, and the files of `nest dev`.
    pub(crate) fn load(state_dir: &Path) -> Self {
        let mut sources = vec![("environment", std::env::vars().collect()), (".env", file(Path::new(".env")))];
        let production = sources
            .iter()
            .any(|(_, it): &(_, HashMap<String, String>)| it.get("APP_ENV").is_some_and(|it| it == "production"));
        if !production {
            let mut made = file(&state_dir.join("secrets.env"));
            if let Some(status) = crate::state::read_status(state_dir) {
                made.extend(status.database_url.map(|url| ("DATABASE_URL".to_owned(), url)));
                // Whoever brings a key of Stripe's own means Stripe.
                let has_key =
                    sources.iter().any(|(_, it)| it.get("STRIPE_SECRET_KEY").is_some_and(|it| !it.is_empty()));
                if let Some(stripe) = status.fake_stripe.filter(|_| !has_key) {
                    made.insert("STRIPE_BASE_URL".to_owned(), stripe);
                    made.insert("STRIPE_SECRET_KEY".to_owned(), fake_stripe::SECRET_KEY.to_owned());
                    made.insert("PUBLIC_URL".to_owned(), status.edge);
                }
            }
            made.insert("NODE_MODELS_DIR".to_owned(), state_dir.join("models").display().to_string());
            made.insert("USAGE_JOURNAL".to_owned(), state_dir.join("usage.journal").display().to_string());
            made.insert("NODE_KEY_FILE".to_owned(), state_dir.join("node.key").display().to_string());
            sources.push(("nest dev", made));
        }
        Self { sources }
    }

    /// The value of `name`; an empty one counts as none.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        self.find(name).map(|(_, value)| value.to_owned())
    }

    /// Where the value of `setting` comes from, and the value, masked if it is secret.
    pub(crate) fn shown(&self, setting: &Setting) -> (&'static str, String) {
        match (self.find(setting.name), setting.default) {
            (Some((source, _)), _) if setting.secret => (source, "********".to_owned()),
            (Some((source, value)), _) => (source, value.to_owned()),
            (None, Some(default)) => ("default", default.to_owned()),
            (None, None) => ("not set", String::new()),
        }
    }

    fn find(&self, name: &str) -> Option<(&'static str, &str)> {
        self.sources.iter().find_map(|(source, values)| {
            values.get(name).filter(|it| !it.trim().is_empty()).map(|value| (*source, value.as_str()))
        })
    }
}

/// Values of a file in `.env` form; none when it is not there.
fn file(path: &Path) -> HashMap<String, String> {
    dotenvy::from_path_iter(path).map(|lines| lines.flatten().collect()).unwrap_or_default()
}
