"""A model's endpoint on loopback that answers by a script: what a real one says, bad answers and errors included."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Messages = list[dict[str, str]]
Answer = str | int | dict[str, Any]
"""Text; an HTTP status, for an error; or the whole JSON of a reply."""


class Model(ThreadingHTTPServer):
    """Serves chat completions; `answer` is given the conversation, and the number of the request, from 0."""

    daemon_threads = True

    def __init__(self, answer: Callable[[Messages, int], Answer]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer, self.requests, self.lock = answer, list[dict[str, Any]](), threading.Lock()
        self.at_once = self.most = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Model  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            number = len(self.server.requests)
            self.server.requests.append(body)
            self.server.at_once += 1
            self.server.most = max(self.server.most, self.server.at_once)
        try:
            self._reply(self.server.answer(body["messages"], number))
        finally:
            with self.server.lock:
                self.server.at_once -= 1

    def _reply(self, answer: Answer) -> None:
        if isinstance(answer, str):
            answer = completion(answer)
        status, document = (answer, {"error": {"message": "as told"}}) if isinstance(answer, int) else (200, answer)
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if status == 429:
            self.send_header("Retry-After", "0.01")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def completion(text: str, finish: str = "stop") -> dict[str, Any]:
    """The JSON of a reply."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    usage = {"prompt_tokens": 60, "completion_tokens": 40, "total_tokens": 100}
    return {"id": "x", "object": "chat.completion", "created": int(time.time()), "model": "scripted",
            "choices": [choice], "usage": usage}  # fmt: skip


@contextmanager
def serving(answer: Callable[[Messages, int], Answer]) -> Iterator[Model]:
    """A model that serves while the `with` statement lasts."""
    with Model(answer) as model:
        thread = threading.Thread(target=model.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield model
        finally:
            model.shutdown()
            thread.join()
