//! `spin.toml` says what the edge's settings say.

use edge_core::config::SETTINGS;
use nest_spin_host::{Manifest, edge_manifest};
use shared::setting::Setting;
use std::collections::BTreeSet;

/// Settings of a server that listens and pools connections itself.
const NOT_ON_SPIN: [&str; 5] = ["HOST", "PORT", "DATABASE_CONNECTIONS", "SMTP_URL", "USAGE_JOURNAL"];

/// Where an edge that is far from its database does better by default.
const OTHER_DEFAULTS: [(&str, &str); 1] = [("KEY_CACHE_MS", "5000")];

/// What only the manifest knows: what may be reached.
const HOSTS: [&str; 8] = [
    "database_host",
    "upstream_host",
    "node_hosts",
    "mail_host",
    "openid_hosts",
    "anchor_host",
    "upstash_host",
    "stripe_host",
];

fn settings() -> impl Iterator<Item = (String, &'static Setting)> {
    SETTINGS.iter().filter(|it| !NOT_ON_SPIN.contains(&it.name)).map(|it| (it.name.to_ascii_lowercase(), it))
}

#[test]
fn every_setting_is_a_variable_with_the_same_default() {
    let manifest = Manifest::read(&edge_manifest()).unwrap();
    for (name, setting) in settings() {
        let variable = manifest.variables().get(&name).unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!(variable.secret, setting.secret, "{name}");
        // The edge takes an empty value for none.
        let default = variable.default.as_deref().filter(|it| !it.is_empty());
        let other = OTHER_DEFAULTS.iter().find(|(it, _)| *it == setting.name).map(|(_, default)| *default);
        assert_eq!(default, other.or(setting.default), "{name}");
        assert_eq!(variable.required, name == "secret_key", "{name}");
        assert_eq!(manifest.component_variables()[&name], format!("{{{{ {name} }}}}"));
    }
}

#[test]
fn nothing_else_is_a_variable() {
    let manifest = Manifest::read(&edge_manifest()).unwrap();
    let known: BTreeSet<String> = settings().map(|it| it.0).chain(HOSTS.map(str::to_owned)).collect();
    assert_eq!(manifest.variables().keys().cloned().collect::<BTreeSet<_>>(), known);
    let mapped: BTreeSet<String> = manifest.component_variables().keys().cloned().collect();
    assert_eq!(mapped, settings().map(|it| it.0).collect());
}

#[test]
fn the_application_has_the_version_of_the_edge() {
    let text = std::fs::read_to_string(edge_manifest()).unwrap();
    assert!(text.contains(&format!("\nversion = \"{}\"\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn no_host_is_reachable_that_no_variable_names() {
    let text = std::fs::read_to_string(edge_manifest()).unwrap();
    assert!(!text.contains("*://"), "a manifest that allows everything");
}
