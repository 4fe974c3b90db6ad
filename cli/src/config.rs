//! `nest config`.

use crate::{
    args::Config,
    report::{Report, table},
    settings::Settings,
};
use serde::Serialize;
use shared::setting::{Problems, Setting, example};

/// Every setting of every program, each once.
pub(crate) fn all() -> Vec<Setting> {
    let mut all: Vec<Setting> = edge_core::config::SETTINGS.to_vec();
    let others = gpu_node::config::SETTINGS
        .iter()
        .filter(|it| !edge_core::config::SETTINGS.iter().any(|own| own.name == it.name));
    all.extend(others);
    all
}

#[derive(Serialize)]
struct Shown {
    name: &'static str,
    value: String,
    source: &'static str,
    doc: &'static str,
}

pub(crate) fn run(verb: &Config, settings: &Settings, report: Report) -> anyhow::Result<()> {
    match verb {
        Config::Show => {
            let shown = |setting: &Setting| {
                let (source, value) = settings.shown(setting);
                Shown { name: setting.name, value, source, doc: setting.doc }
            };
            report.show(&all().iter().map(shown).collect::<Vec<_>>(), |all| {
                let row = |it: &Shown| vec![it.name.to_owned(), it.value.clone(), it.source.to_owned()];
                table(&["SETTING", "VALUE", "SOURCE"], all.iter().map(row))
            })
        }
        Config::Check => {
            let lookup = |name: &str| settings.get(name);
            let edge = edge_core::Config::load(&lookup).err();
            let node = gpu_node::Config::load(lookup).err();
            let problems: Vec<String> = edge.into_iter().chain(node).flat_map(|Problems(list)| list).collect();
            anyhow::ensure!(problems.is_empty(), Problems(problems));
            report.show(&serde_json::json!({"ok": true}), |_| "the settings of edge and node can be used".to_owned())
        }
        Config::Example => {
            print!("{}", env_example());
            Ok(())
        }
    }
}

/// The text of `.env.example`.
pub(crate) fn env_example() -> String {
    format!(
        "# Every setting, with its default. Copy to .env and change what differs.\n# Written by `nest config example`.\n\n{}",
        example(&all())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn env_example_is_what_the_settings_say() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../.env.example");
        let file = std::fs::read_to_string(path).unwrap();
        assert_eq!(file, env_example(), "run `cargo run -- config example > .env.example`");
    }
}
