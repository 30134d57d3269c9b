"""What senders.sh runs: each part starts a pipeline, lets a real sender send, and compares."""
import base64, collections, contextlib, gzip, json, os, pathlib, shutil, signal, socket, subprocess, sys, tempfile, time, zlib
from datetime import datetime, timezone

QD = os.environ["QD"]
# A zone that is not UTC by half an hour: senders and pipeline must agree on what a time without a zone means.
ENV = {**os.environ, "TZ": "Asia/Kolkata"}
failed = 0


def check(what, good, detail=""):
    global failed
    print(f"{'ok    ' if good else 'FAILED'} {what}{'' if good or not detail else ': ' + str(detail)[:2000]}", flush=True)
    failed += not good


def same(what, got, wanted):
    check(what, got == wanted, f"got {got!r}, wanted {wanted!r}")


def missing(part, *programs):
    for program in programs:
        if not shutil.which(program):
            print(f"skipped {part}: {program} is not installed")
            return True
    return False


def ports(count):
    """Ports that nobody uses at the moment."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    found = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return found


def until(what, cond, seconds=30):
    end = time.monotonic() + seconds
    while not (found := cond()):
        if time.monotonic() > end:
            raise SystemExit(f"FAILED: never came: {what}")
        time.sleep(0.02)
    return found


def answers(port):
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    return False


class Pipeline:
    """`qd logs run` with a JSON file for each output that is named."""

    def __init__(self, work, sources, outputs=None, tcp=(), extra=None):
        self.work, outputs = pathlib.Path(work), outputs or list(sources)
        sinks = {
            "to_" + o.replace(".", "_"): {"type": "file", "inputs": [o], "path": f"{work}/out-{o}.json", "encoding": {"codec": "json"}}
            for o in outputs
        }
        state = self.work / "state"
        state.mkdir(exist_ok=True)
        config = {"data_dir": str(state), "sources": sources, "sinks": sinks, **(extra or {})}
        (self.work / "c.json").write_text(json.dumps(config))
        self.tcp = tcp

    def __enter__(self):
        self.log = open(self.work / "qd.log", "wb")
        self.process = subprocess.Popen([QD, "logs", "run", "-c", self.work / "c.json"], stdout=self.log, stderr=self.log, env=ENV)
        until("the pipeline", lambda: b"pipeline has started" in (self.work / "qd.log").read_bytes())
        for port in self.tcp:
            until(f"port {port}", lambda: answers(port))
        return self

    def lines(self, output):
        path = self.work / f"out-{output}.json"
        return path.read_text().splitlines() if path.exists() else []

    def settle(self, output, count):
        """The events of an output once there are `count`, or no more came for two seconds."""
        seen, since = -1, time.monotonic()
        while True:
            n = len(self.lines(output))
            if n != seen:
                seen, since = n, time.monotonic()
            if n >= count or time.monotonic() - since > 2:
                return [json.loads(line) for line in self.lines(output)]
            time.sleep(0.05)

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = "none: it had to be killed"
        self.log.close()
        if code != 0:
            check("the pipeline ends by SIGTERM", False, f"{code}\n{(self.work / 'qd.log').read_text()[-1500:]}")


def utc(text):
    """A time as microseconds since the epoch."""
    return round(datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(timezone.utc).timestamp() * 1e6)


# rsyslog: messages of a socket and of a file, forwarded by every way, beside rsyslog's own account of them.

SYSLOG_WAYS = {
    # name: protocol, framing, template, whether the time has fractions and a zone, whether it is RFC 5424
    "counted5424": ("tcp", "octet-counted", "RSYSLOG_SyslogProtocol23Format", True, True),
    "counted3164": ("tcp", "octet-counted", "RSYSLOG_TraditionalForwardFormat", False, False),
    "lines5424": ("tcp", "traditional", "RSYSLOG_SyslogProtocol23Format", True, True),
    "lines3164": ("tcp", "traditional", "RSYSLOG_TraditionalForwardFormat", False, False),
    "udp5424": ("udp", None, "RSYSLOG_SyslogProtocol23Format", True, True),
    "udp3164": ("udp", None, "RSYSLOG_TraditionalForwardFormat", False, False),
    "udpiso": ("udp", None, "RSYSLOG_ForwardFormat", True, False),
}


def rsyslog(work):
    if missing("rsyslog", "rsyslogd", "logger"):
        return
    count = 1000
    at = dict(zip(SYSLOG_WAYS, ports(len(SYSLOG_WAYS))))
    sources, actions = {}, []
    for name, (protocol, framing, template, *_) in SYSLOG_WAYS.items():
        sources[name] = {"type": "syslog", "mode": protocol, "address": f"127.0.0.1:{at[name]}"}
        if protocol == "udp":
            sources[name]["receive_buffer_bytes"] = 8 << 20
        framing = f'TCP_Framing="{framing}"' if framing else ""
        actions.append(f'action(type="omfwd" target="127.0.0.1" port="{at[name]}" protocol="{protocol}" {framing} template="{template}")')
    names = ["message:msg", "hostname:hostname", "facility:syslogfacility-text", "severity:syslogseverity-text", "appname:app-name", "procid:procid", "tag:syslogtag"]
    properties = [f'property(outname="{o}" name="{p}" format="jsonf")' for o, p in (n.split(":") for n in names)]
    properties.append('property(outname="timestamp" name="timereported" dateFormat="rfc3339" format="jsonf")')
    (work / "rsyslog.conf").write_text(
        f"""global(workDirectory="{work}" maxMessageSize="32k")
