//! The edge under workerd, as `wrangler dev` runs it: offline, without a log-in.

use std::process::Command;

use anyhow::{Context, Result};

use super::state::{NestDev, write_private};
use crate::cargo::Project;
use crate::edge_tools::EdgeTools;

/// The only key that the stand-in for Groq takes: `API_KEY` in embedded/src/groq/mod.rs.
const STAND_IN_KEY: &str = "gsk_fake_key_for_local_runs";

/// `wrangler dev` against what `nest` runs.
pub(super) fn command(project: &Project, port: u16, nest: &NestDev) -> Result<Command> {
    let tools = EdgeTools::ready(project)?;
    // Secrets go by a file, since arguments can be read by everyone on the machine.
    let secrets = nest.folder.join("cloudflare.env");
    let (base_url, key) = upstream(nest);
    write_private(&secrets, &format!("SECRET_KEY={}\nGROQ_API_KEY={key}\n", nest.secret("SECRET_KEY")?))?;
    let port = port.to_string();
    let (secrets, base_url) = (secrets.display().to_string(), base_url.map(|url| format!("OPENAI_BASE_URL:{url}")));
    let mut args = vec!["dev", "--ip", "127.0.0.1", "--port", &port, "--env-file", &secrets];
    args.extend(["--show-interactive-dev-session=false"]);
    args.extend(base_url.iter().flat_map(|it| ["--var", it.as_str()]));
    let mut wrangler = tools.wrangler(project, &args)?;
    let database = nest.status("database_url").context("`nest dev` names no database")?;
    wrangler.env("CLOUDFLARE_HYPERDRIVE_LOCAL_CONNECTION_STRING_HYPERDRIVE", database);
    Ok(wrangler)
}

/// The upstream that `nest dev` uses: its stand-in, else what the environment names.
fn upstream(nest: &NestDev) -> (Option<String>, String) {
    if let Some(stand_in) = nest.status("fake_groq") {
        return (Some(stand_in.to_owned()), STAND_IN_KEY.to_owned());
    }
    let set = |name| std::env::var(name).ok().filter(|it| !it.is_empty());
    (set("OPENAI_BASE_URL"), set("GROQ_API_KEY").or_else(|| set("GROK_API_KEY")).unwrap_or_default())
}
