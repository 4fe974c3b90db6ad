//! The stand-in for Stripe is taken for Stripe: by Stripe's own clients, by types that were generated from its
//! specification, and in what it does by the clock.

mod clients;
mod faults;
mod oracle;
mod pages;
mod subscriptions;
mod webhooks;

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, http::StatusCode, routing::post};
use fake_stripe::{FakeStripe, SECRET_KEY};
use nest_tests::Double;
use reqwest::{Method, RequestBuilder, Url};
use serde_json::Value;
use std::sync::{Arc, Mutex};

/// A call as our own client makes it: a form, the key as a bearer token.
async fn call(stripe: &FakeStripe, method: Method, path: &str, form: &[(&str, &str)]) -> (u16, Value) {
    let (client, url) = (nest_tests::edge::client(), format!("{}{path}", stripe.url));
    let request = match method {
        Method::POST => posted(client.post(url), form),
        other => client.request(other, format!("{url}?{}", encoded(form))),
    };
    let answer = request.bearer_auth(SECRET_KEY).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// A request with a form.
fn posted(request: RequestBuilder, form: &[(&str, &str)]) -> RequestBuilder {
    request.header("content-type", "application/x-www-form-urlencoded").body(encoded(form))
}

fn encoded(form: &[(&str, &str)]) -> String {
    Url::parse_with_params("http://localhost/", form).unwrap().query().unwrap_or_default().to_owned()
}

/// The same, where nothing may go wrong.
async fn done(stripe: &FakeStripe, path: &str, form: &[(&str, &str)]) -> Value {
    let (status, body) = call(stripe, Method::POST, path, form).await;
    assert_eq!(status, 200, "{path}: {body}");
    body
}

fn id(object: &Value) -> &str {
    object["id"].as_str().unwrap()
}

/// A checkout session of a kind, for a customer.
async fn session(stripe: &FakeStripe, mode: &str, more: &[(&str, &str)]) -> Value {
    let mut form =
        vec![("mode", mode), ("success_url", "https://nest.example/ok"), ("cancel_url", "https://nest.example/no")];
    if mode == "payment" {
        form.extend([
            ("line_items[0][price_data][currency]", "usd"),
            ("line_items[0][price_data][unit_amount]", "2500"),
            ("line_items[0][price_data][product_data][name]", "Credit"),
            ("line_items[0][quantity]", "1"),
        ]);
    }
    form.extend(more);
    done(stripe, "/v1/checkout/sessions", &form).await
}

/// A price by the month, and one that a meter counts, at a tenth of a cent.
async fn plan(stripe: &FakeStripe) -> [String; 2] {
    let product = done(stripe, "/v1/products", &[("name", "Team")]).await;
    let meter = [("display_name", "Overage"), ("event_name", "overage"), ("default_aggregation[formula]", "sum")];
    let meter = done(stripe, "/v1/billing/meters", &meter).await;
    let base = [("product", id(&product)), ("currency", "usd"), ("recurring[interval]", "month")];
    let month = done(stripe, "/v1/prices", &[&base[..], &[("unit_amount", "2000")]].concat()).await;
    let metered =
        [("unit_amount_decimal", "0.1"), ("recurring[usage_type]", "metered"), ("recurring[meter]", id(&meter))];
    let metered = done(stripe, "/v1/prices", &[&base[..], &metered].concat()).await;
    [id(&month).to_owned(), id(&metered).to_owned()]
}

/// A customer who subscribed with a card by checkout; gives the ids of the customer and the subscription.
async fn subscriber(stripe: &FakeStripe, more: &[(&str, &str)]) -> [String; 2] {
    let [month, metered] = plan(stripe).await;
    let lines = [
        ("line_items[0][price]", month.as_str()),
        ("line_items[0][quantity]", "1"),
        ("line_items[1][price]", &metered),
    ];
    let session = session(stripe, "subscription", &[&lines[..], more].concat()).await;
    stripe.pay(id(&session)).unwrap();
    let session = stripe.object(id(&session));
    ["customer", "subscription"].map(|it| session[it].as_str().unwrap().to_owned())
}

/// An endpoint that keeps what it is told, and answers as a test says.
struct Endpoint {
    url: String,
    told: Arc<Mutex<Vec<Told>>>,
    answers: Arc<Mutex<Vec<u16>>>,
    _server: Double,
}

#[derive(Clone, Debug)]
struct Told {
    body: String,
    signature: String,
}

impl Told {
    fn event(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

type Kept = (Arc<Mutex<Vec<Told>>>, Arc<Mutex<Vec<u16>>>);

impl Endpoint {
    async fn start() -> Self {
        let (told, answers) = Kept::default();
        let router = Router::new().route("/hook", post(take)).with_state((told.clone(), answers.clone()));
        let server = Double::serve(router).await;
        Self { url: format!("{}/hook", server.url), told, answers, _server: server }
    }

    /// Answers the next ones with these statuses, and the rest with 200.
    fn answer(&self, statuses: &[u16]) {
        *self.answers.lock().unwrap() = statuses.iter().rev().copied().collect();
    }

    fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap().clone()
    }

    fn types(&self) -> Vec<String> {
        self.told().iter().map(|it| it.event()["type"].as_str().unwrap().to_owned()).collect()
    }
}

async fn take(State((told, answers)): State<Kept>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let signature = headers["stripe-signature"].to_str().unwrap().to_owned();
    told.lock().unwrap().push(Told { body: String::from_utf8(body.to_vec()).unwrap(), signature });
    let status = answers.lock().unwrap().pop().unwrap_or(200);
    StatusCode::from_u16(status).unwrap()
}

/// An error's code, or its type where it has none.
fn code(body: &Value) -> &str {
    body["error"]["code"].as_str().or(body["error"]["type"].as_str()).unwrap_or_default()
}