module(load="imuxsock" SysSock.Use="off")
module(load="imfile")
template(name="truth" type="list" option.jsonf="on") {{ {" ".join(properties)} }}
input(type="imuxsock" Socket="{work}/log.sock" RateLimit.Interval="0" ruleset="all")
input(type="imfile" File="{work}/app.txt" Tag="app[77]:" Facility="local3" Severity="notice" ruleset="all")
ruleset(name="all") {{
  {chr(10).join(actions)}
  action(type="omfile" file="{work}/truth.json" template="truth")
}}
"""
    )
    odd = ["", 'a "quoted" back\\slash', "ünïcode ☃ 語", "[not structured] data", "<13>not a priority", "colon: in it", "x" * 3000]
    lines = [f"entry {i} {odd[i % len(odd)]}".rstrip() for i in range(count)]
    (work / "app.txt").write_text("".join(f"{line}\n" for line in lines))
    (work / "socket.txt").write_text("".join(f"{line}\n" for line in lines))
    with Pipeline(work, sources, tcp=[p for n, p in at.items() if SYSLOG_WAYS[n][0] == "tcp"]) as pipeline:
        daemon = subprocess.Popen(["rsyslogd", "-n", "-f", work / "rsyslog.conf", "-i", work / "rsyslog.pid"], env=ENV)
        try:
            until("rsyslog's socket", (work / "log.sock").exists)
            for priority, tag in [("auth.warning", "sshd"), ("user.debug", "my-app/1")]:
                subprocess.run(["logger", "-u", work / "log.sock", "-p", priority, "-t", tag, "--id=4711", "-S", "16k", "-f", work / "socket.txt"], check=True, env=ENV)
            subprocess.run(["logger", "-u", work / "log.sock", "-p", "kern.emerg", "-t", "bare", "no process id"], check=True, env=ENV)
            total = 3 * count + 1
            truth = lambda: (work / "truth.json").read_text().splitlines() if (work / "truth.json").exists() else []
            until("rsyslog's account", lambda: len(truth()) >= total)
            wanted = [json.loads(line) for line in truth()]
            for name, (_, _, _, exact, modern) in SYSLOG_WAYS.items():
                got = pipeline.settle(name, total)
                same(f"rsyslog {name}: messages", len(got), total)
                same(f"rsyslog {name}: fields", difference(got, [expected(w, exact, modern) for w in wanted]), {})
        finally:
            daemon.terminate()
            daemon.wait(20)


def expected(truth, exact, modern):
    """What the source should make of a message."""
    event = {
        # A line in the format of lines ends in what the pipeline takes for white space.
        "message": truth["message"].strip(),
        "hostname": truth["hostname"],
        "host": truth["hostname"],
        "facility": truth["facility"],
        "severity": truth["severity"],
        # The tag of RFC 3164 is all that is before the process; RFC 5424's name ends where rsyslog lets it.
        "appname": truth["appname"] if modern else truth["tag"].split("[")[0].rstrip(":"),
        "source_ip": "127.0.0.1",
        "source_type": "syslog",
        "timestamp": utc(truth["timestamp"]) if exact else utc(truth["timestamp"]) // 1_000_000 * 1_000_000,
    }
    if truth["procid"] not in ("", "-"):
        event["procid"] = int(truth["procid"])
    if modern:
        event["version"] = 1
    return event


def difference(got, wanted):
    """The events that only one side has, as counts; a few of them."""
    flat = lambda e: json.dumps({**e, "timestamp": utc(e["timestamp"]) if isinstance(e["timestamp"], str) else e["timestamp"]}, sort_keys=True)
    one, two = collections.Counter(map(flat, got)), collections.Counter(map(flat, wanted))
    return {k: v for k, v in (("only sent", list((two - one).items())[:2]), ("only received", list((one - two).items())[:2])) if v}


# logger: straight to the sources.


def logger(work):
    if missing("logger", "logger"):
        return
    tcp, udp = ports(2)
    sources = {
        "tcp": {"type": "syslog", "mode": "tcp", "address": f"127.0.0.1:{tcp}"},
        "udp": {"type": "syslog", "mode": "udp", "address": f"127.0.0.1:{udp}", "receive_buffer_bytes": 8 << 20},
        "unix": {"type": "syslog", "mode": "unix", "path": f"{work}/s.sock"},
    }
    (work / "lines.txt").write_text("".join(f"n={i} of it\n" for i in range(2000)))
    to = {"tcp": ["-T", "-n", "127.0.0.1", "-P", str(tcp)], "udp": ["-d", "-n", "127.0.0.1", "-P", str(udp)], "unix": ["-T", "-u", f"{work}/s.sock"]}
    with Pipeline(work, sources, tcp=[tcp]) as pipeline:
        for name, where in to.items():
            wanted = 0
            for style in (["--rfc3164"], ["--rfc5424"], ["--rfc5424", "--octet-count", "--sd-id", "my@1", "--sd-param", 'k="v \\"q\\""', "--msgid", "ID1"]):
                if name == "udp" and "--octet-count" in style:
                    continue
                subprocess.run(["logger", *where, *style, "-p", "mail.err", "-t", "tag", "-f", work / "lines.txt"], check=True, env=ENV)
                wanted += 2000
            got = pipeline.settle(name, wanted)
            same(f"logger {name}: messages", len(got), wanted)
            per = collections.Counter(e["message"] for e in got)
            same(f"logger {name}: each of them {wanted // 2000} times", set(per.values()) | {len(per)}, {wanted // 2000, 2000})
            odd = [e for e in got if (e["facility"], e["severity"], e["appname"]) != ("mail", "err", "tag")]
            same(f"logger {name}: their fields", odd[:1], [])
            if name != "udp":
                said = [e for e in got if e.get("msgid") == "ID1"]
                same(f"logger {name}: structured data", (len(said), said[0]["my@1"] if said else None), (2000, {"k": 'v "q"'}))


# nginx: the access log in a file that is rotated while requests come, and by syslog.


def nginx(work):
    if missing("nginx", "nginx", "curl"):
        return
    http, udp = ports(2)
    for d in ("logs", "tmp"):
        (work / d).mkdir()
    paths = "\n".join(f"{p}_temp_path {work}/tmp/{p};" for p in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (work / "nginx.conf").write_text(
        f"""daemon off; pid {work}/nginx.pid; error_log {work}/error.log; worker_processes 2; {'user root;' if os.geteuid() == 0 else ''}
