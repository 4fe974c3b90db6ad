//! The command line.

use clap::{Parser, Subcommand};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  nest                          run everything on this machine: Postgres, edge, GPU node with a real model
  nest keys create --name ci    make an API key; it is shown once
  nest usage --calls 20         the latest calls
  nest models run \"Why is the sky blue?\"

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not ready, 69 something it needs is missing.";

/// An AI API platform: accounts, keys and limits at the edge, inference on your own GPU nodes.
#[derive(Parser)]
#[command(name = "nest", version, about, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Args {
    /// Print JSON for programs instead of text for people.
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Where `nest dev` keeps its database, models, logs and secrets.
    #[arg(long, global = true, value_name = "DIR", default_value = ".nest", env = "NEST_STATE_DIR")]
    pub(crate) state_dir: PathBuf,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run everything on this machine (what a bare `nest` does).
    Dev(Dev),
    /// Run the edge alone, configured by the environment.
    Serve,
    /// Do what is due by the clock, once: for edges on Spin, every minute, by cron or a CronJob.
    Tick,
    /// Run a GPU node alone, configured by the environment.
    Node(crate::node::NodeArgs),
    /// Say what `nest dev` is running, and where.
    Status,
    /// Check this machine, each finding with the command that mends it.
    Doctor,
    /// Change the database schema, forward only.
    #[command(subcommand)]
    Migrate(Migrate),
    /// Reach the database.
    #[command(subcommand)]
    Db(Db),
    /// Do what operators do: people, organisations, OAuth clients, the audit log, encryption keys.
    #[command(subcommand)]
    Admin(Admin),
    /// Make, list, rotate and revoke API keys, and look for leaked ones.
    #[command(subcommand)]
    Keys(crate::keys::Keys),
    /// Invite and list GPU nodes.
    #[command(subcommand)]
    Nodes(Nodes),
    /// Pull, list and try models.
    #[command(subcommand)]
    Models(crate::models::ModelsCommand),
    /// Set and show the plans that organisations may subscribe to.
    #[command(subcommand)]
    Plans(crate::plans::Plans),
    /// Bring Stripe in line with the plans, and see what it told and what it did not.
    #[command(subcommand)]
    Stripe(crate::stripe::Stripe),
    /// Show what was used.
    Usage(Usage),
    /// Prove that the books balance, grant credit, and publish prices.
    #[command(subcommand)]
    Billing(crate::billing::Billing),
    /// Show or check the settings.
    #[command(subcommand)]
    Config(Config),
    /// Print openapi.json, which says what the API takes and gives.
    Openapi,
    /// Print completions for a shell.
    Completions { shell: clap_complete::Shell },
    /// Print the manual page.
    Man,
}

#[derive(clap::Args)]
pub(crate) struct Dev {
    /// Port of the edge.
    #[arg(long, default_value_t = 8787)]
    pub(crate) port: u16,
    /// Port of the GPU node.
    #[arg(long, default_value_t = 8788)]
    pub(crate) node_port: u16,
    /// Port of the private Postgres; a free one unless given.
    #[arg(long)]
    pub(crate) postgres_port: Option<u16>,
    /// Forget database, keys and secrets first; models stay.
    #[arg(long)]
    pub(crate) fresh: bool,
    /// Run without a GPU node.
    #[arg(long)]
    pub(crate) no_node: bool,
}

impl Default for Dev {
    fn default() -> Self {
        Self { port: 8787, node_port: 8788, postgres_port: None, fresh: false, no_node: false }
    }
}

#[derive(Subcommand)]
pub(crate) enum Migrate {
    /// Run what has not run yet.
    Up,
    /// List the migrations and whether they have run.
    Status,
    /// Make the file of the next migration.
    New { name: String },
}

