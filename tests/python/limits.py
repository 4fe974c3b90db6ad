"""The official client at its limits: it waits as it is told, and asks no more where it is told not to."""

import threading
import time

import openai

answers = []


def note(response):
    """Notes when each answer came, and what it was."""
    answers.append((time.monotonic(), response.status_code))


def ask(**more):
    question = [{"role": "user", "content": "Count to 3"}]
    return client.chat.completions.create(model="llama-3.3-70b-versatile", messages=question, **more)


def statuses_and_waits():
    """What came since the last time, and the seconds between."""
    times, statuses = [it[0] for it in answers], [it[1] for it in answers]
    answers.clear()
    return statuses, [later - earlier for earlier, later in zip(times, times[1:])]


client = openai.OpenAI(max_retries=2, http_client=openai.DefaultHttpxClient(event_hooks={"response": [note]}))

# One request at a time is all that the key may have, and this is it.
stream = ask(stream=True)
next(iter(stream))
assert statuses_and_waits()[0] == [200]

try:
    ask()
except openai.RateLimitError as error:
    assert error.code == "rate_limit_exceeded" and error.type == "rate_limit_error", error
    assert error.response.headers["retry-after"] == "1"
else:
    raise AssertionError("there was no place")
statuses, waits = statuses_and_waits()
assert statuses == [429, 429, 429], statuses
assert all(1.0 <= it < 3.0 for it in waits), waits

# A place becomes free while it waits.
threading.Timer(0.3, stream.close).start()
assert ask().choices[0].message.content
statuses, waits = statuses_and_waits()
assert statuses[-1] == 200 and set(statuses[:-1]) == {429}, statuses
assert all(1.0 <= it < 3.0 for it in waits), waits

# No waiting makes room for so many tokens.
try:
    ask(max_tokens=60_000)
except openai.RateLimitError as error:
    assert error.code == "tokens_exceed_limit", error
else:
    raise AssertionError("that is more than the limit")
assert statuses_and_waits()[0] == [429]
print("ok")
