//! What there is, and what may happen to it: the page that Stripe's dashboard would be.

use super::{
    form, gone,
    html::{button, document, escaped, money, narrow},
    on, page,
};
use crate::{
    api::disputes::Decision,
    calendar::{DAY_S, instant},
    object::{number, shown, text},
    shared::Shared,
    world::World,
};
use axum::{
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use serde_json::Value;

/// Kinds of objects, their headings, and the fields to show.
const KINDS: [(&str, &str, [&str; 3]); 8] = [
    ("checkout.session", "Checkout sessions", ["mode", "status", "payment_status"]),
    ("charge", "Charges", ["status", "disputed", "refunded"]),
    ("subscription", "Subscriptions", ["customer", "status", "cancel_at_period_end"]),
    ("invoice", "Invoices", ["customer", "billing_reason", "status"]),
    ("refund", "Refunds", ["charge", "status", "reason"]),
    ("dispute", "Disputes", ["charge", "status", "reason"]),
    ("customer", "Customers", ["email", "name", "balance"]),
    ("webhook_endpoint", "Webhook endpoints", ["url", "status", "api_version"]),
];

/// How many of a kind are shown.
const SHOWN: usize = 20;

pub(super) async fn show(State(shared): State<Shared>) -> Response {
    let html = shared.act(|world| body(world));
    page(StatusCode::OK, document("Fake Stripe", &html))
}

pub(super) async fn advance(State(shared): State<Shared>, body: Bytes) -> Response {
    let days: i64 = form(&body).text("act").and_then(|it| it.parse().ok()).unwrap_or_default();
    shared.act(|world| world.advance(days.clamp(0, 366) * DAY_S));
    on("/")
}

pub(super) async fn object(State(shared): State<Shared>, Path(id): Path<String>) -> Response {
    let Some(object) = shared.look(|world| world.objects.any(&id).cloned()) else {
        return gone("There is no such object.");
    };
    let here = format!("/objects/{id}");
    let acts: &[(&str, &str)] = match text(&object, "object") {
        "charge" if object["status"] == "succeeded" => &[("refund", "Refund all"), ("dispute", "Dispute")],
        "dispute" => &[("win", "Decide for the seller"), ("lose", "Decide for the payer")],
        "refund" => &[("fail", "Fail")],
        "subscription" => &[("end", "Cancel now")],
        "checkout.session" if object["payment_status"] == "unpaid" => {
            &[("paid", "The bank pays"), ("unpaid", "The bank does not pay")]
        }
        _ => &[],
    };
    let acts: String = acts.iter().map(|(act, label)| button(&here, act, label)).collect();
    let json = serde_json::to_string_pretty(&shown(&object)).unwrap_or_default();
    let html = format!(
        "<section><h1>{}</h1><div class=\"row\">{acts}</div></section><section><pre>{}</pre></section><p><a href=\"/\">What there is</a></p>",
        escaped(&id),
        escaped(&json)
    );
    page(StatusCode::OK, document(&id, &html))
}

pub(super) async fn act(State(shared): State<Shared>, Path(id): Path<String>, body: Bytes) -> Response {
    let form = form(&body);
    let done = shared.act(|world| {
        let done = match form.text("act")? {
            "refund" => world.refund(&id, None).map(|refund| world.tell_of_refund(&refund)),
            "dispute" => world.dispute(&id).map(drop),
            "win" => {
                world.decide(&id, Decision::Won);
                Ok(())
            }
            "lose" => {
                world.decide(&id, Decision::Lost);
                Ok(())
            }
            "fail" => {
                world.fail_refund(&id);
                Ok(())
            }
            "end" => {
                world.end_subscription(&id, "cancellation_requested");
                Ok(())
            }
            "paid" => world.settle(&id, true),
            "unpaid" => world.settle(&id, false),
            _ => return None,
        };
        done.ok()
    });
    done.map_or_else(|| gone("That is not possible here."), |()| on("/"))
}

pub(super) async fn receipt(State(shared): State<Shared>, Path(id): Path<String>) -> Response {
    let Some(charge) = shared.look(|world| world.objects.find("charge", &id).cloned()) else {
        return gone("There is no such receipt.");
    };
    let sum = money(number(&charge, "amount"), text(&charge, "currency"));
    let html =
        format!("<section><h1>Receipt</h1><p class=\"sum\">{sum}</p><p class=\"soft\">{}</p></section>", escaped(&id));
    page(StatusCode::OK, narrow("Receipt", &html))
}

fn body(world: &World) -> String {
    let clock: String = [(1, "A day later"), (7, "A week later"), (31, "A month later")]
        .map(|(days, label)| button("/clock", &days.to_string(), label))
        .concat();
    let mut html = format!(
        "<section><h1>Fake Stripe</h1><p>Its clock says {}.</p><div class=\"row\">{clock}</div></section>",
        instant(world.now())
    );
    for (kind, heading, fields) in KINDS {
        html.push_str(&table(world, kind, heading, &fields));
    }
    html.push_str("<section><h2>Webhooks</h2><div class=\"scroll\"><table><tbody>");
    for delivery in world.deliveries.list().iter().rev().take(SHOWN) {
        let state = match (delivery.ended, delivery.status) {
            (true, 200..300) => "taken".to_owned(),
            (true, _) => "given up".to_owned(),
            (false, status) => format!("waits, answered with {status} after {} tries", delivery.tries),
        };
        html.push_str(&format!(
            "<tr><td><a href=\"/objects/{}\">{}</a></td><td>{state}</td></tr>",
            delivery.event,
            escaped(&delivery.event_type)
        ));
    }
    html.push_str("</tbody></table></div></section>");
    html
}

fn table(world: &World, kind: &str, heading: &str, fields: &[&str]) -> String {
    let all = world.objects.all(kind);
    if all.is_empty() {
        return String::new();
    }
    let names: String = fields.iter().map(|it| format!("<th>{}</th>", it.replace('_', " "))).collect();
    let mut html = format!(
        "<section><h2>{heading}</h2><div class=\"scroll\"><table><thead><tr><th>id</th>{names}<th class=\"n\">amount</th></tr></thead><tbody>"
    );
    for object in all.into_iter().take(SHOWN) {
        let id = escaped(text(object, "id"));
        html.push_str(&format!("<tr><td><a href=\"/objects/{id}\"><code>{id}</code></a></td>"));
        for field in fields {
            html.push_str(&format!("<td>{}</td>", escaped(&cell(&object[*field]))));
        }
        let amount = ["amount", "amount_total", "total"].iter().find_map(|it| object[*it].as_i64());
        let amount = amount.map_or_else(String::new, |it| money(it, text(object, "currency")));
        let pay = object["url"].as_str().filter(|_| kind == "checkout.session");
        let pay = pay.map_or_else(String::new, |url| format!("<a href=\"{}\">pay</a>", escaped(url)));
        html.push_str(&format!("<td class=\"n\">{amount} {pay}</td></tr>"));
    }
    html.push_str("</tbody></table></div></section>");
    html
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
