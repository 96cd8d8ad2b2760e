"""An API server that lists and watches as it is told, on real sockets."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Manifest = Mapping[str, Any]
Event = Mapping[str, Any] | None
"""What a watch sends next; None ends it."""


class ListAndWatch:
    """One resource: ``pages`` is what a list gives, ``send`` what whoever watches then gets."""

    def __init__(self) -> None:
        self.pages: Callable[[Mapping[str, str]], tuple[int, Any]] = lambda _: (200, listed([]))
        self.watches: Callable[[Mapping[str, str]], tuple[int, Any]] | None = None
        """What a watch answers, where it is anything but a stream."""
        self.asked: list[Mapping[str, str]] = []
        self.events: queue.Queue[Event] = queue.Queue()
        self.watching = threading.Event()

    @property
    def lists(self) -> Sequence[Mapping[str, str]]:
        return [query for query in self.asked if "watch" not in query]

    @property
    def watched(self) -> Sequence[Mapping[str, str]]:
        return [query for query in self.asked if "watch" in query]

    def send(self, kind: str, manifest: Manifest) -> None:
        self.events.put({"type": kind, "object": manifest})

    def end(self) -> None:
        """End the watch that is open."""
        self.events.put(None)


class ScriptedApi:
    """Serves ``nodes`` and ``namespaces``."""

    def __init__(self) -> None:
        self.nodes = ListAndWatch()
        self.namespaces = ListAndWatch()
        self.over = threading.Event()
        outer = self
        resources = {"/api/v1/nodes": self.nodes, "/api/v1/namespaces": self.namespaces}

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                query = {key: value[-1] for key, value in parse_qs(parts.query).items()}
                resource = resources.get(parts.path)
                if resource is None:
                    self._answer(404, {"kind": "Status", "code": 404})
                    return
                resource.asked.append(query)
                if "watch" not in query:
                    self._answer(*resource.pages(query))
                elif resource.watches is not None:
                    self._answer(*resource.watches(query))
                else:
                    self._stream(resource)

            def _answer(self, code: int, body: Any) -> None:
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(code)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def _stream(self, resource: ListAndWatch) -> None:
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.wfile.flush()
                resource.watching.set()
                for event in outer.until_over(resource.events):
                    line = event if isinstance(event, bytes) else json.dumps(event).encode() + b"\n"
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
                    self.wfile.flush()
                self.wfile.write(b"0\r\n\r\n")

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign] # quiet
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def until_over(self, events: queue.Queue[Event]) -> Iterator[Any]:
        while not self.over.is_set():
            with suppress(queue.Empty):
                event = events.get(timeout=0.02)
                if event is None:
                    return
                yield event

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.over.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def listed(items: Sequence[Manifest], version: str = "10", more: str = "") -> Manifest:
    """Make a list as an API server writes it."""
    metadata = {"resourceVersion": version} | ({"continue": more} if more else {})
    return {"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": list(items)}


def in_pages(items: Sequence[Manifest], size: int) -> Callable[[Mapping[str, str]], Any]:
    """Give ``items`` page by page, as ``limit`` and ``continue`` ask."""

    def page(query: Mapping[str, str]) -> tuple[int, Any]:
        start = int(query.get("continue", "0"))
        end = start + min(size, int(query.get("limit", str(size))))
        more = str(end) if end < len(items) else ""
        return 200, listed(items[start:end], more=more)

    return page
