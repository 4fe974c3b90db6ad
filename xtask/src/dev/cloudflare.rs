//! The edge under workerd, as `wrangler dev` runs it: offline, without a log-in.

use std::process::Command;

use anyhow::{Context, Result};

use super::state::{NestDev, write_private};
use crate::cargo::Project;
use crate::edge_tools::EdgeTools;

/// `wrangler dev` against what `nest` runs.
pub(super) fn command(project: &Project, port: u16, nest: &NestDev) -> Result<Command> {
    let tools = EdgeTools::ready(project)?;
    // Secrets go by a file, since arguments can be read by everyone on the machine.
    let secrets = nest.folder.join("cloudflare.env");
    let (base_url, key) = nest.upstream();
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
