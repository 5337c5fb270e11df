"""Two questions for whoever watches the service, answered on the loopback address only."""

from __future__ import annotations

import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .desk import Desk
from .figures import figures
from .worker import Worker

__all__ = ["Health", "HealthServer"]


class Health:
    """What is told.

    Args:
        desk: of the service.
        worker: what processes studies.
    """

    def __init__(self, desk: Desk, worker: Worker) -> None:
        self._desk, self._worker = desk, worker

    def health(self) -> dict[str, Any]:
        """That the process lives, and what it did."""
        free = shutil.disk_usage(self._desk.folder).free
        return {
            "status": "ok",
            "ready": self._worker.ready,
            "disk_free_mb": free >> 20,
            **figures(self._desk.jobs.table),
        }

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Whether the model is loaded and passed its self test on a phantom."""
        ready = self._worker.ready
        return ready, {"ready": ready, "reason": self._worker.trouble or None}


class HealthServer:
    """Answers ``/health`` and ``/ready`` on 127.0.0.1.

    Args:
        health: what is told.
        port: 0 for any that is free.

    Attributes:
        port: that it listens on.

    Raises:
        ValueError: the port is taken.
    """

    def __init__(self, health: Health, port: int) -> None:
        class Handler(_Handler):
            told = health

        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        except OSError as error:
            raise ValueError(f"--health_port {port} on 127.0.0.1 cannot be opened: {error.strerror}") from error
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    timeout = 10
    told: Health

    def do_GET(self) -> None:
        if self.path == "/health":
            self._say(200, self.told.health())
        elif self.path == "/ready":
            ready, told = self.told.ready()
            self._say(200 if ready else 503, told)
        else:
            self._say(404, {"paths": ["/health", "/ready"]})

    def _say(self, status: int, told: dict[str, Any]) -> None:
        body = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing: the standard library would print every request."""
