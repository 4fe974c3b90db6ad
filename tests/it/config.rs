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
