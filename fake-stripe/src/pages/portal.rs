//! The portal's page, and an invoice's.

use super::{
    form, gone,
    html::{button, document, escaped, money, narrow},
    on, page,
};
use crate::{
    api::cards::Card,
    calendar::date,
    object::{number, text},
    shared::Shared,
    subscriptions::period,
    world::World,
};
use axum::{
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use serde_json::{Value, json};

pub(super) async fn show(State(shared): State<Shared>, Path(secret): Path<String>) -> Response {
    let html = shared.act(|world| {
        let session = session(world, &secret)?;
        Some(body(world, &session))
    });
    html.map_or_else(|| gone("This link has expired."), |html| page(StatusCode::OK, document("Billing", &html)))
}

pub(super) async fn act(State(shared): State<Shared>, Path(secret): Path<String>, body: Bytes) -> Response {
    let form = form(&body);
    let act = form.text("act").unwrap_or_default().to_owned();
    let (verb, id) = act.split_once(' ').unwrap_or((&act, ""));
    let done = shared.act(|world| {
        let session = session(world, &secret)?;
        let customer = text(&session, "customer").to_owned();
        match verb {
            "card" => {
                let method = world.new_card(Card::of_last4(id)?);
                world.attach(&method, &customer).ok()?;
                world.default_card(&customer, &method);
                for subscription in theirs(world, "subscription", &customer) {
                    world.set(text(&subscription, "id"), json!({ "default_payment_method": method }));
                }
                world.emit("customer.updated", &customer);
            }
            // Only their own subscriptions.
            "cancel" | "keep" if world.copy(id)["customer"] == customer.as_str() => {
                let ends = verb == "cancel";
                let (_, end) = period(&world.copy(id));
                let fields = json!({
                    "cancel_at_period_end": ends,
                    "cancel_at": if ends { Value::from(end) } else { Value::Null },
                    "canceled_at": if ends { Value::from(world.now()) } else { Value::Null },
                });
                world.update(id, fields, "customer.subscription.updated");
            }
            _ => return None,
        }
        Some(())
    });
    done.map_or_else(|| gone("That is not possible here."), |()| on(&format!("/p/session/{secret}")))
}

pub(super) async fn invoice(State(shared): State<Shared>, Path(id): Path<String>) -> Response {
    let Some(invoice) = shared.look(|world| world.objects.find("invoice", &id).cloned()) else {
        return gone("There is no such invoice.");
    };
    let currency = text(&invoice, "currency");
    let mut html = format!(
        "<section><h1>Invoice {}</h1><p class=\"sum\">{}</p><p class=\"soft\">{}, {}</p><table><tbody>",
        escaped(text(&invoice, "number")),
        money(number(&invoice, "amount_due"), currency),
        date(number(&invoice, "created")),
        escaped(text(&invoice, "status"))
    );
    for line in invoice["lines"]["data"].as_array().into_iter().flatten() {
        let amount = money(number(line, "amount"), currency);
        html.push_str(&format!(
            "<tr><td>{}</td><td class=\"n\">{amount}</td></tr>",
            escaped(text(line, "description"))
        ));
    }
    html.push_str("</tbody></table></section>");
    page(StatusCode::OK, narrow("Invoice", &html))
}

/// The portal's session of this link, which is good for an hour.
fn session(world: &World, secret: &str) -> Option<Value> {
    let fits = |it: &&Value| it["_portal"] == secret && number(it, "created") > world.now() - 3_600;
    world.objects.all("billing_portal.session").into_iter().find(fits).cloned()
}

fn theirs(world: &World, kind: &str, customer: &str) -> Vec<Value> {
    world.objects.all(kind).into_iter().filter(|it| it["customer"] == customer).cloned().collect()
}

fn body(world: &World, session: &Value) -> String {
    let customer = text(session, "customer");
    let here = format!("/p/session/{}", text(session, "_portal"));
    let mut html = String::from("<section><h1>Your subscriptions</h1>");
    let subscriptions = theirs(world, "subscription", customer);
    if subscriptions.is_empty() {
        html.push_str("<p class=\"soft\">None.</p>");
    }
    for subscription in &subscriptions {
        let (_, end) = period(subscription);
        let (id, status) = (text(subscription, "id"), text(subscription, "status"));
        let product = text(&subscription["items"]["data"][0]["price"], "product").to_owned();
        html.push_str(&format!(
            "<h2>{}</h2><p>{status}, until {}</p>",
            escaped(text(&world.copy(&product), "name")),
            date(end)
        ));
        if status != "canceled" {
            let (verb, label) = if subscription["cancel_at_period_end"] == true {
                ("keep", "Keep it")
            } else {
                ("cancel", "Cancel at the period’s end")
            };
            html.push_str(&format!("<div class=\"row\">{}</div>", button(&here, &format!("{verb} {id}"), label)));
        }
    }
    html.push_str("</section><section><h2>Your card</h2>");
    let method = world.copy(customer)["invoice_settings"]["default_payment_method"].clone();
    let card = method.as_str().map(|it| world.copy(it)["card"]["last4"].clone()).unwrap_or_default();
    html.push_str(&format!(
        "<p>{}</p><div class=\"row\">",
        card.as_str().map_or("None by default.".to_owned(), |it| format!("Visa •••• {it}"))
    ));
    for card in [Card::Good, Card::DeclinedLater] {
        html.push_str(&button(&here, &format!("card {}", card.last4()), &format!("Use Visa •••• {}", card.last4())));
    }
    html.push_str("</div></section><section><h2>Your invoices</h2><div class=\"scroll\"><table><tbody>");
    for invoice in theirs(world, "invoice", customer) {
        let (id, currency) = (text(&invoice, "id"), text(&invoice, "currency"));
        html.push_str(&format!(
            "<tr><td>{}</td><td><a href=\"/i/{id}\">{}</a></td><td>{}</td><td class=\"n\">{}</td></tr>",
            date(number(&invoice, "created")),
            escaped(text(&invoice, "number")),
            text(&invoice, "status"),
            money(number(&invoice, "total"), currency)
        ));
    }
    html.push_str("</tbody></table></div></section>");
    if let Some(back) = session["return_url"].as_str() {
        html.push_str(&format!("<p><a href=\"{}\">Back</a></p>", escaped(back)));
    }
    html
}
