// The official client of Upstash Redis, against whatever UPSTASH_REDIS_REST_URL names: every kind of call and of answer.

import assert from "node:assert/strict";
import { Redis } from "@upstash/redis";

const { UPSTASH_REDIS_REST_URL: url, UPSTASH_REDIS_REST_TOKEN: token, READ_ONLY_TOKEN } = process.env;
const options = { url, enableTelemetry: false, retry: false };

for (const more of [{}, { responseEncoding: false }, { enableAutoPipelining: false }]) {
  const redis = new Redis({ ...options, token, ...more });
  await redis.flushdb();

  // Texts, numbers, objects, nothing.
  assert.equal(await redis.ping(), "PONG");
  assert.equal(await redis.set("text", "Grüße 👋"), "OK");
  assert.equal(await redis.get("text"), "Grüße 👋");
  await redis.set("okay", "OK");
  assert.equal(await redis.get("okay"), "OK");
  await redis.set("object", { a: [1, "two", null] });
  assert.deepEqual(await redis.get("object"), { a: [1, "two", null] });
  assert.equal(await redis.get("nothing"), null);
  assert.equal(await redis.incrby("number", 41), 41);
  assert.deepEqual(await redis.mget("text", "nothing", "number"), ["Grüße 👋", null, 41]);
  await redis.hset("hash", { field: "value", other: 2 });
  assert.deepEqual(await redis.hgetall("hash"), { field: "value", other: 2 });
  assert.equal(await redis.set("once", "a", { nx: true, px: 5_000 }), "OK");
  assert.equal(await redis.set("once", "b", { nx: true }), null);
  assert.ok((await redis.pttl("once")) > 0);
  const [cursor, keys] = await redis.scan("0", { count: 1_000 });
  assert.equal(Number(cursor), 0);
  assert.ok(keys.includes("hash"));

  // Several in one call; with a transaction all or none.
  const pipeline = redis.pipeline().incr("piped").get("text").incr("text").incr("piped");
  await assert.rejects(pipeline.exec(), /not an integer/);
  assert.equal(await redis.get("piped"), 2);
  const kept = await redis.pipeline().get("piped").incr("text").exec({ keepErrors: true });
  assert.equal(kept[0].result, 2);
  assert.match(kept[1].error, /not an integer/);
  assert.deepEqual(await redis.multi().incr("piped").incr("piped").exec(), [3, 4]);
  assert.deepEqual(await Promise.all(["text", "number"].map((key) => redis.get(key))), ["Grüße 👋", 41]);

  // Scripts, by text and by name.
  const script = "return {KEYS[1], ARGV[1], 7, false}";
  assert.deepEqual(await redis.eval(script, ["k"], ["v"]), ["k", "v", 7, null]);
  const name = await redis.scriptLoad(script);
  assert.deepEqual(await redis.evalsha(name, ["k"], ["w"]), ["k", "w", 7, null]);
  await assert.rejects(redis.evalsha("0".repeat(40), [], []), /NOSCRIPT/);
  const sum = redis.createScript("return ARGV[1] + ARGV[2]");
  assert.equal(await sum.exec([], ["2", "3"]), 5);

  // Refusals.
  await assert.rejects(redis.lpush("text", "x"), /WRONGTYPE/);
  await redis.set("from-javascript", "Grüße");
}

const reader = new Redis({ ...options, token: READ_ONLY_TOKEN });
assert.equal(await reader.get("from-javascript"), "Grüße");
await assert.rejects(reader.set("from-javascript", "no"), /NOPERM/);
await assert.rejects(new Redis({ ...options, token: "wrong" }).get("text"), /WRONGPASS/);