events {{ }}
http {{ {paths}
  log_format named 'id=$arg_id status=$status host=$host';
  access_log {work}/logs/access.log combined;
  access_log syslog:server=127.0.0.1:{udp},tag=web,facility=local5,severity=notice named;
  server {{ listen 127.0.0.1:{http}; location / {{ return 200 "hello\\n"; }} location /gone {{ return 410; }} }}
}}
"""
    )
    sources = {
        "file": {"type": "file", "include": [f"{work}/logs/access.log*"], "glob_minimum_cooldown_ms": 100},
        "syslog": {"type": "syslog", "mode": "udp", "address": f"127.0.0.1:{udp}", "receive_buffer_bytes": 8 << 20},
    }
    parsed = {"parse": {"type": "remap", "inputs": ["file"], "source": '. |= parse_nginx_log!(.message, "combined")'}}
    with Pipeline(work, sources, outputs=["file", "syslog", "parse"], extra={"transforms": parsed}) as pipeline:
        server = subprocess.Popen(["nginx", "-p", work, "-c", work / "nginx.conf"], env=ENV)
        try:
            until("nginx", lambda: answers(http))
            count, rounds = 600, 5
            for turn in range(rounds):
                first = turn * count
                curl = subprocess.Popen(
                    ["curl", "-s", "-o", os.devnull, "-A", 'agent "q" \\ ü', f"http://127.0.0.1:{http}/a?id=[{first}-{first + count - 1}]"], env=ENV
                )
                # Turned over in the middle of it, as logrotate does: renamed, then the server is told.
                time.sleep(0.05)
                for n in range(turn, 0, -1):
                    os.rename(work / f"logs/access.log.{n}", work / f"logs/access.log.{n + 1}")
                os.rename(work / "logs/access.log", work / "logs/access.log.1")
                os.kill(int((work / "nginx.pid").read_text()), signal.SIGUSR1)
                curl.wait(60)
                until("the new log", (work / "logs/access.log").exists)
            subprocess.run(["curl", "-s", "-o", os.devnull, f"http://127.0.0.1:{http}/gone?id=last"], env=ENV)
            total = count * rounds + 1
            logs = lambda: [l for f in (work / "logs").iterdir() for l in f.read_text().splitlines()]
            until("nginx' log", lambda: len(logs()) >= total)
            time.sleep(0.2)
            wanted = logs()
            got = [e["message"] for e in pipeline.settle("file", len(wanted))]
            same(f"nginx file over {rounds} rotations: lines", len(got), len(wanted))
            same("nginx file: the same lines, each once", collections.Counter(got) == collections.Counter(wanted), True)
            events = pipeline.settle("parse", len(wanted))
            odd = [e for e in events if e["status"] not in (200, 410) or not e["request"].startswith("GET /") or "\\x22q" not in e["agent"] and "id=last" not in e["request"] or e["client"] != "127.0.0.1"]
            same("nginx file: parse_nginx_log", (len(events), odd[:1]), (len(wanted), []))
            got = pipeline.settle("syslog", total)
            ids = collections.Counter(e["message"].split()[0] for e in got)
            same("nginx syslog: messages", len(got), total)
            same("nginx syslog: each request once", ids, collections.Counter([f"id={i}" for i in range(total - 1)] + ["id=last"]))
            fields = {(e["appname"], e["facility"], e["severity"], e["source_ip"]) for e in got}
            same("nginx syslog: fields", fields, {("web", "local5", "notice", "127.0.0.1")})
            drift = max(abs(utc(e["timestamp"]) / 1e6 - time.time()) for e in got)
            check("nginx syslog: times without a zone are local", drift < 600, f"{drift} s away")
        finally:
            server.terminate()
            server.wait(20)


# curl: every body, encoding and refusal of http_server; and lines to socket.


def curl(work):
    if missing("curl", "curl"):
        return
    text, js, closed, sock = ports(4)
    sources = {
        "text": {"type": "http_server", "address": f"127.0.0.1:{text}", "path": "/in", "strict_path": False, "headers": ["X-Token", "user-*"], "query_parameters": ["q"], "host_key": "from"},
        "json": {"type": "http_server", "address": f"127.0.0.1:{js}", "decoding": {"codec": "json"}},
        "closed": {"type": "http_server", "address": f"127.0.0.1:{closed}", "auth": {"username": "me", "password": "secret"}, "method": "PUT", "response_code": 204},
        "lines": {"type": "socket", "mode": "tcp", "address": f"127.0.0.1:{sock}"},
        "unix": {"type": "socket", "mode": "unix_stream", "path": f"{work}/lines.sock"},
    }

    def call(port, path, *args, body=None):
        cmd = ["curl", "-s", "-m", "60", "-o", work / "answer", "-w", "%{http_code}", f"http://127.0.0.1:{port}{path}", *args]
        if body is not None:
            (work / "body").write_bytes(body)
            cmd += ["--data-binary", f"@{work}/body"]
        return int(subprocess.run(cmd, capture_output=True, env=ENV).stdout)

    with Pipeline(work, sources, tcp=[text, js, closed, sock]) as pipeline:
        same("curl text: 200", call(text, "/in/deep?q=a%20b+c", "-H", "X-Token: t1", "-A", "me/1", body=b"one\ntwo\r\nthree"), 200)
        got = pipeline.settle("text", 3)
        same("curl text: lines", [e["message"] for e in got], ["one", "two\r", "three"])  # as Vector: only the line feed goes
        keys = ("path", "X-Token", "user-agent", "q", "from", "source_type")
        same("curl text: fields", {tuple(e[k] for k in keys) for e in got}, {("/in/deep", "t1", "me/1", "a b c", "127.0.0.1", "http_server")})
        plain = b"".join(b'{"n": %d, "t": "2026-01-02T03:04:05Z"}\n' % i for i in range(1000))
        deflated = {"gzip": gzip.compress(plain), "deflate": zlib.compress(plain), "identity": plain}
        deflated["gzip, gzip"] = gzip.compress(gzip.compress(plain))
        deflated["gzip of two members"] = gzip.compress(plain[:5000]) + gzip.compress(plain[5000:])
        if shutil.which("zstd"):
            deflated["zstd"] = subprocess.run(["zstd", "-q", "-c"], input=plain, capture_output=True, check=True).stdout
        else:
            print("skipped curl with zstd: zstd is not installed")
        try:
            import snappy
            deflated["snappy"] = snappy.compress(plain)
        except ImportError:
            # A block of literals only is snappy too.
            deflated["snappy"] = literals(plain)
        wanted = 0
        for name, body in deflated.items():
            header = name.replace(" of two members", "")
            same(f"curl json, {name}: 200", call(js, "/", "-H", f"Content-Encoding: {header}", body=body), 200)
            wanted += 1000
        same("curl json, chunked: 200", call(js, "/", "-H", "Transfer-Encoding: chunked", body=plain), 200)
        same("curl json, a list: 200", call(js, "/", body=json.dumps([{"n": i} for i in range(1000)]).encode()), 200)
        wanted += 2000
        got = pipeline.settle("json", wanted)
        same("curl json: events", len(got), wanted)
        same("curl json: each as often", set(collections.Counter(e["n"] for e in got).values()), {wanted // 1000})
        for what, status, args in [
            ("no JSON", 400, dict(path="/", body=b'{"n": 1}\n{"n":')),
            ("no such path", 404, dict(path="/other", body=b"{}")),
            ("an encoding that is not known", 415, dict(path="/", args=["-H", "Content-Encoding: br"], body=b"{}")),
            ("no gzip", 422, dict(path="/", args=["-H", "Content-Encoding: gzip"], body=b"{}")),
            ("a bomb", 413, dict(path="/", args=["-H", "Content-Encoding: gzip"], body=gzip.compress(b" " * (200 << 20), 1))),
            ("GET", 405, dict(path="/")),
        ]:
            same(f"curl json, {what}: {status}", call(js, args["path"], *args.get("args", []), body=args.get("body")), status)
        same("curl: /ping", (call(js, "/ping"), (work / "answer").read_text()), (200, "pong"))
        # 100 at a time over as many connections.
        urls = f"http://127.0.0.1:{js}/?r=[1-1000]"
        subprocess.run(["curl", "-s", "--no-progress-meter", "-Z", "--parallel-max", "100", "-o", os.devnull, "-d", '{"n": "together"}', urls], env=ENV, check=True, stderr=subprocess.DEVNULL)
        got = pipeline.settle("json", wanted + 1000)
        same("curl json, 100 at a time", sum(e["n"] == "together" for e in got), 1000)
        big = ("y" * (20 << 20)).encode()
        same("curl json, 20 MiB in one event: 200", call(js, "/", body=b'{"n": "big", "y": "' + big + b'"}'), 200)
        got = pipeline.settle("json", wanted + 1001)
        same("curl json, 20 MiB in one event", [len(e["y"]) for e in got if e["n"] == "big"], [20 << 20])
        for what, status, args in [
            ("no password", 401, []),
            ("a wrong password", 401, ["-u", "me:wrong"]),
            ("the password", 204, ["-u", "me:secret"]),
        ]:
            same(f"curl with {what}: {status}", call(closed, "/", "-X", "PUT", *args, body=b"x"), status)
        same("curl POST where PUT is wanted: 405", call(closed, "/", "-u", "me:secret", body=b"x"), 405)
        same("curl with the password: one event", [e["message"] for e in pipeline.settle("closed", 1)], ["x"])
        lines = [f"line {i} ü" for i in range(20_000)]
        for name, where in [("lines", [f"telnet://127.0.0.1:{sock}"]), ("unix", ["--unix-socket", f"{work}/lines.sock", "telnet://localhost"])]:
            # curl closes when its input ends; the last line has no end.
            sent = subprocess.run(["curl", "-s", "-m", "20", *where], input="\n".join(lines).encode(), env=ENV, capture_output=True)
            got = pipeline.settle(name, len(lines))
            if name == "unix" and not got and sent.returncode not in (0, 28):
                print(f"skipped curl socket {name}: this curl speaks no telnet over unix sockets")
                continue
            same(f"curl socket {name}: lines", [e["message"] for e in got] == lines, True)
            port = {"port" in e for e in got}
            same(f"curl socket {name}: the peer's port", port, {name == "lines"})


def literals(data):
    """Snappy's block format without any copies."""
    n, out = len(data), bytearray()
    while n >= 128:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    for at in range(0, len(data), 60):
        piece = data[at : at + 60]
        out += bytes([(len(piece) - 1) << 2]) + piece
    return bytes(out)


