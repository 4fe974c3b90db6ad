"""The official client against an edge: only base URL and key differ from what its users have."""

import openai

CHAT, EMBEDDING = "smollm2-135m-instruct", "all-minilm-l6-v2"
client = openai.OpenAI(max_retries=0, timeout=60)

models = [model.id for model in client.models.list()]
assert {CHAT, EMBEDDING} <= set(models), models
assert client.models.retrieve(CHAT).id == CHAT

question = [{"role": "user", "content": "What is the capital of France? Answer in one short sentence."}]
chat = client.chat.completions.create(model=CHAT, messages=question, max_tokens=16, temperature=0)
answer = chat.choices[0].message
assert answer.role == "assistant" and "Paris" in answer.content, answer
assert chat.usage.total_tokens == chat.usage.prompt_tokens + chat.usage.completion_tokens
assert chat._request_id.startswith("req_"), chat._request_id

stream = client.chat.completions.create(
    model=CHAT, messages=question, max_tokens=16, temperature=0, stream=True, stream_options={"include_usage": True}
)
chunks = list(stream)
text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
assert text == answer.content, (text, answer.content)
assert chunks[-1].choices == [] and chunks[-1].usage == chat.usage, chunks[-1]

completion = client.completions.create(model=CHAT, prompt="The capital of France is", max_tokens=4, temperature=0)
assert "Paris" in completion.choices[0].text, completion

# The client asks for base64 by itself, and decodes it.
vectors = client.embeddings.create(model=EMBEDDING, input=["one", "two"]).data
assert [len(it.embedding) for it in vectors] == [384, 384]


def refused(kind, code, call):
    try:
        call()
    except kind as error:
        assert type(error) is kind and error.code == code, (type(error), error.code)
        assert error.body["message"] and error.request_id.startswith("req_"), error.body
    else:
        raise AssertionError(f"{code} was not refused")


def ask(who=client, **fields):
    return lambda: who.chat.completions.create(**{"model": CHAT, "messages": question, **fields})


refused(openai.AuthenticationError, "invalid_api_key", ask(client.with_options(api_key="nest_live_wrong")))
refused(openai.NotFoundError, "model_not_found", ask(model="gpt-4"))
refused(openai.BadRequestError, "context_length_exceeded", ask(max_tokens=100_000))
refused(openai.BadRequestError, "invalid_value", ask(messages=[]))
refused(openai.BadRequestError, "model_not_suitable", ask(model=EMBEDDING))
refused(openai.NotFoundError, "route_not_found", lambda: client.images.generate(prompt="a fox"))
print("ok")
