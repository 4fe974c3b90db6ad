"""The official Python client of Stripe, against whatever STRIPE_BASE_URL names."""

import os

import requests
import stripe

base = os.environ["STRIPE_BASE_URL"]
secret = os.environ["STRIPE_SECRET_KEY"]
client = stripe.StripeClient(secret, base_addresses={"api": base}, max_network_retries=3)


def refused(call, kind=stripe.InvalidRequestError):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError("it is not refused")


def visit(url, **fields):
    """What a browser sends from a page's form; gives where it is sent to."""
    page = requests.get(url, timeout=10)
    assert page.status_code == 200, page.text
    answer = requests.post(url, data={"email": "jenny@example.com", **fields}, allow_redirects=False, timeout=10)
    return answer.headers.get("location", answer.text)


# The test lets the first answer get lost, and the second try fail: one customer all the same.
customer = client.v1.customers.create({"email": "python@example.com", "metadata": {"org": "org_1"}})
assert customer.id.startswith("cus_") and customer.metadata["org"] == "org_1"
assert [it.id for it in client.v1.customers.list({"email": "python@example.com"}).data] == [customer.id]

# One key, one answer; other parameters under it are refused.
options = {"idempotency_key": "python-1"}
first = client.v1.customers.create({"email": "once@example.com"}, options)
again = client.v1.customers.create({"email": "once@example.com"}, options)
assert first.id == again.id and again.last_response.headers["idempotent-replayed"] == "true"
error = refused(lambda: client.v1.customers.create({"email": "twice@example.com"}, options), stripe.IdempotencyError)
assert error.http_status == 400, error

# Every page of a list.
for number in range(25):
    client.v1.customers.create({"email": f"{number}@list.example.com", "name": "Listed"})
everybody = list(client.v1.customers.list({"limit": 7}).auto_paging_iter())
assert len(everybody) == 27 and len({it.id for it in everybody}) == 27
assert everybody[-1].id == customer.id

# Errors are of the kinds that the client knows.
error = refused(lambda: client.v1.customers.retrieve("cus_nobody"))
assert error.code == "resource_missing" and error.http_status == 404 and error.param == "id"
assert refused(lambda: client.v1.customers.create({"emial": "x"})).code == "parameter_unknown"
stranger = stripe.StripeClient("sk_test_wrong", base_addresses={"api": base})
refused(lambda: stranger.v1.customers.list(), stripe.AuthenticationError)

# Paying once.
back = {"success_url": "https://nest.example/ok?session={CHECKOUT_SESSION_ID}", "cancel_url": "https://nest.example/no"}
session = client.v1.checkout.sessions.create(
    {
        "mode": "payment",
        "customer": customer.id,
        "client_reference_id": "org_1",
        "line_items": [
            {"price_data": {"currency": "usd", "unit_amount": 2500, "product_data": {"name": "Credit"}}, "quantity": 1}
        ],
        "payment_intent_data": {"setup_future_usage": "off_session", "metadata": {"org": "org_1"}},
        **back,
    }
)
assert (session.status, session.payment_status, session.amount_total) == ("open", "unpaid", 2500)
assert visit(session.url, act="cancel") == back["cancel_url"]
assert "Your card was declined." in visit(session.url, act="fail")
assert visit(session.url, act="pay", way="4242") == f"https://nest.example/ok?session={session.id}"
session = client.v1.checkout.sessions.retrieve(session.id, {"expand": ["payment_intent.latest_charge", "line_items"]})
assert (session.status, session.payment_status) == ("complete", "paid")
charge = session.payment_intent.latest_charge
assert (charge.amount, charge.paid, charge.metadata["org"]) == (2500, True, "org_1")
assert session.line_items.data[0].description == "Credit"

# Topping up without its holder, with the card that they left.
card = session.payment_intent.payment_method
top_up = {"amount": 5000, "currency": "usd", "customer": customer.id, "off_session": True, "confirm": True}
intent = client.v1.payment_intents.create({**top_up, "payment_method": card})
assert intent.status == "succeeded"
error = refused(
    lambda: client.v1.payment_intents.create({**top_up, "payment_method": "pm_card_chargeCustomerFail"}), stripe.CardError
)
assert (error.code, error.http_status, error.error.payment_intent.status) == ("card_declined", 402, "requires_payment_method")