# OpenTelemetry's exporters: logs, spans and metrics by gRPC, HTTP with protobuf, and HTTP with JSON.


def otlp(work):
    python = os.environ.get("OTLP_PYTHON", sys.executable)
    if subprocess.run([python, "-c", "import opentelemetry.exporter.otlp.proto.grpc"], capture_output=True).returncode:
        print(f"skipped otlp: {python} has no opentelemetry-exporter-otlp (OTLP_PYTHON names another)")
        return
    grpc, http = ports(2)
    sources = {"otel": {"type": "opentelemetry", "grpc": {"address": f"127.0.0.1:{grpc}"}, "http": {"address": f"127.0.0.1:{http}"}}}
    outputs = ["otel.logs", "otel.traces", "otel.metrics"]
    with Pipeline(work, sources, outputs, tcp=[grpc, http]) as pipeline:
        counts = collections.Counter()
        for way in ("grpc", "grpc-gzip", "http", "http-gzip", "http-deflate", "json"):
            sent = subprocess.run(
                [python, pathlib.Path(__file__).with_name("otlp.py"), way, str(grpc), str(http)], capture_output=True, text=True, env=ENV, timeout=120
            )
            if sent.returncode == 3:
                print(f"skipped otlp {way}: {sent.stdout.strip()}")
                continue
            if sent.returncode:
                check(f"otlp {way}: the exporter", False, sent.stderr)
                continue
            truth = json.loads(sent.stdout)
            for output in outputs:
                signal_name = output.split(".")[1]
                counts[output] += len(truth[signal_name])
                got = pipeline.settle(output, counts[output])[counts[output] - len(truth[signal_name]) :]
                same(f"otlp {way}: {signal_name}", len(got), len(truth[signal_name]))
                pairs = zip(sorted(got, key=identity), sorted(truth[signal_name], key=identity))
                odd = [d for g, w in pairs if (d := unlike(g, w))]
                same(f"otlp {way}: {signal_name}, their fields", odd[:2], [])


