// The official limiters of Upstash, against whatever UPSTASH_REDIS_REST_URL names: each lets through as many as it may.

import assert from "node:assert/strict";
import { Ratelimit } from "@upstash/ratelimit";
import { Redis } from "@upstash/redis";

const redis = Redis.fromEnv({ enableTelemetry: false, retry: false });

// So long that no test sees the end of one.
const WINDOW = "10000 d";

for (const [prefix, limiter] of [
  ["fixed", Ratelimit.fixedWindow(5, WINDOW)],
  ["sliding", Ratelimit.slidingWindow(5, WINDOW)],
  ["bucket", Ratelimit.tokenBucket(5, WINDOW, 5)],
]) {
  const limit = new Ratelimit({ redis, limiter, prefix, ephemeralCache: false, timeout: 0 });
  const passed = [];
  for (let call = 0; call < 8; call++) passed.push((await limit.limit("somebody")).success);
  assert.deepEqual(passed, [true, true, true, true, true, false, false, false], prefix);
  assert.equal((await limit.limit("somebody else")).remaining, 4, prefix);
  assert.equal((await limit.getRemaining("somebody else")).remaining, 4, prefix);
  await limit.resetUsedTokens("somebody");
  assert.ok((await limit.limit("somebody")).success, prefix);
}
