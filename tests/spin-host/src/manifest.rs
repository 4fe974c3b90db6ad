//! `spin.toml`, version 2: what of it this host knows, and the values that it comes down to.

use anyhow::{Context as _, bail};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// A manifest as it is written.
#[derive(Debug)]
pub struct Manifest {
    folder: PathBuf,
    file: File,
    component: Component,
}

#[derive(Debug, Deserialize)]
struct File {
    spin_manifest_version: i64,
    #[serde(default)]
    variables: BTreeMap<String, Variable>,
    trigger: Triggers,
    component: BTreeMap<String, Component>,
}

/// An application variable.
#[derive(Clone, Debug, Deserialize)]
pub struct Variable {
    /// Its value when nobody gives one.
    pub default: Option<String>,
    /// Whether someone must give one.
    #[serde(default)]
    pub required: bool,
    /// Whether its value must never be shown.
    #[serde(default)]
    pub secret: bool,
}

#[derive(Debug, Deserialize)]
struct Triggers {
    http: Vec<HttpTrigger>,
}

#[derive(Debug, Deserialize)]
struct HttpTrigger {
    route: String,
    component: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Component {
    source: PathBuf,
    #[serde(default)]
    allowed_outbound_hosts: Vec<String>,
    #[serde(default)]
    files: Vec<Mount>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    variables: BTreeMap<String, String>,
}

/// A folder that the component sees, read-only.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Mount {
    pub(crate) source: PathBuf,
    pub(crate) destination: String,
}

/// What a component runs with.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) allowed_outbound_hosts: Vec<String>,
    pub(crate) files: Vec<Mount>,
    pub(crate) environment: BTreeMap<String, String>,
}

impl Manifest {
    /// Reads a manifest of one component, which answers every path.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
        let file: File = toml::from_str(&text).with_context(|| format!("{} cannot be used", path.display()))?;
        if file.spin_manifest_version != 2 {
            bail!("{} is not of version 2", path.display());
        }
        let [HttpTrigger { route, component }] = &file.trigger.http[..] else {
            bail!("this host runs exactly one HTTP trigger");
        };
        if route != "/..." {
            bail!("this host has no router; the one route must be /..., not {route}");
        }
        let component = file.component.get(component).with_context(|| format!("no component {component}"))?.clone();
        let folder = path.parent().context("a file lies in a folder")?.to_owned();
        Ok(Self { folder, file, component })
    }

    /// The component's file.
    pub fn source(&self) -> PathBuf {
        self.folder.join(&self.component.source)
    }

    /// The application's variables.
    pub fn variables(&self) -> &BTreeMap<String, Variable> {
        &self.file.variables
    }

    /// The component's variables, as templates.
    pub fn component_variables(&self) -> &BTreeMap<String, String> {
        &self.component.variables
    }

    /// Puts values in place of templates. A variable without a value leaves those out that want it.
    pub(crate) fn resolve(&self, given: &[(String, String)]) -> anyhow::Result<Settings> {
        let mut values: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, variable) in &self.file.variables {
            values.extend(variable.default.as_deref().map(|value| (name.as_str(), value)));
        }
        for (name, value) in given {
            if !self.file.variables.contains_key(name) {
                bail!("the manifest has no variable {name}");
            }
            values.insert(name, value);
        }
        let mut variables = BTreeMap::new();
        for (name, template) in &self.component.variables {
            variables.extend(expand(template, &values)?.map(|value| (name.clone(), value)));
        }
        let mut allowed_outbound_hosts = Vec::new();
        for template in &self.component.allowed_outbound_hosts {
            allowed_outbound_hosts.extend(expand(template, &values)?);
        }
        let mount = |it: &Mount| Mount { source: self.folder.join(&it.source), destination: it.destination.clone() };
        let files = self.component.files.iter().map(mount).collect();
        let environment = self.component.environment.clone();
        Ok(Settings { variables, allowed_outbound_hosts, files, environment })
    }
}

/// Replaces each `{{ name }}`; none when one of the names has no value.
fn expand(template: &str, values: &BTreeMap<&str, &str>) -> anyhow::Result<Option<String>> {
    let mut parts = template.split("{{");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, literal) = part.split_once("}}").with_context(|| format!("unmatched {{{{ in {template}"))?;
        let Some(value) = values.get(name.trim()) else { return Ok(None) };
        text.push_str(value);
        text.push_str(literal);
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_take_the_values_of_variables() {
        let values = BTreeMap::from([("host", "db"), ("port", "5432")]);
        for (template, text) in [
            ("plain", Some("plain")),
            ("{{ host }}", Some("db")),
            ("postgres://{{host}}:{{ port }}", Some("postgres://db:5432")),
            ("{{ other }}", None),
        ] {
            assert_eq!(expand(template, &values).unwrap().as_deref(), text, "{template}");
        }
        assert!(expand("{{ host", &values).is_err());
    }
}
