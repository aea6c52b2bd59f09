# SPDX-License-Identifier: Apache-2.0
"""A MONAI Label server in a process of its own, and the few requests that a client makes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

START_S, REQUEST_S, STOP_S = 180, 300, 20


class Server:
    """Start on 127.0.0.1 and a free port; stop by its own process id.

    Args:
        python: the interpreter of MONAI Label's environment.
        app: the app's folder.
        studies: the studies folder.
        conf: options of the app.
        scratch: folder for the log and the sessions.
    """

    def __init__(self, python: Path, app: Path, studies: Path, conf: dict[str, str], scratch: Path) -> None:
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.log = scratch / f"server_{port}.log"
        options = [word for key, value in conf.items() for word in ("--conf", key, str(value))]
        self.command = [
            *(str(python), "-m", "monailabel.main", "start_server", "--app", str(app), "--studies", str(studies)),
            *(*options, "--host", "127.0.0.1", "--port", str(port)),
        ]
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("MONAI_LABEL")}
        self.environment |= {
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": "",
            "MONAI_LABEL_SESSION_PATH": str(scratch / "sessions"),
        }
        self.scratch = scratch

    def __enter__(self) -> Server:
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                self.command, cwd=self.scratch, env=self.environment, stdout=log, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + START_S
        while True:
            try:
                self.info = self.json("GET", "/info/")
                return self
            except urllib.error.URLError:
                pass
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise AssertionError(f"the server did not start:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.5)

    def __exit__(self, *unused: Any) -> None:
        self.process.terminate()
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def send(self, method: str, path: str, body: bytes | None, kind: str, **query: Any) -> bytes:
        address = f"{self.url}{path}" + (f"?{urlencode(query)}" if query else "")
        request = urllib.request.Request(address, body, {"Content-Type": kind} if body else {}, method=method)
        with urllib.request.urlopen(request, timeout=REQUEST_S) as answer:
            return answer.read()

    def json(self, method: str, path: str, content: Any = None, **query: Any) -> Any:
        """Send JSON, or nothing, and return the JSON of the answer."""
        body = None if content is None else json.dumps(content).encode()
        return json.loads(self.send(method, path, body, "application/json", **query))

    def infer(self, model: str, image: str, target: Path) -> Path:
        """Save the label that a model gives for an image."""
        target.write_bytes(self.send("POST", f"/infer/{model}", None, "", image=image, output="image"))
        return target

    def put_label(self, image: str, label: Path, tag: str, params: dict[str, Any] | None = None) -> Any:
        """Upload a label, with what the client knows of it, as 3D Slicer does when one presses Submit."""
        boundary = uuid.uuid4().hex
        part = f'--{boundary}\r\nContent-Disposition: form-data; name="params"\r\n\r\n{json.dumps(params or {})}\r\n'
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="label"; filename="{label.name}"\r\n\r\n'
        body = (part + head).encode() + label.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
        kind = f"multipart/form-data; boundary={boundary}"
        return json.loads(self.send("PUT", "/datastore/label", body, kind, image=image, tag=tag))
