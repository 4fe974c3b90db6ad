//! The settings: each is named once, explained, and read as it is declared.

use edge_core::config::SETTINGS as EDGE;
use gpu_node::SETTINGS as NODE;
use std::collections::BTreeSet;

#[test]
fn every_setting_is_explained() {
    for setting in EDGE.iter().chain(NODE) {
        let form = setting.name.chars().all(|it| it.is_ascii_uppercase() || it.is_ascii_digit() || it == '_');
        assert!(form && !setting.name.is_empty(), "{}", setting.name);
        assert!(setting.doc.len() > 20 && setting.doc.ends_with('.'), "{}: {:?}", setting.name, setting.doc);
        assert!(!setting.secret || setting.default.is_none(), "{} is a secret that everybody knows", setting.name);
    }
}

#[test]
fn every_setting_is_declared_once() {
    for settings in [EDGE, NODE] {
        let names: BTreeSet<_> = settings.iter().map(|it| it.name).collect();
        assert_eq!(names.len(), settings.len());
    }
    // What both programs read means the same to both.
    for edge in EDGE {
        if let Some(node) = NODE.iter().find(|it| it.name == edge.name) {
            assert_eq!(node.default, edge.default, "{}", edge.name);
        }
    }
}

#[test]
fn what_wrangler_toml_names_exists_and_every_environment_is_complete() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../wrangler.toml")).unwrap();
    let wrangler: toml::Table = toml::from_str(&text).unwrap();
    let environments = wrangler["env"].as_table().unwrap();
    for (name, part) in
        environments.iter().map(|(name, it)| (name.as_str(), it.as_table().unwrap())).chain([("", &wrangler)])
    {
        let vars = part["vars"].as_table().unwrap().keys().map(String::as_str);
        let secrets = part["secrets"]["required"].as_array().unwrap().iter().map(|it| it.as_str().unwrap());
        for setting in vars.chain(secrets.clone()) {
            assert!(EDGE.iter().any(|it| it.name == setting), "{name}: {setting} is no setting of the edge");
        }
        assert!(secrets.clone().any(|it| it == "SECRET_KEY"), "{name} starts without a secret");
        assert_eq!(part["hyperdrive"][0]["binding"].as_str(), Some("HYPERDRIVE"), "{name}");
        assert!(part["observability"]["enabled"].as_bool().unwrap(), "{name}");
        // An environment of its own is for others to use; only this machine may be lenient.
        let expected = if name.is_empty() { "development" } else { "production" };
        assert_eq!(part["vars"]["APP_ENV"].as_str(), Some(expected), "{name}");
    }
    assert!(environments.contains_key("staging") && environments.contains_key("production"));
}
