// An official client at its limits: it waits as it is told, and asks no more where it is told not to.
//
// LIBRARY says which one. Those of Groq and Anthropic have paths of their own, so they are asked for ours by the method
// that all of theirs go through, and which retries.

import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import Groq from "groq-sdk";
import OpenAI from "openai";

const QUESTION = { model: "llama-3.3-70b-versatile", messages: [{ role: "user", content: "Count to 3" }] };

const Library = { openai: OpenAI, groq: Groq, anthropic: Anthropic }[process.env.LIBRARY];
const answers = [];

const client = new Library({
  maxRetries: 2,
  fetch: async (url, options) => {
    const response = await fetch(url, options);
    answers.push({ at: performance.now(), status: response.status });
    return response;
  },
});

function ask(more) {
  const body = { ...QUESTION, ...more };
  return Library === OpenAI ? client.chat.completions.create(body) : client.post("/v1/chat/completions", { body });
}

// What came since the last time, and the milliseconds between.
function statusesAndWaits() {
  const seen = answers.splice(0);
  return [seen.map((it) => it.status), seen.slice(1).map((it, at) => it.at - seen[at].at)];
}

function assertWaits(waits) {
  assert.ok(waits.every((it) => it >= 990 && it < 3_000), waits.join());
}

// Each library keeps what our answer said of the error at a place of its own.
function code({ error }) {
  return (error.error ?? error).code;
}

// One request at a time is all that the key may have, and this is it.
const stream = await new OpenAI().chat.completions.create({ ...QUESTION, stream: true });
await stream[Symbol.asyncIterator]().next();

await assert.rejects(ask(), (error) => {
  assert.ok(error instanceof Library.RateLimitError, error);
  assert.equal(code(error), "rate_limit_exceeded");
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
assert.ok(statuses.length > 1, "it was refused first");
assert.equal(statuses.at(-1), 200);
assert.ok(statuses.slice(0, -1).every((it) => it === 429), statuses.join());
assertWaits(waits);

// No waiting makes room for so many tokens.
await assert.rejects(ask({ max_tokens: 60_000 }), (error) => code(error) === "tokens_exceed_limit");
assert.deepEqual(statusesAndWaits()[0], [429]);
console.log("ok");
