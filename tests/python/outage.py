"""The official client while the only node is away: an error that it knows how to retry."""

import openai

question = [{"role": "user", "content": "Hello"}]
try:
    openai.OpenAI(max_retries=1).chat.completions.create(model="scripted-chat", messages=question)
except openai.InternalServerError as error:
    assert error.status_code == 503 and error.code == "node_away", error
    assert int(error.response.headers["retry-after"]) >= 1
    print(error.request_id)
else:
    raise AssertionError("nobody could have answered")
