"""A model's endpoint on loopback that answers by a script: what a real one says, bad answers and errors included."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Messages = list[dict[str, str]]
Answer = str | int | dict[str, Any] | list[dict[str, Any]]
"""Text; an HTTP status, for an error; the JSON of a reply, with its status; or the deltas of one that is streamed."""


class Model(ThreadingHTTPServer):
    """Serves chat completions; `answer` is given the conversation, and the number of the request, from 0."""

    daemon_threads = True

    def __init__(self, answer: Callable[[Messages, int], Answer]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer, self.requests, self.lock = answer, list[dict[str, Any]](), threading.Lock()
        self.at_once = self.most = self.streamed = 0

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
            answer = self.server.answer(body["messages"], number)
            if body.get("stream") and isinstance(answer, str | list):
                self._stream(answer)
            else:
                self._reply(answer)
        finally:
            with self.server.lock:
                self.server.at_once -= 1

    def _reply(self, answer: Answer) -> None:
        if isinstance(answer, str):
            answer = completion(answer)
        document = {"status": answer, "error": {"message": "as told"}} if isinstance(answer, int) else answer
        status = document.pop("status", 200) if isinstance(document, dict) else 200
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if status == 429:
            self.send_header("Retry-After", "0.01")
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, answer: str | list[dict[str, Any]]) -> None:
        """Text in pieces of three characters, or the deltas as they are, until nobody reads on."""
        pieces = [answer[at : at + 3] for at in range(0, len(answer), 3)] if isinstance(answer, str) else answer
        deltas = [{"content": piece} if isinstance(piece, str) else piece for piece in pieces]
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            for number, delta in enumerate(deltas):
                finish = "stop" if number + 1 == len(deltas) else None
                choice = {"index": 0, "delta": delta, "finish_reason": finish}
                chunk = {"id": "x", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}
                self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
                self.server.streamed += 1
                time.sleep(0.0005)
            self.wfile.write(b"data: [DONE]\n\n")
        except ConnectionError:
            pass
        self.close_connection = True

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
