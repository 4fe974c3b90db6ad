// The official Node client of Stripe, against whatever STRIPE_BASE_URL names.

import assert from "node:assert/strict";
import Stripe from "stripe";

const { STRIPE_BASE_URL, STRIPE_SECRET_KEY, PAYLOAD, SIGNATURE, WEBHOOK_SECRET } = process.env;
const { hostname, port } = new URL(STRIPE_BASE_URL);
const options = { host: hostname, port, protocol: "http", maxNetworkRetries: 3, telemetry: false };
const stripe = new Stripe(STRIPE_SECRET_KEY, options);

const visit = async (url, fields) => {
  const body = new URLSearchParams({ email: "jenny@example.com", ...fields });
  const answer = await fetch(url, { method: "POST", body, redirect: "manual" });
  return answer.headers.get("location") ?? answer.text();
};

// The test lets the first answer get lost, and the second try fail: one customer all the same.
const customer = await stripe.customers.create({ email: "node@example.com", metadata: { org: "org_2" } });
assert.equal(customer.metadata.org, "org_2");

// One key, one answer; other parameters under it are refused.
const once = { idempotencyKey: "node-1" };
const first = await stripe.customers.create({ email: "once@example.com" }, once);
const again = await stripe.customers.create({ email: "once@example.com" }, once);
assert.equal(first.id, again.id);
assert.equal(again.lastResponse.headers["idempotent-replayed"], "true");
await assert.rejects(stripe.customers.create({ email: "twice@example.com" }, once), { type: "StripeIdempotencyError" });

// Every page of a list, forwards.
for (let number = 0; number < 12; number += 1) {
  await stripe.customers.create({ name: `Listed ${number}` });
}
const everybody = await stripe.customers.list({ limit: 5 }).autoPagingToArray({ limit: 100 });
assert.equal(everybody.length, 14);
assert.equal(everybody.at(-1).id, customer.id);

// Errors are of the kinds that the client knows.
await assert.rejects(stripe.customers.retrieve("cus_nobody"), { code: "resource_missing", statusCode: 404 });
await assert.rejects(new Stripe("sk_test_wrong", options).customers.list(), { type: "StripeAuthenticationError" });
const card = { amount: 1000, currency: "usd", customer: customer.id, confirm: true, off_session: true };
await assert.rejects(
  stripe.paymentIntents.create({ ...card, payment_method: "pm_card_authenticationRequired" }),
  { type: "StripeCardError", code: "authentication_required" },
);

// Paying once, at once and later.
const back = { success_url: "https://nest.example/ok?s={CHECKOUT_SESSION_ID}", cancel_url: "https://nest.example/no" };
const line = { price_data: { currency: "usd", unit_amount: 1000, product_data: { name: "Credit" } }, quantity: 3 };
for (const [way, status] of [["4242", "paid"], ["later", "unpaid"]]) {
  const open = await stripe.checkout.sessions.create({ mode: "payment", line_items: [line], ...back });
  assert.equal(open.amount_total, 3000);
  assert.equal(await visit(open.url, { act: "pay", way }), `https://nest.example/ok?s=${open.id}`);
  const paid = await stripe.checkout.sessions.retrieve(open.id, { expand: ["payment_intent"] });
  assert.deepEqual([paid.status, paid.payment_status], ["complete", status]);
  assert.equal(paid.payment_intent.status, way === "later" ? "processing" : "succeeded");
  assert.equal((await stripe.checkout.sessions.listLineItems(open.id)).data[0].quantity, 3);
}
const left = await stripe.checkout.sessions.create({ mode: "payment", line_items: [line], ...back });
assert.equal((await stripe.checkout.sessions.expire(left.id)).status, "expired");
await assert.rejects(stripe.checkout.sessions.expire(left.id), { type: "StripeInvalidRequestError" });

// A plan that is changed in the middle of its month, paid at once.
const product = await stripe.products.create({ name: "Team" });
const price = (unit_amount) =>
  stripe.prices.create({ product: product.id, currency: "usd", unit_amount, recurring: { interval: "month" } });
const [small, large] = [await price(1000), await price(5000)];
const method = await stripe.paymentMethods.attach("pm_card_visa", { customer: customer.id });
await stripe.customers.update(customer.id, { invoice_settings: { default_payment_method: method.id } });
const subscription = await stripe.subscriptions.create({ customer: customer.id, items: [{ price: small.id }] });
assert.equal(subscription.status, "active");
const changed = await stripe.subscriptions.update(subscription.id, {
  items: [{ id: subscription.items.data[0].id, price: large.id }],
  proration_behavior: "always_invoice",
  expand: ["latest_invoice"],
});
assert.equal(changed.items.data[0].price.id, large.id);
assert.equal(changed.latest_invoice.billing_reason, "subscription_update");
assert.ok(changed.latest_invoice.total > 3900 && changed.latest_invoice.total <= 4000, changed.latest_invoice.total);

// What was told carries a signature that holds.
const event = stripe.webhooks.constructEvent(PAYLOAD, SIGNATURE, WEBHOOK_SECRET);
assert.equal(event.type, "customer.created");
assert.throws(() => stripe.webhooks.constructEvent(`${PAYLOAD} `, SIGNATURE, WEBHOOK_SECRET), {
  type: "StripeSignatureVerificationError",
});
const endpoint = await stripe.webhookEndpoints.create({ url: "https://nest.example/hook", enabled_events: ["invoice.paid"] });
assert.match(endpoint.secret, /^whsec_/);
assert.equal((await stripe.webhookEndpoints.retrieve(endpoint.id)).secret, undefined);
assert.equal((await stripe.webhookEndpoints.del(endpoint.id)).deleted, true);
console.log(customer.id);
// The client leaves an answer unread after which it tries again, and that connection would stay open until it times out.
process.exit();
