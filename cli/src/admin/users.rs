//! `nest admin users`.

use crate::{
    database::{self, Database},
    report::{Failure, Report, printable, table, time},
    settings::Settings,
};
use clap::{Subcommand, ValueEnum};
use edge_core::{
    Host as _,
    auth::{self, Account, Change, Operator, PeopleFilter, PersonRow, PersonStatus, Reason, SessionRow, Suspension},
    orgs::{self, OperatedMembership},
};
use shared::id::{SessionId, UserId};

#[derive(Subcommand)]
pub(crate) enum Users {
    /// List people, newest first.
    Ls {
        /// Only those with this id, or with this in their address or name.
        query: Option<String>,
        #[arg(long)]
        status: Option<Status>,
        /// Only people after this one: the last one of the page before.
        #[arg(long, value_name = "USER")]
        after: Option<UserId>,
        /// How many.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=200))]
        limit: i64,
    },
    /// Show a person: what is set up to log in, and the organisations that they are in.
    Show {
        /// Id or e-mail address.
        user: String,
    },
    /// Suspend a person, and end their sessions.
    Suspend {
        /// Id or e-mail address.
        user: String,
        /// Goes into the audit log.
        #[arg(long)]
        reason: Reason,
        /// Let the person's own organisation, and so its keys, go on.
        #[arg(long)]
        keep_personal_org: bool,
    },
    /// End a suspension, also that of the organisation that was suspended with the person.
    Restore {
        /// Id or e-mail address.
        user: String,
    },
    /// List a person's live sessions.
    Sessions {
        /// Id or e-mail address.
        user: String,
    },
    /// End all of a person's sessions, or one.
    EndSessions {
        /// Id or e-mail address.
        user: String,
        /// Only this one.
        #[arg(long)]
        session: Option<SessionId>,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Status {
    Active,
    Suspended,
}

pub(crate) async fn run(verb: Users, settings: &Settings, report: Report) -> anyhow::Result<()> {
    let database = database::open(settings).await?;
    let operator = Operator::at_nest(database.host.now());
    let store = &database.store;
    match verb {
        Users::Ls { query, status, after, limit } => {
            let filter = PeopleFilter { query, status: status.map(Into::into), operator: None, after, limit };
            show_people(&auth::people(store, &filter).await?, report)
        }
        Users::Show { user } => show(&database, find(&database, &user).await?, report).await,
        Users::Suspend { user, reason, keep_personal_org } => {
            let id = find(&database, &user).await?;
            let how = Suspension { reason, personal_org: !keep_personal_org };
            tell(&id, "suspended", auth::suspend(store, &operator, id, &how).await?, report)
        }
        Users::Restore { user } => {
            let id = find(&database, &user).await?;
            tell(&id, "active", auth::restore(store, &operator, id).await?, report)
        }
        Users::Sessions { user } => {
            let id = find(&database, &user).await?;
            report.show(&auth::live_sessions(store, id, database.host.now()).await?, |sessions| {
                let header = ["ID", "OPENED", "LAST SEEN", "UNTIL", "CLIENT", "BY", "IP", "PROGRAM"];
                table(&header, sessions.iter().map(session))
            })
        }
        Users::EndSessions { user, session } => {
            let id = find(&database, &user).await?;
            let ended = match session {
                Some(session) => auth::end_session(store, &operator, id, session).await.map(|()| 1)?,
                None => auth::end_sessions(store, &operator, id).await?,
            };
            report
                .show(&serde_json::json!({"user": id, "ended": ended}), |_| format!("ended {ended} session(s) of {id}"))
        }
    }
}

/// The person whom an operator names by id or address.
pub(super) async fn find(database: &Database, user: &str) -> anyhow::Result<UserId> {
    if let Ok(id) = user.parse() {
        return Ok(id);
    }
    let found = auth::person_by_email(&database.store, user).await?;
    Ok(found.ok_or_else(|| Failure::Usage(format!("nobody has the address {user}: see `nest admin users ls`")))?)
}

pub(super) fn show_people(people: &[PersonRow], report: Report) -> anyhow::Result<()> {
    report.show(&people, |people| {
        let header = ["ID", "E-MAIL", "NAME", "RIGHT", "STATE", "CREATED"];
        table(&header, people.iter().map(person))
    })
}

/// Says what became of a person or an organisation.
pub(super) fn tell(id: &impl ToString, state: &str, change: Change, report: Report) -> anyhow::Result<()> {
    let (id, changed) = (id.to_string(), change == Change::Made);
    report.show(&serde_json::json!({"id": id, "state": state, "changed": changed}), |_| {
        if changed { format!("{id}: {state}") } else { format!("{id}: {state} already") }
    })
}

async fn show(database: &Database, id: UserId, report: Report) -> anyhow::Result<()> {
    let account = auth::account(&database.store, id, database.host.now()).await?;
    let memberships = orgs::memberships_of(&database.store, id).await?;
    let mut json = serde_json::to_value(&account)?;
    json["memberships"] = serde_json::to_value(&memberships)?;
    report.show(&json, |_| {
        let orgs = table(&["ORGANISATION", "NAME", "ROLE", "STATE"], memberships.iter().map(membership));
        format!("{}\n\n{orgs}", facts(&account))
    })
}

fn facts(account: &Account) -> String {
    let yes = |it: bool| if it { "yes" } else { "no" };
    let lines = [
        ("user", account.id.to_string()),
        ("e-mail", printable(&account.email)),
        ("name", printable(&account.name)),
        ("operator", yes(account.operator).to_owned()),
        (
            "state",
            account.suspended_at.map_or_else(|| "active".to_owned(), |at| format!("suspended since {}", time(at))),
        ),
        ("created", time(account.created_at)),
        ("password", yes(account.has_password).to_owned()),
        ("one-time codes", yes(account.has_totp).to_owned()),
        ("passkeys", account.passkeys.to_string()),
        ("recovery codes", account.recovery_codes.to_string()),
        ("providers", printable(&account.identities)),
        ("live sessions", account.live_sessions.to_string()),
    ];
    lines.map(|(name, value)| format!("{name:<16}{value}")).join("\n")
}

fn person(person: &PersonRow) -> Vec<String> {
    vec![
        person.id.to_string(),
        printable(&person.email),
        printable(&person.name),
        if person.operator { "operator" } else { "-" }.to_owned(),
        if person.suspended_at.is_some() { "suspended" } else { "active" }.to_owned(),
        time(person.created_at),
    ]
}

fn membership(of: &OperatedMembership) -> Vec<String> {
    let state = match (of.deleted_at, of.suspended_at) {
        (Some(_), _) => "deleted",
        (None, Some(_)) => "suspended",
        (None, None) => "active",
    };
    vec![
        of.org_id.to_string(),
        printable(&of.org_name),
        printable(of.custom_role.as_ref().unwrap_or(&of.role)),
        state.to_owned(),
    ]
}

fn session(of: &SessionRow) -> Vec<String> {
    vec![
        of.id.to_string(),
        time(of.created_at),
        time(of.last_seen_at),
        time(of.expires_at),
        printable(&of.client_id),
        of.amr.clone(),
        of.ip.clone().unwrap_or_else(|| "-".to_owned()),
        printable(&of.user_agent),
    ]
}

impl From<Status> for PersonStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Active => Self::Active,
            Status::Suspended => Self::Suspended,
        }
    }
}
