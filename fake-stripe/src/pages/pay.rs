//! The page of a checkout session.

use super::{
    form, gone,
    html::{escaped, money, narrow},
    on, page,
};
use crate::{
    api::cards::Card,
    object::{number, text},
    payer::Way,
    shared::Shared,
};
use axum::{
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use serde_json::Value;

const CARDS: [(Card, &str); 5] = [
    (Card::Good, "pays"),
    (Card::Declined, "is declined"),
    (Card::DeclinedLater, "pays now, and is declined later"),
    (Card::Empty, "has insufficient funds"),
    (Card::Authenticated, "pays now, and needs its holder later"),
];

pub(super) async fn show(State(shared): State<Shared>, Path(id): Path<String>) -> Response {
    let (session, email) = shared.act(|world| {
        let session = world.objects.find("checkout.session", &id).cloned();
        let customer =
            session.as_ref().and_then(|it| it["customer"].as_str()).map(|it| world.copy(it)).unwrap_or_default();
        let session = session.unwrap_or_default();
        let email =
            customer["email"].as_str().or(session["customer_email"].as_str()).unwrap_or("jenny.rosen@example.com");
        (session.clone(), email.to_owned())
    });
    match text(&session, "status") {
        "open" => page(StatusCode::OK, narrow("Pay", &body(&session, &email, None))),
        "" => gone("There is no such page to pay on."),
        ended => gone(&format!("This page is {ended}.")),
    }
}

pub(super) async fn act(State(shared): State<Shared>, Path(id): Path<String>, body: Bytes) -> Response {
    let form = form(&body);
    let session = shared.look(|world| world.objects.find("checkout.session", &id).cloned()).unwrap_or_default();
    if text(&session, "status") != "open" {
        return gone("This page can no longer be paid on.");
    }
    if form.text("act") == Some("cancel") {
        return on(session["cancel_url"].as_str().unwrap_or("/"));
    }
    let email = form.text("email").unwrap_or("jenny.rosen@example.com");
    let way = match (form.text("act"), form.text("way")) {
        (Some("fail"), _) => Way::By(Card::Declined),
        (_, Some("later")) => Way::Later,
        (_, way) => Way::By(way.and_then(Card::of_last4).unwrap_or(Card::Good)),
    };
    match shared.act(|world| world.pay(&id, way, email)) {
        Ok(()) => on(&text(&session, "success_url").replace("{CHECKOUT_SESSION_ID}", &id)),
        Err(refusal) => {
            let message = refusal.body()["error"]["message"].as_str().unwrap_or_default().to_owned();
            page(StatusCode::PAYMENT_REQUIRED, narrow("Pay", &self::body(&session, email, Some(&message))))
        }
    }
}

fn body(session: &Value, email: &str, wrong: Option<&str>) -> String {
    let currency = text(session, "currency");
    let mode = text(session, "mode");
    let (heading, label) = match mode {
        "payment" => ("Pay", "Pay"),
        "subscription" => ("Subscribe", "Subscribe"),
        _ => ("Save a card", "Save the card"),
    };
    let mut html = format!("<section><h1>{heading}</h1>");
    if mode != "setup" {
        html.push_str(&format!("<p class=\"sum\">{}</p>", money(number(session, "amount_total"), currency)));
        html.push_str("<table><tbody>");
        for line in session["_line_items"]["data"].as_array().into_iter().flatten() {
            html.push_str(&row(line, currency));
        }
        html.push_str("</tbody></table>");
        if let Some(days) = session["_subscription_data"]["trial_days"].as_i64() {
            html.push_str(&format!("<p>The first {days} days are free.</p>"));
        }
    }
    if let Some(wrong) = wrong {
        html.push_str(&format!("<p class=\"wrong\" role=\"alert\">{} Try another card.</p>", escaped(wrong)));
    }
    html.push_str(&format!(
        "<form method=\"post\"><label for=\"email\">Email</label><input id=\"email\" name=\"email\" type=\"email\" required value=\"{}\"><fieldset><legend>Pay with</legend>",
        escaped(email)
    ));
    for (at, (card, does)) in CARDS.iter().enumerate() {
        let (last4, checked) = (card.last4(), if at == 0 { " checked" } else { "" });
        html.push_str(&format!(
            "<label class=\"choice\"><input type=\"radio\" name=\"way\" value=\"{last4}\"{checked}><span>Visa •••• {last4} <span class=\"soft\">{does}</span></span></label>"
        ));
    }
    if mode == "payment" {
        html.push_str("<label class=\"choice\"><input type=\"radio\" name=\"way\" value=\"later\"><span>Bank debit <span class=\"soft\">says later whether it is paid</span></span></label>");
    }
    html.push_str(&format!(
        "</fieldset><div class=\"row\"><button class=\"act wide\" name=\"act\" value=\"pay\">{label}</button><button name=\"act\" value=\"fail\">Fail</button><button name=\"act\" value=\"cancel\" formnovalidate>Cancel</button></div></form></section>"
    ));
    html
}

fn row(line: &Value, currency: &str) -> String {
    let every = match (line["price"]["recurring"]["interval"].as_str(), line["quantity"].as_i64()) {
        (Some(interval), None) => format!(" <span class=\"soft\">by use, a {interval}</span>"),
        (Some(interval), Some(_)) => format!(" <span class=\"soft\">a {interval}</span>"),
        (None, _) => String::new(),
    };
    let quantity = line["quantity"].as_i64().filter(|it| *it != 1).map_or_else(String::new, |it| format!("{it} × "));
    let name = escaped(text(line, "description"));
    format!(
        "<tr><td>{quantity}{name}{every}</td><td class=\"n\">{}</td></tr>",
        money(number(line, "amount_total"), currency)
    )
}
