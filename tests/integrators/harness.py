"""The harness of the integrators' tests: throw-away servers, a plain HTTP call, the listings of the documents.

Only the standard library, so that these tests need nothing installed. Everything listens on 127.0.0.1, is stopped by its
process id, and lives in a directory that the caller removes.
"""

import contextlib
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
PASSWORD = "correct horse " + uuid.uuid4().hex

# SIGTERM also ends the child processes.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def free_port():
    """A free port. Servers that are restarted, or named in a configuration, must know theirs beforehand."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def directory():
    """A new directory that others may enter: PostgreSQL and the proxies run as other users when we are root."""
    with tempfile.TemporaryDirectory(prefix="tideline-integrators.", dir=os.environ.get("TMPDIR", "/var/tmp")) as name:
        os.chmod(name, 0o755)
        yield pathlib.Path(name)


def eventually(what, look, seconds=30):
    """Polls `look` until it returns a true value."""
    end = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.05)
    return seen


def surroundings():
    """Our environment without variables of another Tideline."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("TIDELINE_")}
    # The tests read requests and codes in the log.
    return {**ours, "RUST_LOG": "info"}


class Process:
    """A child program with its output in a file. `expected` is its exit status after SIGTERM."""

    expected = 0

    def __init__(self, name, command, log, environment=None, **options):
        self.name, self.log = name, log
        with open(log, "ab") as out:
            self.child = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                                          env={**surroundings(), **(environment or {})}, **options)

    def text(self):
        return self.log.read_text(errors="replace")

    def alive(self):
        assert self.child.poll() is None, f"{self.name} ended with {self.child.returncode}: {self.text()[-2000:]}"
        return True

    def until(self, look, seconds=30):
        """Waits until it is ready, and ends it if that fails."""
        try:
            eventually(f"{self.name} is ready", lambda: self.alive() and look(), seconds)
        except BaseException:
            self.stop(expected=None)
            raise

    def signal(self, number):
        self.child.send_signal(number)

    def ended(self, seconds=60):
        return self.child.wait(seconds)

    def stop(self, expected=0):
        """Sends SIGTERM and checks the exit status."""
        if self.child.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            code = self.ended()
        except subprocess.TimeoutExpired:
            self.child.kill()
            raise
        assert expected is None or code == expected, f"{self.name} ended with {code}: {self.text()[-2000:]}"

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        # The first failure matters more than its effect on the processes.
        self.stop(expected=None if kind else self.expected)


class Node(Process):
    """A node of Tideline. The first one is `tideline dev`, with PostgreSQL and Redis; others join it."""

    def __init__(self, directory, name="dev", port=None, joins=None, **environment):
        self.directory, self.port = directory, port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        program = os.environ["TIDELINE_BIN"]
        command = [program, "serve"] if joins else [program, "dev", "--dir", str(directory / "dev")]
        environment = {"TIDELINE_BIND": f"127.0.0.1:{self.port}", "TIDELINE_METRICS_BIND": "127.0.0.1:0",
                       "TIDELINE_DRAIN_SECONDS": "3", **(joins.services() if joins else {}), **environment}
        super().__init__(name, command, directory / f"{name}.log", environment)
        self.until(self.is_ready, 60)

    def is_ready(self):
        try:
            return call(self.url, "GET", "/health/ready").status == 200
        except OSError:
            return False

    def logs(self, words, times):
        """Waits until the log has them this often: a node logs a moment after its answer."""
        eventually(f"{self.name} logs {words!r} {times} times", lambda: self.text().count(words) >= times, 10)

    def services(self):
        """The variables of `tideline dev` for other programs."""
        lines = (self.directory / "dev" / "env").read_text().splitlines()
        pairs = (line.split("=", 1) for line in lines)
        return {name: value.strip("'") for name, value in pairs if name != "TIDELINE_URL"}

    def admin(self, *arguments):
        command = [os.environ["TIDELINE_BIN"], "admin", *arguments]
        done = subprocess.run(command, env={**surroundings(), **self.services()}, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


class Answer:
    def __init__(self, status, headers, text):
        self.status, self.headers = status, headers
        self.kind = headers.get_content_type()
        self.body = json.loads(text) if text and "json" in self.kind else text


def call(base, method, path, body=None, token=None, source=None, timeout=75, headers=None):
    """One request on its own connection, from the address `source`."""
    host, port = base.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=timeout, source_address=source and (source, 0))
    headers = {"Content-Type": "application/json", **(headers or {})}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        connection.request(method, path, body if body is None or isinstance(body, bytes) else json.dumps(body), headers)
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read().decode())
    finally:
        connection.close()


def ok(answer, *statuses):
    assert answer.status in (statuses or (200, 201, 204)), f"{answer.status}: {answer.body}"
    return answer.body


def sign_up(base, name):
    """A session of a new person."""
    person = {"username": f"{name}_{uuid.uuid4().hex[:12]}", "password": PASSWORD}
    return ok(call(base, "POST", "/v1/auth/register", person), 201)


def text(words):
    return {"client_msg_id": str(uuid.uuid4()), "kind": "text", "content": {"text": words}}


def listing(name, page="INTEGRATING.md"):
    """The listing of that name in a page of the documents: the one for integrators."""
    document = (ROOT / "docs" / page).read_text()
    found = re.findall(rf"^```\w+ {re.escape(name)}\n(.*?)^```$", document, re.MULTILINE | re.DOTALL)
    assert len(found) == 1, f"docs/{page} has {len(found)} listings {name}"
    return found[0]
