"""A mail server that takes mail from who logs in under TLS, and writes down what came.

Environment: MODE (tls, starttls), CERTIFICATE and KEY (PEM files), PASSWORD, READY (file that gets the port), MAIL (file that
gets one line of JSON for each message).
"""

import asyncio
import email
import email.policy
import json
import os
import ssl

from aiosmtpd.smtp import SMTP, AuthResult

MODE, CERTIFICATE, KEY = (os.environ[name] for name in ("MODE", "CERTIFICATE", "KEY"))
PASSWORD, READY, MAIL = (os.environ[name] for name in ("PASSWORD", "READY", "MAIL"))


def log_in(server, session, envelope, mechanism, data):
    return AuthResult(success=(data.login, data.password) == (b"binauthz", PASSWORD.encode()), handled=False)


class Keep:
    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        kept = {
            "under": session.ssl["cipher"][1] if session.ssl else MODE,
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "headers": dict(message.items()),
            "text": message.get_content(),
            "defects": [str(defect) for defect in message.defects],
        }
        with open(MAIL, "a") as file:
            file.write(json.dumps(kept) + "\n")
        return "250 kept"


async def main():
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE, KEY)
    is_tls = MODE == "tls"

    def connection():
        return SMTP(
            Keep(),
            tls_context=None if is_tls else context,
            require_starttls=not is_tls,
            # Under TLS from the first byte aiosmtpd does not know that there is TLS.
            auth_require_tls=not is_tls,
            auth_required=True,
            authenticator=log_in,
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(connection, "127.0.0.1", 0, ssl=context if is_tls else None)
    with open(READY + ".new", "w") as file:
        file.write(str(server.sockets[0].getsockname()[1]))
    os.rename(READY + ".new", READY)
    await server.serve_forever()


asyncio.run(main())