#[derive(Subcommand)]
pub(crate) enum Db {
    /// Print the database's URL, password included.
    Url,
    /// Open psql on the database.
    Psql {
        /// For psql itself, such as `-c "select 1"`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Delete the private database of `nest dev`.
    Reset {
        /// Do it without asking.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Subcommand)]
pub(crate) enum Admin {
    /// Make an operator with an organisation, and show once a link that sets their password.
    Create {
        #[arg(long)]
        email: String,
        /// Name of the organisation.
        #[arg(long, default_value = "Operators")]
        org: String,
        /// The password, for scripts; else read from NEST_ADMIN_PASSWORD, else there is the link.
        #[arg(long, env = "NEST_ADMIN_PASSWORD", hide_env_values = true)]
        password: Option<secrecy::SecretString>,
    },
    /// Find, show, suspend and restore people, and end their sessions.
    #[command(subcommand)]
    Users(crate::admin::Users),
    /// Say who runs the platform, and change it.
    #[command(subcommand)]
    Operators(crate::admin::Operators),
    /// Find, suspend and restore organisations.
    #[command(subcommand)]
    Orgs(crate::admin::Orgs),
    /// Read the audit log, and verify that nobody changed it.
    #[command(subcommand)]
    Audit(Audit),
    /// See to the keys that secrets at rest are sealed with.
    #[command(subcommand)]
    Encryption(Encryption),
    /// Make, list and revoke the platform's own OAuth clients, which may introspect every token.
    #[command(subcommand)]
    Client(AdminClient),
}

#[derive(Subcommand)]
pub(crate) enum Audit {
    /// Walk the whole chain, and tell every entry that was edited, removed, inserted or moved. Ends with 1 if any was.
    Verify {
        /// Compare with anchors that were kept elsewhere: lines of the edges' log, or what AUDIT_ANCHOR_URL was sent.
        #[arg(long, value_name = "FILE")]
        anchors: Option<PathBuf>,
    },
    /// List the latest entries.
    Ls(AuditLs),
}

#[derive(clap::Args)]
pub(crate) struct AuditLs {
    /// Of one organisation.
    #[arg(long)]
    pub(crate) org: Option<shared::id::OrgId>,
    /// By the id of who acted.
    #[arg(long)]
    pub(crate) actor: Option<String>,
    /// Of one action, such as `auth.login`, or of one kind, such as `auth`.
    #[arg(long)]
    pub(crate) action: Option<String>,
    /// By the id of what was acted upon.
    #[arg(long)]
    pub(crate) target: Option<String>,
    /// Only entries before this id: the last one of the page before.
    #[arg(long, value_name = "ID")]
    pub(crate) before: Option<i64>,
    /// How many.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=200))]
    pub(crate) limit: i64,
}

#[derive(Subcommand)]
pub(crate) enum Encryption {
    /// Count the sealed values by the key that wraps them.
    Status,
    /// Wrap every value with the first key of ENCRYPTION_KEYS, while edges run. May be broken off and run again.
    Rotate,
}

#[derive(Subcommand)]
pub(crate) enum AdminClient {
    /// Make a client; its secret is shown once.
    Create {
        #[arg(long, value_parser = client_name)]
        name: String,
        /// Permissions that its own tokens may have, space-separated; none unless given.
        #[arg(long, default_value = "")]
        scope: shared::permission::Permissions,
    },
    /// List them.
    Ls,
    /// End a client, and with it its tokens.
    Revoke { id: shared::id::ClientId },
}

fn client_name(text: &str) -> Result<String, String> {
    let chars = text.trim().chars().count();
    if (1..=200).contains(&chars) { Ok(text.trim().to_owned()) } else { Err("1 to 200 characters".to_owned()) }
}

#[derive(Subcommand)]
pub(crate) enum Nodes {
    /// Make a single-use token with which a GPU node may join.
    Invite {
        /// Minutes for which it is valid.
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=10_080))]
        minutes: u32,
    },
    /// List the GPU nodes.
    Ls,
}

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Usage {
    #[command(subcommand)]
    pub(crate) verb: Option<UsageVerb>,
    /// Show the latest N calls, one a line, instead of totals.
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "20", value_parser = clap::value_parser!(i64).range(1..=10_000))]
    pub(crate) calls: Option<i64>,
    /// Days of the totals, in UTC, today included.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=3_660))]
    pub(crate) days: u32,
    /// Print the totals as CSV, for a spreadsheet.
    #[arg(long, conflicts_with_all = ["calls", "json"])]
    pub(crate) csv: bool,
}

#[derive(Subcommand)]
pub(crate) enum UsageVerb {
    /// Check a receipt against the keys that the service publishes, and show what it says. Asks nobody but for the keys.
    Verify {
        /// A file with a receipt, an answer of /generations, or a stream's last comment; `-` for standard input.
        receipt: String,
        /// A copy of /.well-known/receipt-keys.json, or its address.
        #[arg(long, value_name = "FILE|URL")]
        keys: String,
    },
}

#[derive(Subcommand)]
pub(crate) enum Config {
    /// Print every setting and where its value comes from; secrets are masked.
    Show,
    /// Check the settings of edge and node.
    Check,
    /// Print `.env.example`.
    Example,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound_and_its_help_fits_a_screen() {
        Args::command().debug_assert();
        let help = Args::command().render_help().to_string();
        assert!(help.lines().count() <= 48, "{} lines", help.lines().count());
    }
}
