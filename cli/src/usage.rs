//! `nest usage`.

mod verify;

use crate::{
    args::{Usage, UsageVerb},
    database,
    report::{Report, table, time},
    settings::Settings,
};
use edge_core::{
    Host as _,
    usage::{self, Call, Csv, Day, Total},
};
use shared::money::Nanos;

pub(crate) async fn run(args: Usage, settings: &Settings, report: Report) -> anyhow::Result<()> {
    if let Some(UsageVerb::Verify { receipt, keys }) = args.verb {
        return verify::run(&receipt, &keys, report).await;
    }
    let database = database::open(settings).await?;
    if let Some(calls) = args.calls {
        return report.show(&usage::recent(&database.store, calls).await?, |calls| {
            let header = [
                "TIME",
                "REQUEST",
                "KEY",
                "MODEL",
                "UPSTREAM",
                "STATUS",
                "OUTCOME",
                "IN",
                "OUT",
                "COST",
                "FIRST BYTE",
                "LATENCY",
            ];
            table(&header, calls.iter().map(call))
        });
    }
    let since = Day::of(database.host.now()).plus(1 - i64::from(args.days));
    let totals = usage::totals(&database.store, since).await?;
    if args.csv {
        return report.show(&totals, |totals| csv(totals));
    }
    report.show(&totals, |totals| {
        let header = ["KEY", "MODEL", "CALLS", "COMPLETED", "TOKENS IN", "TOKENS OUT", "COST", "MEAN LATENCY"];
        format!("Since {since} (UTC)\n\n{}", table(&header, totals.iter().map(total)))
    })
}

fn csv(totals: &[Total]) -> String {
    let mut csv = Csv::new(&[
        "key_id",
        "key_name",
        "model",
        "calls",
        "completed",
        "prompt_tokens",
        "completion_tokens",
        "cost_usd",
        "mean_latency_ms",
    ]);
    for total in totals {
        csv.line(&[
            total.key_id.to_string(),
            total.key_name.clone(),
            total.model.clone(),
            total.calls.to_string(),
            total.completed.to_string(),
            total.prompt_tokens.to_string(),
            total.completion_tokens.to_string(),
            Nanos(total.cost_nanos).to_string(),
            total.mean_latency_ms.to_string(),
        ]);
    }
    csv.into_text()
}

fn call(call: &Call) -> Vec<String> {
    vec![
        time(call.started_at),
        call.request_id.to_string(),
        call.key_name.clone(),
        call.model.clone(),
        call.upstream.as_deref().map_or("-", |it| it.split(':').next().unwrap_or(it)).to_owned(),
        call.status.to_string(),
        call.outcome.clone(),
        call.prompt_tokens.to_string(),
        call.completion_tokens.to_string(),
        format!("${}", Nanos(call.cost_nanos)),
        call.first_byte_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms")),
        format!("{} ms", call.latency_ms),
    ]
}

fn total(total: &Total) -> Vec<String> {
    vec![
        total.key_name.clone(),
        if total.model.is_empty() { "-".to_owned() } else { total.model.clone() },
        total.calls.to_string(),
        total.completed.to_string(),
        total.prompt_tokens.to_string(),
        total.completion_tokens.to_string(),
        format!("${}", Nanos(total.cost_nanos)),
        format!("{} ms", total.mean_latency_ms),
    ]
}
