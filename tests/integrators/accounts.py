"""Accounts and sessions as in docs/INTEGRATING.md: its commands to register, and its two clients.

The clients make five concurrent calls while tokens expire and the device is logged out. A small server counts their logins
and refreshes, because it can refuse a token at a known moment.
"""

import contextlib
import http.server
import json
import os
import subprocess
import sys
import threading
import time

import harness
from harness import Node, call, listing, ok, surroundings

CONCURRENT = 5

PYTHON = """
import sys
from concurrent.futures import ThreadPoolExecutor
from client import Client, Problem

client = Client(sys.argv[1], "ann", "correct horse")

def concurrent_calls(count):
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(lambda _: client.call("GET", "/v1/me"), range(count)))

concurrent_calls(5)
for code in ("token_expired", "device_revoked", "unauthenticated"):
    client.call("POST", "/refuse", {"code": code, "for_good": False})
    concurrent_calls(5)
for code in ("device_revoked", "unauthenticated"):
    client.call("POST", "/refuse", {"code": code, "for_good": True})
    try:
        concurrent_calls(1)
    except Problem as problem:
        print(problem.code)
"""

JAVASCRIPT = """
import { Client } from "./client.mjs";

const client = new Client(process.argv[2], "ann", "correct horse");
const concurrentCalls = (count) => Promise.all(Array.from({ length: count }, () => client.call("GET", "/v1/me")));

await concurrentCalls(5);
for (const code of ["token_expired", "device_revoked", "unauthenticated"]) {
  await client.call("POST", "/refuse", { code, for_good: false });
  await concurrentCalls(5);
}
for (const code of ["device_revoked", "unauthenticated"]) {
  await client.call("POST", "/refuse", { code, for_good: true });
  await concurrentCalls(1).catch((problem) => console.log(problem.code));
}
"""

# A login, and one refresh for each refusal of five calls. A permanent refusal is followed by one new login.
EXPECTED = ["login", "refresh", "login", "login", "login", "login"]


class Fake(http.server.ThreadingHTTPServer):
    """Accepts every login, and refuses earlier tokens on request."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answers)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.logins, self.refusal = [], None
        self.all_sent = threading.Barrier(CONCURRENT)


class Answers(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        """Requests are not logged in the output of the test."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/refuse":
            self.server.refusal = {**body, "below": len(self.server.logins)}
            return self.answer(200, None)
        time.sleep(0.3)  # calls that need a session meanwhile
        self.server.logins.append(self.path.removeprefix("/v1/auth/"))
        token = str(len(self.server.logins) - 1)
        self.answer(200, {"access_token": token, "refresh_token": token, "device_id": token})

    def do_GET(self):
        refusal, token = self.server.refusal, int(self.headers["Authorization"].removeprefix("Bearer "))
        if not refusal or token >= refusal["below"] and not refusal["for_good"]:
            return self.answer(200, {})
        if not refusal["for_good"]:
            self.server.all_sent.wait(30)
        self.answer(401, {"code": refusal["code"]}, "application/problem+json")

    def answer(self, status, body, kind="application/json"):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        with contextlib.suppress(BrokenPipeError):
            self.wfile.write(text)


def shares_sessions(directory, language, command):
    with Fake() as fake:
        threading.Thread(target=fake.serve_forever, daemon=True).start()
        done = subprocess.run([*command, fake.url], cwd=directory, capture_output=True, text=True, timeout=120)
        fake.shutdown()
    assert done.returncode == 0, done.stderr
    assert fake.logins == EXPECTED, f"{language} logged in by {fake.logins}"
    assert done.stdout.split() == ["device_revoked", "unauthenticated"], done.stdout
    print(f"accounts: {language} logs in once for all calls, and again when its device was logged out")


def shell(directory, name, node, before=""):
    """Runs a listing as printed, with another address."""
    script = before + listing(name).replace("http://127.0.0.1:8080", node.url)
    path = f"{directory}:{os.environ['PATH']}"
    done = subprocess.run(["sh", "-euc", script], cwd=directory, env={**surroundings(), "PATH": path},
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def signs_up(directory):
    port = harness.free_port()
    with Node(directory, port=port) as node:
        session = shell(directory, "sign-up.sh", node)
        assert session["user"]["username"] == "ann" and ok(call(node.url, "GET", "/v1/me", token=session["access_token"]))
        assert shell(directory, "sign-up.sh", node)["code"] == "conflict"
    with Node(directory, port=port, TIDELINE_REGISTRATION="closed") as node:
        assert shell(directory, "sign-up.sh", node)["code"] == "forbidden"
        (directory / "tideline").symlink_to(os.environ["TIDELINE_BIN"])
        made = shell(directory, "create-user.sh", node, before="set -a; . dev/env\n")
        person = {"username": made["username"], "password": made["password"]}
        assert ok(call(node.url, "POST", "/v1/auth/login", person))["user"]["id"] == made["user_id"]
    print("accounts: the commands to sign up work, and the operator's where registration is closed")


JPEG = bytes.fromhex(
    "ffd8ffe000104a46494600010100000100010000ffdb004300140e0f120f0d14121012171514181e32211e1c1c1e3d2c2e243249404c4b"
    "47404645505a736250556d5645466488656d777b8182814e608d978c7d96737e817cffc0000b080001000101011100ffc4001400010000"
    "0000000000000000000000000002ffc40014100100000000000000000000000000000000ffda0008010100003f000fffd9"
)


def sends_media(directory):
    """The commands for media, with a picture of one pixel."""
    (directory / "cat.jpg").write_bytes(JPEG)
    with Node(directory, port=harness.free_port()) as node:
        ann, ben = harness.sign_up(node.url, "ann"), harness.sign_up(node.url, "ben")
        made = {"kind": "direct", "user_id": ben["user"]["id"]}
        chat = ok(call(node.url, "POST", "/v1/conversations", made, token=ann["access_token"]))
        names = f"TOKEN={ann['access_token']} CHAT={chat['id']}\n"
        media = shell(directory, "media.sh", node, before=names)
        assert media["state"] == "ready" and (media["width"], media["height"]) == (1, 1), media
        for file in ["original.jpg", "small.jpg"]:
            assert (directory / file).read_bytes()[:2] == JPEG[:2], file
    print("accounts: the commands to upload, send and read media work")


with harness.directory() as place:
    for file in ["client.py", "client.mjs"]:
        (place / file).write_text(listing(file))
    (place / "calls.py").write_text(PYTHON)
    (place / "calls.mjs").write_text(JAVASCRIPT)
    shares_sessions(place, "Python", [sys.executable, "calls.py"])
    shares_sessions(place, "JavaScript", ["node", "calls.mjs"])
    signs_up(place)
    sends_media(place)
