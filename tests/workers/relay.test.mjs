// The meter of relayed streams counts as `EventCounter` in shared/src/openai/sse.rs does: the same cases, and the same
// stream however it is cut. And a stream ends once, by whoever ends it first; what workerd's own streams make of that,
// tests/it/host.rs asks. Run by `cargo xtask ci`: node --test tests/workers

import assert from "node:assert/strict";
import { test } from "node:test";
import { Meter, pass } from "../../edge/cloudflare/src/relay.js";

const TAIL_BYTES = 64;
const DRAIN_BYTES = 1_000;
const bytes = (text) => new TextEncoder().encode(text);
const text = (bytes) => new TextDecoder().decode(bytes);

// Workers' own, which passes bytes by itself.
globalThis.IdentityTransformStream = TransformStream;

function metered(pieces) {
  const meter = new Meter(TAIL_BYTES);
  pieces.forEach((piece) => meter.push(piece));
  return meter;
}

/** `whole` in pieces of 1 to 30 bytes, the same for the same `seed`. */
function cut(whole, seed) {
  const pieces = [];
  let state = seed;
  for (let at = 0; at < whole.length; ) {
    state = (state * 1103515245 + 12345) % 2147483648;
    const size = 1 + (state >> 16) % 30;
    pieces.push(whole.subarray(at, at + size));
    at += size;
  }
  return pieces;
}

test("comments and blank lines are no events", () => {
  for (const [stream, events] of [
    [": ping\n\n\n\ndata: 1\n\nevent: x\ndata: 2\ndata: 3\r\n\r\ndata: unended\n", 2],
    ["data: 1\n\ndata: [DONE]\n\n", 2],
    ["event: ping\n\n", 0],
    ["\r\n\r\n", 0],
    ["", 0],
  ]) {
    assert.equal(metered([bytes(stream)]).events, events, JSON.stringify(stream));
  }
});

test("events are counted however the stream is cut", () => {
  for (let seed = 1; seed <= 200; seed += 1) {
    const events = seed % 40;
    const stream = bytes('data: {"x":1}\n\n'.repeat(events));
    assert.equal(metered(cut(stream, seed)).events, events);
  }
});

test("the tail is the end of all that passed", () => {
  for (let length = 0; length < 400; length += 7) {
    const whole = Uint8Array.from({ length }, (_, at) => at);
    const tail = metered(cut(whole, length + 1)).tail();
    assert.deepEqual(tail, whole.subarray(Math.max(0, length - TAIL_BYTES)));
  }
});

/** A stream of `chunks` from an upstream that then says nothing, until it ends or its call is aborted. */
function relayed(chunks, drainMs = 0) {
  const [call, client, cut] = [new AbortController(), new AbortController(), new AbortController()];
  const [ends, counts] = [[], []];
  let upstream;
  const body = new ReadableStream({
    type: "bytes",
    start(controller) {
      upstream = controller;
      chunks.forEach((chunk) => controller.enqueue(bytes(chunk)));
      call.signal.addEventListener("abort", () => controller.error(new Error("aborted")));
    },
  });
  const ended = (cause, _, events) => {
    ends.push(cause);
    counts.push(events);
    return bytes(`<${cause}>`);
  };
  const readable = pass({ body }, call, client.signal, cut.signal, 60_000, drainMs, DRAIN_BYTES, TAIL_BYTES, ended);
  const more = (chunk) => upstream.enqueue(bytes(chunk));
  return { call, client, cut, ends, counts, reader: readable.getReader(), more, close: () => upstream.close() };
}

test("a stream that is cut ends its call and says a last word", async () => {
  const { call, cut, ends, reader } = relayed(["data: 1\n\n"]);
  assert.equal(text((await reader.read()).value), "data: 1\n\n");
  cut.abort();
  assert.ok(call.signal.aborted);
  assert.equal(text((await reader.read()).value), "<4>");
  assert.ok((await reader.read()).done);
  assert.deepEqual(ends, [4]);
});

test("a stream that has ended cannot be cut, nor one that is cut be ended by its client", async () => {
  const over = relayed([]);
  over.close();
  assert.equal(text((await over.reader.read()).value), "<0>");
  over.cut.abort();
  assert.ok((await over.reader.read()).done);
  assert.deepEqual(over.ends, [0]);

  const { client, cut, ends, reader } = relayed([]);
  cut.abort();
  client.abort();
  assert.equal(text((await reader.read()).value), "<4>");
  assert.deepEqual(ends, [4]);
});

/** Waits until `ends` has an end. */
async function ended(ends) {
  while (ends.length === 0) {
    await new Promise((next) => setTimeout(next, 5));
  }
}

test("behind a client that left, the upstream is heard to its end, and reported once", async () => {
  const { call, client, counts, ends, more, close, reader } = relayed(["data: 1\n\n"], 60_000);
  assert.equal(text((await reader.read()).value), "data: 1\n\n");
  client.abort();
  assert.ok(!call.signal.aborted, "the call goes on");
  more("data: 2\n\n");
  more("data: 3\n\n");
  close();
  await ended(ends);
  await new Promise((next) => setTimeout(next, 20));
  assert.deepEqual([ends, counts], [[3], [3]]);
});

test("an upstream that goes on for too long, or says too much, is left", async () => {
  const slow = relayed(["data: 1\n\n"], 30);
  slow.client.abort();
  await ended(slow.ends);
  assert.ok(slow.call.signal.aborted);
  assert.deepEqual([slow.ends, slow.counts], [[3], [1]]);

  const long = relayed(["data: 1\n\n"], 60_000);
  long.client.abort();
  long.more("x".repeat(2 * DRAIN_BYTES));
  await ended(long.ends);
  assert.ok(long.call.signal.aborted);
});

test("without a drain, the call ends with its client", async () => {
  const { call, client, ends } = relayed(["data: 1\n\n"]);
  client.abort();
  assert.ok(call.signal.aborted);
  await ended(ends);
  assert.deepEqual(ends, [3]);
});
