//! The edge on Spin: by `spin up` where there is a `spin`, else in the project's own test host.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::state::NestDev;
use crate::cargo::{Project, run};
use crate::dist;

/// The component against what `nest` runs.
pub(super) fn command(project: &Project, port: u16, nest: &NestDev) -> Result<Command> {
    let listen = format!("127.0.0.1:{port}");
    let mut command = match spin() {
        true => {
            let mut spin = project.command("spin");
            spin.args(["up", "--build", "--listen", &listen]);
            spin
        }
        false => test_host(project, &listen)?,
    };
    let (base_url, key) = nest.upstream();
    let database = nest.status("database_url").context("`nest dev` names no database")?;
    let upstream_host = base_url.as_deref().map(origin);
    let variables = [
        ("SECRET_KEY", Some(nest.secret("SECRET_KEY")?.to_owned())),
        ("DATABASE_URL", Some(database.to_owned())),
        ("DATABASE_HOST", Some(origin(database))),
        ("GROQ_API_KEY", Some(key)),
        ("OPENAI_BASE_URL", base_url),
        ("UPSTREAM_HOST", upstream_host),
        ("NODE_HOSTS", nest.status("node").map(origin)),
    ];
    for (name, value) in variables {
        if let Some(value) = value {
            command.env(format!("SPIN_VARIABLE_{name}"), value);
        }
    }
    Ok(command)
}

/// Whether a Spin is here that knows WASI 0.3.
fn spin() -> bool {
    let output = Command::new("spin").arg("--version").stderr(Stdio::null()).output();
    let text = output.map(|it| String::from_utf8_lossy(&it.stdout).into_owned()).unwrap_or_default();
    is_new_enough(&text)
}

/// From a line such as `spin 4.1.0 (3f1c2aa 2026-09-01)`.
fn is_new_enough(version: &str) -> bool {
    let mut parts = version.split_whitespace().nth(1).unwrap_or_default().split('.').map_while(|it| it.parse().ok());
    (parts.next().unwrap_or(0_u32), parts.next().unwrap_or(0_u32)) >= (4, 1)
}

fn test_host(project: &Project, listen: &str) -> Result<Command> {
    println!("there is no spin 4.1 or later here: the component runs in the project's own test host");
    let component = dist::component_file(project)?;
    // Of the workspace, since a package built alone is built anew with other features.
    run(&mut project.cargo(&["build", "--workspace", "--bin", "spin-host"]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| project.root.join("target"), PathBuf::from);
    let mut command = project.command(target.join("debug/spin-host"));
    command.args(["--from", "spin.toml", "--listen", listen, "--component"]).arg(component);
    Ok(command)
}

/// Scheme, host and port of a URL, as `allowed_outbound_hosts` lists them.
fn origin(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_no_credentials_and_no_path() {
        for (url, expected) in [
            ("postgres://nest:p%40ss@127.0.0.1:5432/nest", "postgres://127.0.0.1:5432"),
            ("http://127.0.0.1:4010/openai/v1", "http://127.0.0.1:4010"),
            ("https://api.groq.com", "https://api.groq.com"),
        ] {
            assert_eq!(origin(url), expected);
        }
    }

    #[test]
    fn older_spins_do_not_know_the_component() {
        for (version, good) in
            [("spin 4.1.0 (abc 2026-09-01)", true), ("spin 5.0.0", true), ("spin 4.0.2", false), ("", false)]
        {
            assert_eq!(is_new_enough(version), good, "{version}");
        }
    }
}
