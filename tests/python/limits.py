"""An official client at its limits: it waits as it is told, and asks no more where it is told not to.

LIBRARY says which one. Those of Groq and Anthropic have paths of their own, so they are asked for ours by the method that
all of theirs go through, and which retries.
"""

import os
import threading
import time

import anthropic
import groq
import openai

LIBRARIES = {
    "openai": (openai, openai.OpenAI),
    "groq": (groq, groq.Groq),
    "anthropic": (anthropic, anthropic.Anthropic),
}

QUESTION = {"model": "llama-3.3-70b-versatile", "messages": [{"role": "user", "content": "Count to 3"}]}

answers = []


def note(response):
    """Notes when each answer came, and what it was."""
    answers.append((time.monotonic(), response.status_code))


def ask(**more):
    if library is openai:
        return client.chat.completions.create(**QUESTION, **more).model_dump()
    return client.post("/v1/chat/completions", cast_to=object, body={**QUESTION, **more})


def refusal(**more):
    """The error that `ask` ends with."""
    try:
        ask(**more)
    except library.RateLimitError as error:
        return error
    raise AssertionError("it was let in")


def statuses_and_waits():
    """What came since the last time, and the seconds between."""
    times, statuses = [it[0] for it in answers], [it[1] for it in answers]
    answers.clear()
    return statuses, [later - earlier for earlier, later in zip(times, times[1:])]


library, make = LIBRARIES[os.environ["LIBRARY"]]
client = make(max_retries=2, http_client=library.DefaultHttpxClient(event_hooks={"response": [note]}))

# One request at a time is all that the key may have, and this is it.
stream = openai.OpenAI().chat.completions.create(**QUESTION, stream=True)
next(iter(stream))

error = refusal()
told = error.response.json()["error"]
assert told["code"] == "rate_limit_exceeded" and told["type"] == "rate_limit_error", told
assert error.response.headers["retry-after"] == "1"
statuses, waits = statuses_and_waits()
assert statuses == [429, 429, 429], statuses
assert all(1.0 <= it < 3.0 for it in waits), waits

# A place becomes free while it waits.
threading.Timer(0.3, stream.close).start()
assert ask()["choices"][0]["message"]["content"]
statuses, waits = statuses_and_waits()
assert len(statuses) > 1 and statuses[-1] == 200 and set(statuses[:-1]) == {429}, statuses
assert all(1.0 <= it < 3.0 for it in waits), waits

# No waiting makes room for so many tokens.
assert refusal(max_tokens=60_000).response.json()["error"]["code"] == "tokens_exceed_limit"
assert statuses_and_waits()[0] == [429]
print("ok")
