"""A mail server that takes mails, or answers as it is told.

Prints its port, and then a line of JSON for each mail that was offered. Each line of its input is the verdict from then
on: `take`, `later` (451), or `never` (550). It ends with its input.
"""

import asyncio
import email
import email.policy
import json
import sys

from aiosmtpd.smtp import SMTP

ANSWERS = {"take": "250 taken", "later": "451 come back later", "never": "550 no such mailbox"}


class Handler:
    verdict = "take"

    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        said = {
            "verdict": self.verdict,
            "envelope": [envelope.mail_from, envelope.rcpt_tos],
            "headers": [[name, str(value)] for name, value in message.items()],
            "text": message.get_body(("plain",)).get_content(),
            "html": message.get_body(("html",)).get_content(),
        }
        print(json.dumps(said), flush=True)
        return ANSWERS[self.verdict]


async def main():
    handler = Handler()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(handler, hostname="mail.example", enable_SMTPUTF8=True), "127.0.0.1", int(sys.argv[1])
    )
    print(json.dumps(server.sockets[0].getsockname()[1]), flush=True)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        handler.verdict = line.decode().strip()
        print(json.dumps("heard"), flush=True)


asyncio.run(main())
