// The meter of relayed streams counts as `EventCounter` in shared/src/openai/sse.rs does: the same cases, and the same
// stream however it is cut. Run by `cargo xtask ci`: node --test tests/workers

import assert from "node:assert/strict";
import { test } from "node:test";
import { Meter } from "../../edge/cloudflare/src/relay.js";

const TAIL_BYTES = 64;
const bytes = (text) => new TextEncoder().encode(text);

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
