#!/usr/bin/env python3
"""Runs schemathesis over the whole OpenAPI document, with a token, against a server that is thrown away.

    tests/schemathesis/run.py [arguments of `schemathesis run`]

    TIDELINE_BIN (target/debug/tideline), TMPDIR

Makes a virtual environment in target/schemathesis from requirements.txt, starts `tideline dev` on a free port in a new
directory, makes people and conversations, and calls everything with good and bad input. An undocumented status, header
or body, an acceptance of bad input and any 5xx fail the run. What it leaves out is in schemathesis.toml, with the reasons.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
TARGET = HERE.parent.parent / "target"


def fail(why):
    sys.exit(f"schemathesis: {why}")


def schemathesis():
    """The program, installed when the requirements are not those of the last time."""
    wanted = (HERE / "requirements.txt").read_text()
    place = TARGET / "schemathesis" / "venv"
    installed = place / "installed.txt"
    if not installed.exists() or installed.read_text() != wanted:
        venv.create(place, clear=True, with_pip=True)
        pip = [place / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--requirement", HERE / "requirements.txt"], check=True)
        installed.write_text(wanted)
    return place / "bin" / "schemathesis"


class Server:
    """`tideline dev` in a directory of its own."""

    def __init__(self, program, directory):
        with socket.create_server(("127.0.0.1", 0)) as free:
            bind = "127.0.0.1:%d" % free.getsockname()[1]
        self.env = {"PATH": os.environ["PATH"], "TIDELINE_BIND": bind, "TIDELINE_RATE_LIMIT": "off"}
        self.env |= {"TIDELINE_METRICS_BIND": "", "TIDELINE_DRAIN_SECONDS": "2", "TIDELINE_DESKS": "open"}
        self.program, self.url = program, f"http://{bind}"
        self.log = directory / "log"
        command = [program, "dev", "--dir", directory / "dev"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, env=self.env, stdout=log, stderr=log)

    def wait_until_ready(self, directory):
        for _ in range(600):
            if self.process.poll() is not None:
                fail(f"tideline dev ended:\n{self.log.read_text()}")
            try:
                with urllib.request.urlopen(f"{self.url}/health/ready", timeout=5):
                    break
            except OSError:
                time.sleep(0.1)
        else:
            fail("tideline dev is not ready after a minute")
        for line in (directory / "dev" / "env").read_text().splitlines():
            name, _, value = line.partition("=")
            self.env[name] = value.strip("'")

    def seed(self, count):
        command = [self.program, "admin", "seed", "--users", str(count)]
        lines = subprocess.run(command, env=self.env, stdout=subprocess.PIPE, check=True).stdout
        return [json.loads(line) for line in lines.splitlines()]

    def call(self, method, path, token, body=None):
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/v1{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=20) as response:
            return json.loads(response.read() or b"null")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


def world(server):
    """A person who is owner, admin and member of groups and has direct conversations, and all ids."""
    me, *others = server.seed(7)
    call = server.call

    def person(user):
        return user["access_token"]

    def group(owner, members):
        ids = [member["user_id"] for member in members]
        body = {"kind": "group", "title": "Friday", "member_ids": ids}
        return call("POST", "/conversations", person(owner), body)["id"]

    def direct(one, other):
        body = {"kind": "direct", "user_id": other["user_id"]}
        return call("POST", "/conversations", person(one), body)["id"]

    admin = group(others[0], [me, others[1], others[2]])
    call("PATCH", f"/conversations/{admin}/members/{me['user_id']}", person(others[0]), {"role": "admin"})
    # Two groups of the caller: of random members, few are in a conversation where the caller may change them.
    conversations = [group(me, others[:4]), group(me, others), admin, group(others[1], [me]), direct(me, others[3])]
    for conversation in conversations:
        for words in ["one", "two", "three"]:
            body = {"client_msg_id": str(uuid.uuid4()), "kind": "text", "content": {"text": words}}
            call("POST", f"/conversations/{conversation}/messages", person(me), body)
    blocked = direct(me, others[5])
    call("PUT", f"/me/blocks/{me['user_id']}", person(others[5]))
    desk = {"username": "acme", "display_name": "Acme support", "client_desk_id": str(uuid.uuid4())}
    desk = call("POST", "/desks", person(me), desk)["id"]
    call("PUT", f"/desks/{desk}/skills", person(me), {"skills": ["returns", "sales"]})
    for other in others[:5]:
        seat = {"role": "agent", "skills": ["sales"], "capacity": 3}
        call("PUT", f"/desks/{desk}/agents/{other['user_id']}", person(me), seat)
    account = {"username": "ann", "password": "correct horse"}
    session = call("POST", "/auth/register", "", account)
    return person(me), {
        "conversations": [*conversations, blocked],
        "users": [other["user_id"] for other in others],
        "desks": [desk],
        "refresh_tokens": [session["refresh_token"]],
        "epoch": call("GET", "/capabilities", "")["epoch"],
    }


def main():
    program = Path(os.environ.get("TIDELINE_BIN", TARGET / "debug" / "tideline")).resolve()
    if not program.exists():
        fail(f"no {program}: cargo build")
    command = schemathesis()
    # As root, PostgreSQL runs as another user, who must be able to come here.
    directory = Path(tempfile.mkdtemp(prefix="tideline-schemathesis.", dir=os.environ.get("TMPDIR", "/var/tmp")))
    directory.chmod(0o755)
    server = Server(program, directory)
    try:
        server.wait_until_ready(directory)
        token, known = world(server)
        answers = directory / "answers.json"
        env = os.environ | {"TIDELINE_WORLD": json.dumps(known), "TIDELINE_ANSWERS": str(answers)}
        env |= {"SCHEMATHESIS_HOOKS": str(HERE / "hooks.py"), "PYTHONDONTWRITEBYTECODE": "1"}
        config = ["--config-file", HERE / "schemathesis.toml"]
        header = ["--header", f"Authorization: Bearer {token}"]
        run = [command, *config, "run", *header, *sys.argv[1:], f"{server.url}/openapi.json"]
        status = subprocess.run(run, env=env, cwd=directory).returncode
        answers = json.loads(answers.read_text()) if answers.exists() else {}
    finally:
        ended = server.stop()
        log = server.log.read_text()
        shutil.rmtree(directory)
    if ended != 0:
        fail(f"tideline dev ended with {ended}:\n{log}")
    if status == 0 and " ERROR " in log:
        fail("the server has logged errors:\n" + "\n".join(line for line in log.splitlines() if " ERROR " in line))
    # If no input were valid, little would be tested.
    failing = [operation for operation, statuses in answers.items() if min(statuses) >= 300]
    if status == 0 and (failing or not answers):
        fail(f"never answered 2xx: {', '.join(failing)}")
    sys.exit(status)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    main()
