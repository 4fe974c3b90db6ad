"""The official Python client of Upstash Redis, against whatever UPSTASH_REDIS_REST_URL names."""

import os

from upstash_redis import Redis
from upstash_redis.errors import UpstashError


def refused(call) -> str:
    try:
        call()
    except UpstashError as error:
        return str(error)
    raise AssertionError("it is not refused")


for encoding in ("base64", None):
    redis = Redis.from_env(rest_encoding=encoding, allow_telemetry=False, rest_retries=0)
    redis.flushdb()
    assert redis.ping() == "PONG"
    assert redis.set("text", "Grüße 👋") is True
    assert redis.get("text") == "Grüße 👋"
    assert redis.set("okay", "OK") is True
    assert redis.get("okay") == "OK"
    assert redis.get("nothing") is None
    assert redis.incrby("number", 41) == 41
    assert redis.mget("text", "nothing", "number") == ["Grüße 👋", None, "41"]
    redis.hset("hash", values={"field": "value"})
    assert redis.hgetall("hash") == {"field": "value"}
    assert redis.set("once", "a", nx=True, px=5_000) is True
    assert not redis.set("once", "b", nx=True)

    pipeline = redis.pipeline()
    pipeline.incr("piped")
    pipeline.get("text")
    assert pipeline.exec() == [1, "Grüße 👋"]
    transaction = redis.multi()
    transaction.incr("piped")
    transaction.incr("piped")
    assert transaction.exec() == [2, 3]

    script = "return {KEYS[1], ARGV[1], 7}"
    assert redis.eval(script, keys=["k"], args=["v"]) == ["k", "v", 7]
    assert redis.evalsha(redis.script_load(script), keys=["k"], args=["w"]) == ["k", "w", 7]

    assert "WRONGTYPE" in refused(lambda: redis.lpush("text", "x"))
    redis.set("from-python", "Grüße")

stranger = Redis(url=os.environ["UPSTASH_REDIS_REST_URL"], token="wrong", allow_telemetry=False)
assert "WRONGPASS" in refused(lambda: stranger.get("text"))
