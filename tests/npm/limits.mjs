// The official client at its limits: it waits as it is told, and asks no more where it is told not to.

import assert from "node:assert/strict";
import OpenAI from "openai";

const answers = [];

const client = new OpenAI({
  maxRetries: 2,
  fetch: async (url, options) => {
    const response = await fetch(url, options);
    answers.push({ at: performance.now(), status: response.status });
    return response;
  },
});

function ask(more) {
  const messages = [{ role: "user", content: "Count to 3" }];
  return client.chat.completions.create({ model: "llama-3.3-70b-versatile", messages, ...more });
}

// What came since the last time, and the milliseconds between.
function statusesAndWaits() {
  const seen = answers.splice(0);
  return [seen.map((it) => it.status), seen.slice(1).map((it, at) => it.at - seen[at].at)];
}

function assertWaits(waits) {
  assert.ok(waits.every((it) => it >= 990 && it < 3_000), waits.join());
}

// One request at a time is all that the key may have, and this is it.
const stream = await ask({ stream: true });
await stream[Symbol.asyncIterator]().next();
assert.deepEqual(statusesAndWaits()[0], [200]);

await assert.rejects(ask(), (error) => {
  assert.ok(error instanceof OpenAI.RateLimitError, error);
  assert.equal(error.code, "rate_limit_exceeded");
  assert.equal(error.headers.get("retry-after"), "1");
  return true;
});
let [statuses, waits] = statusesAndWaits();
assert.deepEqual(statuses, [429, 429, 429]);
assertWaits(waits);

// A place becomes free while it waits.
setTimeout(() => stream.controller.abort(), 300);
assert.ok((await ask()).choices[0].message.content);
[statuses, waits] = statusesAndWaits();
assert.equal(statuses.at(-1), 200);
assert.ok(statuses.slice(0, -1).every((it) => it === 429), statuses.join());
assertWaits(waits);

// No waiting makes room for so many tokens.
await assert.rejects(ask({ max_tokens: 60_000 }), (error) => error.code === "tokens_exceed_limit");
assert.deepEqual(statusesAndWaits()[0], [429]);
console.log("ok");
