"""Servers on 127.0.0.1 that receive alerts: a webhook and a mail server."""

from __future__ import annotations

import email
import email.policy
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller

from demo.airflow_server import free_port

#: Seconds that a test waits for a message; long, because only a failing test waits so long.
PATIENCE = 300


@dataclass
class Inbox:
    """What has arrived.

    Attributes:
        url: what Apprise calls the service.
        messages: title and text of each message.
        status: what a webhook answers.
    """

    url: str = ""
    messages: list[tuple[str, str]] = field(default_factory=list)
    status: int = 200

    @property
    def titles(self) -> list[str]:
        """The titles of the messages, without what all have in common."""
        return [title.removeprefix("[entity stats] ") for title, _ in self.messages]

    def until(self, count: int) -> None:
        """Wait until so many messages have arrived."""
        deadline = time.monotonic() + PATIENCE
        pause = threading.Event()
        while len(self.messages) < count:
            assert time.monotonic() < deadline, self.titles
            pause.wait(0.05)


@contextmanager
def webhook() -> Iterator[Inbox]:
    """A server that takes POSTs of JSON."""
    inbox = Inbox()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """Keep the message."""
            message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if inbox.status == 200:
                inbox.messages.append((message["title"], message["message"]))
            self.send_response(inbox.status)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        inbox.url = f"json://127.0.0.1:{server.server_port}/alerts"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield inbox
        server.shutdown()
        thread.join()


@contextmanager
def mailbox() -> Iterator[Inbox]:
    """A server that takes mail."""
    inbox = Inbox()

    class Handler:
        async def handle_DATA(  # noqa: N802
            self, server: Any, session: Any, envelope: Any
        ) -> str:
            """Keep the message."""
            message = email.message_from_bytes(envelope.content, policy=email.policy.default)
            body = message.get_body(("html", "plain"))
            assert body is not None
            inbox.messages.append((str(message["subject"]), body.get_content()))
            return "250 OK"

    port = free_port()
    controller = Controller(Handler(), hostname="127.0.0.1", port=port)
    inbox.url = f"mailto://127.0.0.1:{port}?mode=insecure&from=airflow@example.com&to=operator@example.com"
    controller.start()
    try:
        yield inbox
    finally:
        controller.stop()
