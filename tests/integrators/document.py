"""The two programs of docs/INTEGRATING.md, copied unchanged, against a real server.

They print what they receive. Meanwhile access tokens expire (after six seconds here), their devices are logged out, the
server is restarted, the programs are stopped until unfetched entries expire, and the database begins a new epoch. Each must
print every message once and in order, and everything again after the new epoch. One of the groups switches to read fan-out,
and there is a channel.
"""

import collections
import contextlib
import datetime
import json
import os
import signal
import sys
import time
import uuid

import harness
from harness import PASSWORD, Node, Process, call, eventually, listing, ok, text

PROGRAMS = {"Python": [sys.executable, "main.py"], "JavaScript": ["node", "main.mjs"]}
LISTINGS = ["client.py", "sync.py", "main.py", "client.mjs", "sync.mjs", "main.mjs"]


class Receiver(Process):
    """A program of the document, logged in as its own person."""

    expected = -signal.SIGTERM

    def __init__(self, directory, language, node):
        self.username = f"{language.lower()}_{uuid.uuid4().hex[:12]}"
        self.person = {"username": self.username, "password": PASSWORD}
        self.user_id = ok(call(node.url, "POST", "/v1/auth/register", self.person), 201)["user"]["id"]
        command = [*PROGRAMS[language], node.url, self.username, PASSWORD]
        super().__init__(language, command, directory / f"{language}.out", cwd=directory)

    def log_out(self, node):
        """Logs its device out, as from another device of its person."""
        token = ok(call(node.url, "POST", "/v1/auth/login", self.person))["access_token"]
        for device in ok(call(node.url, "GET", "/v1/me/devices", token=token))["devices"]:
            if device["platform"] == "bot":
                ok(call(node.url, "DELETE", f"/v1/me/devices/{device['id']}", token=token))

    def received(self):
        """Its output: the seqs and contents of each conversation, in order."""
        lines = [line.split(" ", 2) for line in self.text().splitlines(keepends=True) if line.endswith("\n")]
        chats = collections.defaultdict(list)
        for line in lines:
            assert len(line) == 3, f"{self.name} printed {line}"
            chats[line[0]].append((int(line[1]), json.loads(line[2])["text"]))
        return chats


class Enough(Exception):
    """Everything has been read."""


class Story:
    def __init__(self, directory, node):
        self.node, self.sent = node, collections.defaultdict(list)
        self.receivers = [Receiver(directory, language, node) for language in PROGRAMS]
        # The document's own client sends, too.
        sys.path.insert(0, str(directory))
        import client
        ann = {"username": f"ann_{uuid.uuid4().hex[:12]}", "password": PASSWORD}
        ok(call(node.url, "POST", "/v1/auth/register", ann), 201)
        self.ann = client.Client(node.url, ann["username"], PASSWORD)
        members = [one.user_id for one in self.receivers]
        group = {"kind": "group", "title": "Everybody", "member_ids": members}
        shared = self.ann.call("POST", "/v1/conversations", group)["id"]
        channel = {"kind": "channel", "title": "News", "member_ids": members}
        channel = self.ann.call("POST", "/v1/conversations", channel)["id"]
        self.shared, self.chats = shared, {}
        for one in self.receivers:
            direct = self.ann.call("POST", "/v1/conversations", {"kind": "direct", "user_id": one.user_id})
            self.chats[one.name] = [shared, channel, direct["id"]]

    def grow(self):
        """The group of all people switches to read fan-out."""
        more = [harness.sign_up(self.node.url, "more")["user"]["id"] for _ in range(2)]
        self.ann.call("POST", f"/v1/conversations/{self.shared}/members", {"user_ids": more})
        assert self.ann.call("GET", f"/v1/conversations/{self.shared}")["fanout"] == "read"

    def send(self, words):
        for chat in {chat for chats in self.chats.values() for chat in chats}:
            message = self.ann.call("POST", f"/v1/conversations/{chat}/messages", text(words))
            self.sent[chat].append((message["seq"], words))

    def read_all(self):
        """A device with positions of another server: after `cursor_ahead` it reads everything once."""
        import client
        import sync
        reader = client.Client(self.node.url, self.ann.credentials["username"], PASSWORD)
        have, kept = {chat: 1_000_000 for chat in self.sent}, collections.defaultdict(list)

        def keep(message):
            kept[message["conversation_id"]].append((message["seq"], message["content"]["text"]))
            if kept == self.sent:
                raise Enough
        with contextlib.suppress(Enough):
            sync.sync(reader, have, keep)
        assert kept == self.sent, f"it read {dict(kept)} of {dict(self.sent)}"
        print("document: positions of another server are given up")

    def arrive(self, what, rounds=1):
        """Everything sent was printed once and in order; `rounds` times after new epochs."""
        def look():
            for one in self.receivers:
                one.alive()
                received = one.received()
                if any(len(received[chat]) < rounds * len(self.sent[chat]) for chat in self.chats[one.name]):
                    return False
            return True
        try:
            eventually(what, look, 40)
        except AssertionError:
            for one in self.receivers:
                print(one.name, "has", {chat: len(got) for chat, got in one.received().items()}, file=sys.stderr)
            raise
        for one in self.receivers:
            assert one.received() == {chat: self.sent[chat] * rounds for chat in self.chats[one.name]}, \
                f"{what}: {one.name} got {one.received()} of {dict(self.sent)}"
        print(f"document: {what}")