# Giving back.
refund = client.v1.refunds.create({"payment_intent": intent.id, "amount": 2000})
assert refund.status == "succeeded" and client.v1.charges.retrieve(intent.latest_charge).amount_refunded == 2000
error = refused(lambda: client.v1.refunds.create({"payment_intent": intent.id, "amount": 4000}))
assert "greater than unrefunded amount" in str(error)

# Subscribing: a plan and a meter.
product = client.v1.products.create({"name": "Team"})
meter = client.v1.billing.meters.create(
    {"display_name": "Overage", "event_name": "overage", "default_aggregation": {"formula": "sum"}}
)
recurring = {"interval": "month"}
plan = client.v1.prices.create(
    {"product": product.id, "currency": "usd", "unit_amount": 2000, "recurring": recurring, "lookup_key": "team_month"}
)
overage = client.v1.prices.create(
    {
        "product": product.id,
        "currency": "usd",
        "unit_amount_decimal": "0.1",
        "recurring": {**recurring, "usage_type": "metered", "meter": meter.id},
    }
)
assert client.v1.prices.list({"lookup_keys": ["team_month"]}).data[0].id == plan.id
session = client.v1.checkout.sessions.create(
    {
        "mode": "subscription",
        "customer": customer.id,
        "line_items": [{"price": plan.id, "quantity": 1}, {"price": overage.id}],
        "subscription_data": {"metadata": {"org": "org_1"}},
        **back,
    }
)
visit(session.url, act="pay", way="4242")
session = client.v1.checkout.sessions.retrieve(session.id, {"expand": ["subscription.latest_invoice.payments"]})
subscription = session.subscription
assert subscription.status == "active" and subscription.metadata["org"] == "org_1"
# The client's own `items` is a method of dictionaries.
item = subscription["items"].data[0]
assert item.price.id == plan.id and item.current_period_end > item.current_period_start
invoice = subscription.latest_invoice
assert (invoice.status, invoice.amount_paid) == ("paid", 2000)
assert invoice.parent.subscription_details.subscription == subscription.id
assert invoice.payments.data[0].payment.payment_intent.startswith("pi_")
event = {"event_name": "overage", "identifier": "e-1", "payload": {"stripe_customer_id": customer.id, "value": "1234"}}
client.v1.billing.meter_events.create(event)
assert "already exists" in str(refused(lambda: client.v1.billing.meter_events.create(event)))
ending = client.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
assert ending.cancel_at == item.current_period_end
assert client.v1.subscriptions.cancel(subscription.id).status == "canceled"
assert client.v1.subscriptions.list({"customer": customer.id}).data == []
assert len(client.v1.subscriptions.list({"customer": customer.id, "status": "all"}).data) == 1

# The portal needs to be configured once.
assert "default configuration" in str(refused(lambda: client.v1.billing_portal.sessions.create({"customer": customer.id})))
client.v1.billing_portal.configurations.create({"features": {"invoice_history": {"enabled": True}}})
portal = client.v1.billing_portal.sessions.create({"customer": customer.id, "return_url": "https://nest.example/billing"})
assert "Your invoices" in requests.get(portal.url, timeout=10).text

# What was told can be asked for, and its signature holds.
payload, signature = os.environ["PAYLOAD"].encode(), os.environ["SIGNATURE"]
event = stripe.Webhook.construct_event(payload, signature, os.environ["WEBHOOK_SECRET"])
assert event.type == "customer.created" and event.data.object.email == "told@example.com"
assert client.v1.events.retrieve(event.id).data.object.id == event.data.object.id
refused(
    lambda: stripe.Webhook.construct_event(payload + b" ", signature, os.environ["WEBHOOK_SECRET"]),
    stripe.SignatureVerificationError,
)
types = {it.type for it in client.v1.events.list({"limit": 100}).auto_paging_iter()}
for name in ("checkout.session.completed", "invoice.paid", "charge.refunded", "customer.subscription.deleted"):
    assert name in types, name
print(customer.id)
