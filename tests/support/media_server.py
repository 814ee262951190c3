"""A camera or a media server over HTTP for blocking tests: each path answers as a script says, also for ever.

with media_server({"/cam": multipart(jpegs)}) as server:
    ...  # read server.origin + "/cam"; server.paths tells what was asked for
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Script = Callable[[BaseHTTPRequestHandler], None]
"""Writes an answer, head and body."""


@dataclass
class MediaServer:
    """What happened at the server."""

    origin: str
    paths: list[str] = field(default_factory=list)
    """Of every request, in order."""


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients leave in the middle, that is what the tests are about."""


@contextlib.contextmanager
def media_server(scripts: Mapping[str, Script]) -> Iterator[MediaServer]:
    """Serve scripts by path on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.paths.append(self.path)
            script = scripts.get(self.path)
            if script is None:
                self.send_error(404)
            else:
                script(self)

        def log_message(self, *_: object) -> None:
            """Keep the output of tests clean."""

    with _Quiet(("127.0.0.1", 0), Handler) as listener:
        server = MediaServer(f"http://127.0.0.1:{listener.server_address[1]}")
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown()
            thread.join()


def content(body: bytes, content_type: str = "application/octet-stream", status: int = 200) -> Script:
    """Answer once."""

    def script(handler: BaseHTTPRequestHandler) -> None:
        _head(handler, content_type, status)
        handler.wfile.write(body)

    return script


def endless(chunks: Iterable[bytes], content_type: str, pause_s: float = 0.0) -> Script:
    """Answer with chunks, again and again, until the client leaves."""
    parts = list(chunks)

    def script(handler: BaseHTTPRequestHandler) -> None:
        _head(handler, content_type)
        for part in itertools.cycle(parts):
            handler.wfile.write(part)
            if pause_s:
                time.sleep(pause_s)

    return script


def then(head: bytes, chunk: bytes, pause_s: float = 0.0) -> Script:
    """Answer with a beginning, and then with the same bytes for ever."""

    def script(handler: BaseHTTPRequestHandler) -> None:
        _head(handler, "application/octet-stream")
        handler.wfile.write(head)
        while True:
            handler.wfile.write(chunk)
            time.sleep(pause_s)

    return script


def slowly(body: bytes, chunk_bytes: int, pause_s: float) -> Script:
    """Answer once, in pieces."""

    def script(handler: BaseHTTPRequestHandler) -> None:
        _head(handler, "application/octet-stream")
        for start in range(0, len(body), chunk_bytes):
            handler.wfile.write(body[start : start + chunk_bytes])
            time.sleep(pause_s)

    return script


def redirect(target: str) -> Script:
    """Send the client elsewhere."""

    def script(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", target)
        handler.end_headers()

    return script


def parts(jpegs: Iterable[bytes], *, with_length: bool = True, wrong_by: int = 0) -> list[bytes]:
    """Return the parts of a multipart MJPEG body whose boundary is `frame`.

    Args:
        jpegs: what is in them.
        with_length: whether each says how long it is.
        wrong_by: what it says too much.
    """
    return [
        b"--frame\r\nContent-Type: image/jpeg\r\n"
        + (b"Content-Length: %d\r\n" % (len(jpeg) + wrong_by) if with_length else b"")
        + b"\r\n"
        + jpeg
        + b"\r\n"
        for jpeg in jpegs
    ]


def _head(handler: BaseHTTPRequestHandler, content_type: str, status: int = 200) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", content_type)
    handler.end_headers()