def run(directory):
    for name in LISTINGS:
        (directory / name).write_text(listing(name))
    for name, loop in [("sync.py", "def sync("), ("sync.mjs", "export async function sync(")]:
        _, loop = listing(name).split(loop)
        lines = [line for line in loop.splitlines() if line.strip()]
        assert len(lines) <= 30, f"the loop of {name} has {len(lines)} lines: too long to be read before it is copied"
    port = harness.free_port()

    def start():
        # Tokens expire during the test, also in the middle of a wait.
        return Node(directory, port=port, TIDELINE_ACCESS_TOKEN_SECONDS="6", TIDELINE_FANOUT_LIMIT="4")

    node = start()
    story = None
    try:
        story = Story(directory, node)
        for number in range(5):
            story.send(f"hello {number}")
        story.arrive("messages arrive")
        story.send("while it is small")
        story.grow()
        story.send("now it is large")
        story.arrive("a group becomes large")
        story.read_all()

        time.sleep(7)
        story.send("after the end of a token")
        story.arrive("they refresh their tokens")
        node.logs("POST /v1/auth/refresh 200", len(PROGRAMS))

        for one in story.receivers:
            one.log_out(node)
        node.logs("401 device_revoked", len(PROGRAMS))
        story.send("after their devices were logged out")
        story.arrive("they log in again when their devices were logged out")

        node.stop()
        node = story.node = start()
        story.send("after a restart")
        story.arrive("they survive a restart of the server")

        for one in story.receivers:
            one.signal(signal.SIGSTOP)
        for number in range(3):
            story.send(f"while they slept {number}")
        # After the last entry, whose time is more precise than a millisecond, and not in the future.
        time.sleep(0.01)
        now = datetime.datetime.now(datetime.timezone.utc)
        node.admin("expire-inbox", "--before", now.isoformat(timespec="milliseconds"))
        for one in story.receivers:
            one.signal(signal.SIGCONT)
        story.arrive("they start over when the inbox was trimmed")
        node.logs("410 inbox_trimmed", len(PROGRAMS))
        story.send("after starting over")
        story.arrive("and go on")

        node.admin("new-epoch")
        node.stop()
        node = story.node = start()
        story.arrive("they read everything again in a new epoch", rounds=2)
        node.logs("409 epoch_changed", len(PROGRAMS))
        for one in story.receivers:
            one.stop(expected=one.expected)
        node.stop()
        # The one of `read_all`, which did not ask again. The log of a stopped node is complete.
        ahead = node.text().count("409 cursor_ahead")
        assert ahead == 1, f"{ahead} positions were ahead"
    finally:
        for one in story.receivers if story else []:
            one.signal(signal.SIGCONT)
            one.stop(expected=None)
        node.stop()


with harness.directory() as place:
    run(place)