def identity(event):
    return json.dumps([event.get("attributes"), event.get("name"), event.get("tags")], sort_keys=True)


def unlike(got, wanted):
    """The fields that differ; times to be compared end in nanoseconds in what was sent, `*` stands for anything."""
    odd = {}
    for key in sorted(set(got) | set(wanted)):
        g, w = got.get(key, "absent"), wanted.get(key, "absent")
        if w == "*" and g != "absent":
            continue
        if isinstance(w, dict) and isinstance(g, dict):
            inner = unlike(g, w)
            if inner:
                odd[key] = inner
        elif isinstance(w, list) and isinstance(g, list) and len(w) == len(g) and all(isinstance(i, dict) for i in g + w):
            inner = [u for a, b in zip(g, w) if (u := unlike(a, b))]
            if inner:
                odd[key] = inner
        elif g != w:
            odd[key] = (g, w)
    return odd


PARTS = {f.__name__: f for f in (rsyslog, logger, nginx, curl, otlp)}
for name in sys.argv[1:] or PARTS:
    if name not in PARTS:
        raise SystemExit(f"unknown part {name}: {', '.join(PARTS)}")
    with tempfile.TemporaryDirectory(prefix=f"senders-{name}-") as work:
        PARTS[name](pathlib.Path(work))
print(f"{failed} failed" if failed else "all as sent")
sys.exit(bool(failed))
