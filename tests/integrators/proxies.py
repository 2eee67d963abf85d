"""The nginx and HAProxy configurations of docs/PROXIES.md, with two real nodes behind them.

Through each, at the same time: a wait of 55 seconds is not cut, messages sent through one node end a wait on the other, a
body that is too large is refused by Tideline and not by the proxy, a part of an upload passes, a page of a megabyte is compressed, a cookie stays at the
proxy, addresses are limited separately and cannot be forged, and a stopped node ends its waits while sends go on without
errors.
"""

import concurrent.futures
import contextlib
import gzip
import http.client
import http.server
import json
import os
import pathlib
import random
import shutil
import signal
import threading
import time
import uuid

import harness
from harness import Node, Process, call, eventually, free_port, listing, ok, sign_up, text

# Debian keeps servers in a directory of root's PATH.
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
LONG_WAIT = 55
PART = 8 * 1024 * 1024


class Proxy(Process):
    """A proxy with the document's configuration. Only addresses differ, and parts that belong into another file."""

    def __init__(self, name, directory, nodes, around, command, expected):
        self.port, self.expected = free_port(), expected
        self.url = f"http://127.0.0.1:{self.port}"
        home = directory / name
        home.mkdir()
        configuration = listing({"nginx": "nginx.conf", "haproxy": "haproxy.cfg"}[name], "PROXIES.md")
        replaced = {"127.0.0.1:8080": f"127.0.0.1:{nodes[0].port}", "127.0.0.1:8090": f"127.0.0.1:{nodes[1].port}",
                    "listen 80;": f"listen 127.0.0.1:{self.port};", "bind :80 ": f"bind 127.0.0.1:{self.port} "}
        for there, here in replaced.items():
            assert configuration.count(there) <= 1
            configuration = configuration.replace(there, here)
        assert str(self.port) in configuration
        path = home / f"{name}.conf"
        path.write_text(around.replace("{home}", str(home)).replace("{configuration}", configuration))
        # Never as root: a proxy would then keep its files as another user, in places of its own.
        user = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
        if user:
            os.chown(home, 65534, 65534)
        program = shutil.which(name, path=PATH)
        assert program, f"{name} is not installed: .ci/install test"
        command = [program, *(part.replace("{path}", str(path)) for part in command)]
        super().__init__(name, command, directory / f"{name}.log", cwd=home, **user)
        self.until(self.answers)

    def answers(self):
        try:
            return call(self.url, "GET", "/health/live").status == 200
        except OSError:
            return False


NGINX = """daemon off;
pid {home}/pid;
worker_processes 1;
events {}
http {
    access_log off;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
{configuration}}
"""

HAPROXY = """global
    maxconn 1000
{configuration}"""


class Person:
    def __init__(self, base, name):
        self.base, session = base, sign_up(base, name)
        self.token, self.id = session["access_token"], session["user"]["id"]

    def call(self, method, path, body=None, **options):
        return call(self.base, method, path, body, self.token, **options)

    def wait(self, since, seconds, **options):
        return self.call("GET", f"/v1/notices?since_seq={since}&timeout={seconds}", **options)

    def head(self):
        return ok(self.wait(0, 0))["last_seq"]


def direct(one, other):
    return ok(one.call("POST", "/v1/conversations", {"kind": "direct", "user_id": other.id}))["id"]


def in_parallel(work):
    """A thread that keeps its result."""
    future = concurrent.futures.Future()

    def run():
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)
    threading.Thread(target=run, daemon=True).start()
    return future


def long_wait(proxy, name):
    lone, began = Person(proxy.url, "lone"), time.monotonic()
    notice = ok(lone.wait(lone.head(), LONG_WAIT))
    assert notice["news"] is False and time.monotonic() - began >= LONG_WAIT - 0.5, notice
    print(f"proxies: {name}: a wait of {LONG_WAIT} s is not cut")


def across_nodes(proxy, name, nodes):
    """Waits and sends on different nodes, as the request ids in their logs show."""
    ann, ben = Person(proxy.url, "ann"), Person(proxy.url, "ben")
    chat, crossed = direct(ann, ben), 0
    for number in range(8):
        since, ids = ben.head(), {"X-Request-Id": f"wait-{uuid.uuid4()}"}
        waiting = in_parallel(lambda: ben.wait(since, 20, headers=ids))
        time.sleep(0.3)
        began, sent = time.monotonic(), {"X-Request-Id": f"send-{uuid.uuid4()}"}
        message = ok(ann.call("POST", f"/v1/conversations/{chat}/messages", text(f"{number}"), headers=sent), 201)
        notice = ok(waiting.result(30))
        assert notice["news"] and time.monotonic() - began < 10, notice
        page = ok(ben.call("GET", f"/v1/inbox?since_seq={since}"))
        assert [entry["message"]["id"] for entry in page["entries"]] == [message["id"]]

        def met(request):
            return next((node for node in nodes if request["X-Request-Id"] in node.text()), None)
        crossed += eventually("the wait is logged", lambda: met(ids)) is not eventually("the send is", lambda: met(sent))
    assert crossed, "each wait met the node of its send"
    print(f"proxies: {name}: {crossed} of 8 waits were ended by a send through the other node")


