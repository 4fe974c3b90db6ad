// Signs each of CASES as the official Node library of Stripe does; prints a header a line.

import Stripe from "stripe";

const { webhooks } = new Stripe("sk_test_1");
for (const { at, payload, secret } of JSON.parse(process.env.CASES)) {
  console.log(webhooks.generateTestHeaderString({ timestamp: at, payload, secret }));
}