def large_body(proxy, name):
    ann = Person(proxy.url, "ann")
    chat = direct(ann, Person(proxy.url, "ben"))
    def custom(size):
        return {**text(""), "kind": "custom", "content": {"data": "x" * size}}
    ok(ann.call("POST", f"/v1/conversations/{chat}/messages", custom(1_000_000)), 201)
    refused = ann.call("POST", f"/v1/conversations/{chat}/messages", custom(1_100_000))
    assert (refused.status, refused.kind) == (413, "application/problem+json"), refused.body
    assert refused.body["code"] == "payload_too_large"
    print(f"proxies: {name}: a large body passes, and Tideline refuses what is too large")


def large_part(proxy, name):
    ann = Person(proxy.url, "ann")
    media = {"client_media_id": str(uuid.uuid4()), "kind": "file", "name": "tide.bin", "mime": "a/b", "size": PART}
    upload = ok(ann.call("POST", "/v1/media", media), 201)
    part = ann.call("PUT", f"/v1/media/{upload['media']['id']}/parts/1", bytes(PART), headers={"Content-Type": "application/octet-stream"})
    assert (upload["part_bytes"], part.status) == (PART, 204), part.body
    print(f"proxies: {name}: a part of {PART} bytes passes")


def compressed_page(proxy, name):
    """A page of a megabyte, for a client that accepts compression."""
    ann = Person(proxy.url, "ann")
    words = " ".join((harness.ROOT / "docs" / "INTEGRATING.md").read_text().split())
    at = (random.randrange(len(words) - 80) for _ in range(12_000))
    said = " ".join(words[start:start + 80] for start in at)
    chat = direct(ann, Person(proxy.url, "ben"))
    message = {**text(""), "kind": "custom", "content": {"data": said}}
    ok(ann.call("POST", f"/v1/conversations/{chat}/messages", message), 201)
    path = f"/v1/conversations/{chat}/messages"
    plain = ok(ann.call("GET", path))
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=30)
    connection.request("GET", path, headers={"Authorization": f"Bearer {ann.token}", "Accept-Encoding": "gzip"})
    answer = connection.getresponse()
    wire = answer.read()
    connection.close()
    assert answer.headers["Content-Encoding"] == "gzip", answer.headers
    page = gzip.decompress(wire)
    assert len(page) > 900_000 and json.loads(page) == plain
    # HAProxy compresses fast rather than well.
    assert len(wire) < len(page) * 2 / 3, f"{len(wire)} bytes for {len(page)}"
    print(f"proxies: {name}: a page of {len(page)} bytes crosses the wire as {len(wire)}")


class Recorder(http.server.BaseHTTPRequestHandler):
    """Answers every request, and records its headers."""

    def do_GET(self):
        self.server.seen.append(self.headers)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def recorder():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    server.seen, server.port = [], server.server_port
    # HAProxy's checks hang up before they are answered.
    server.handle_error = lambda *_: None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()


def cookies(directory):
    """The proxy drops cookies of other programs on the same host."""
    with recorder() as upstream:
        for name in PROXIES:
            home = directory / f"cookies-{name}"
            home.mkdir(mode=0o755)
            with start(name, home, [upstream, upstream]) as proxy:
                upstream.seen.clear()
                ok(call(proxy.url, "GET", "/v1/me", headers={"Cookie": "other=1", "X-Mark": name}))
                seen = next(headers for headers in upstream.seen if headers.get("X-Mark") == name)
                assert "Cookie" not in seen and "127.0.0.1" in seen["X-Forwarded-For"], seen
                print(f"proxies: {name}: a cookie stays at the proxy")


def addresses(proxy, name, here, there):
    """A flood from one address is refused; other addresses are not affected, and cannot be forged."""
    def ask(source, **headers):
        return call(proxy.url, "GET", "/v1/capabilities", source=source, headers=headers)
    refused = next((answer for _ in range(400) if (answer := ask(here)).status != 200), None)
    assert refused and refused.status == 429 and refused.body["code"] == "rate_limited", refused and refused.body
    assert int(refused.headers["Retry-After"]) >= 1 and "address" in refused.headers["RateLimit-Policy"]
    # The limit is refilled continuously, so some requests may succeed.
    forged = [ask(here, **{"X-Forwarded-For": "203.0.113.7"}).status for _ in range(20)]
    assert forged.count(429) >= 10, forged
    assert [ask(there).status for _ in range(5)] == [200] * 5
    print(f"proxies: {name}: addresses are limited apart, and cannot be pretended")


def drain(proxies, nodes):
    """The second node is stopped while waits are parked on it and people send."""
    people = {name: [Person(proxy.url, "ann"), *(Person(proxy.url, "ben") for _ in range(6))]
              for name, proxy in proxies.items()}
    chats = {name: direct(some[0], some[1]) for name, some in people.items()}
    heads = {one: one.head() for some in people.values() for one in some}
    waits = {name: [] for name in proxies}
    for name, some in people.items():
        for one in some[2:]:
            # In sequence, so that the proxy distributes them evenly.
            waits[name].append(in_parallel(lambda one=one: one.wait(heads[one], 30)))
            time.sleep(0.1)
    over = threading.Event()

    def send(name):
        answers, ann = [], people[name][0]
        while not over.is_set():
            sent = ann.call("POST", f"/v1/conversations/{chats[name]}/messages", text("meanwhile"))
            answers.append(sent.status if sent.status == 201 else (sent.status, sent.body))
            time.sleep(0.1)
        return answers
    sends = {name: in_parallel(lambda name=name: send(name)) for name in proxies}
    time.sleep(0.5)
    nodes[1].signal(signal.SIGTERM)
    assert nodes[1].ended(20) == 0, "the node did not stop politely"
    time.sleep(2)
    over.set()
    for name, proxy in proxies.items():
        answers = sends[name].result(30)
        assert len(answers) > 10 and set(answers) == {201}, f"{name}: {answers}"
        finished = [wait.result(1) for wait in waits[name] if wait.done()]
        assert finished, f"{name}: no wait was parked on the node that was stopped"
        for answer in finished:
            notice = ok(answer)
            assert notice["reconnect"] and notice["retry_after_ms"] > 0 and not notice["news"], notice
        # They wait again, on the other node.
        again = [in_parallel(lambda one=one: one.wait(heads[one], 2)) for one in people[name][2:4]]
        assert all(ok(wait.result(10))["reconnect"] is False for wait in again)
        print(f"proxies: {name}: {len(finished)} of 5 waits were asked to reconnect; {len(answers)} sends meanwhile, no fault")
    # The others are parked on the node that stays.
    for name in proxies:
        for one, wait in zip(people[name][2:], waits[name]):
            if not wait.done():
                direct(people[name][0], one)
                assert ok(wait.result(10))["news"]


PROXIES = {"nginx": (NGINX, ["-e", "stderr", "-c", "{path}"], 0), "haproxy": (HAPROXY, ["-db", "-f", "{path}"], -signal.SIGTERM)}


def start(name, directory, nodes):
    return Proxy(name, directory, nodes, *PROXIES[name])


def run(directory):
    cookies(directory)
    # Slow enough that a busy machine can reach the limit, with a burst that is enough for everything else here.
    settings = {"TIDELINE_TRUSTED_PROXIES": "127.0.0.1", "TIDELINE_RATE_LIMIT": "5:60"}
    settings["TIDELINE_MEDIA_URL"] = f"file://{directory / 'dev' / 'media'}"
    with Node(directory, **settings) as first, Node(directory, "second", joins=first, **settings) as second:
        nodes = [first, second]
        with start("nginx", directory, nodes) as nginx, start("haproxy", directory, nodes) as haproxy:
            proxies = {"nginx": nginx, "haproxy": haproxy}
            waits = [in_parallel(lambda name=name, proxy=proxy: long_wait(proxy, name)) for name, proxy in proxies.items()]
            for number, (name, proxy) in enumerate(proxies.items()):
                across_nodes(proxy, name, nodes)
                large_body(proxy, name)
                large_part(proxy, name)
                compressed_page(proxy, name)
                addresses(proxy, name, f"127.0.0.{2 + 2 * number}", f"127.0.0.{3 + 2 * number}")
            for wait in waits:
                wait.result(LONG_WAIT + 10)
            drain(proxies, nodes)


with harness.directory() as place:
    run(pathlib.Path(place))
