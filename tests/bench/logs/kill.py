#!/usr/bin/env python3
"""SIGKILLs at random moments while numbered lines flow from a file that is written and rotated, and what arrives in the end.

Usage: QD=target/release/qd tests/bench/logs/kill.py KIND [KILLS]
KIND is file, gzip, http (with a disk buffer) or s3; s3 needs S3_SERVER, the path of the example `s3` of qd-logs-net.
Prints lines written, lost and delivered more than once; ends with 1 if any is lost or torn.
"""
import collections, glob, http.server, os, random, shutil, signal, socket, subprocess, sys, tempfile, threading, time

kind, kills = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 200
qd = os.environ.get("QD", "target/release/qd")
base = tempfile.mkdtemp(prefix="qd-kill-")
for d in ("data", "in", "out"):
    os.mkdir(f"{base}/{d}")


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        n = int(self.headers.get("content-length", 0))
        body = self.rfile.read(n)
        if len(body) < n:
            return
        received.write(body if body.endswith(b"\n") or not body else body + b"\n")
        received.flush()
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """A sender that is killed breaks its connection off."""


helper = None
text = "encoding: {codec: text}"
if kind == "http":
    received = open(f"{base}/out/received", "wb")
    server = Server(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sink = (f"type: http, uri: 'http://127.0.0.1:{server.server_address[1]}/', {text}, framing: {{method: newline_delimited}}, "
            "batch: {timeout_secs: 0.05}, healthcheck: false, buffer: {type: disk, max_size: 300000000}")
elif kind == "s3":
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    helper = subprocess.Popen([os.environ["S3_SERVER"], f"127.0.0.1:{port}", f"{base}/out"], stdout=subprocess.DEVNULL)
    time.sleep(0.5)
    sink = (f"type: aws_s3, bucket: logs, endpoint: 'http://127.0.0.1:{port}', region: us-east-1, compression: gzip, {text}, "
            "auth: {access_key_id: a, secret_access_key: b}, framing: {method: newline_delimited}, healthcheck: false, "
            "batch: {timeout_secs: 0.05}")
elif kind == "gzip":
    sink = f"type: file, path: {base}/out/out.log.gz, compression: gzip, {text}"
else:
    sink = f"type: file, path: {base}/out/out.log, {text}"
config = f"{base}/c.yaml"
with open(config, "w") as f:
    f.write(f"data_dir: {base}/data\nsources:\n  in: {{type: file, include: ['{base}/in/*.log']}}\n"
            f"sinks:\n  out: {{inputs: [in], {sink}}}\n")

rnd, written = random.Random(7), 0
log = open(f"{base}/in/a.log", "a", buffering=1)


def write(count):
    global written
    log.write("".join(f"line {i} {'x' * rnd.randint(0, 300)}\n" for i in range(written, written + count)))
    written += count


def start():
    said = open(f"{base}/said", "a")
    return subprocess.Popen([qd, "logs", "run", "-q", "--name", f"kill-{os.getpid()}", "-c", config], stderr=said)


for i in range(kills):
    write(rnd.randint(1, 3000))
    qd_run = start()
    end = time.time() + rnd.uniform(0.02, 0.35)
    while time.time() < end:
        write(rnd.randint(0, 200))
        time.sleep(0.01)
    qd_run.send_signal(signal.SIGKILL)
    qd_run.wait()
    if i % 20 == 7:
        log.close()
        os.rename(f"{base}/in/a.log", f"{base}/in/a.{i}.log")
        log = open(f"{base}/in/a.log", "a", buffering=1)
last = start()
time.sleep(6)
last.send_signal(signal.SIGINT)
last.wait()

seen, torn = collections.Counter(), 0
for path in glob.glob(f"{base}/out/**", recursive=True):
    if os.path.isdir(path):
        continue
    zipped = kind in ("gzip", "s3")
    data = subprocess.run(["gzip", "-dc"], stdin=open(path, "rb"), capture_output=True).stdout if zipped else open(path, "rb").read()
    for line in data.split(b"\n"):
        words = line.split(b" ")
        if len(words) >= 2 and words[0] == b"line" and words[1].isdigit():
            seen[int(words[1])] += 1
        elif line:
            torn += 1
lost = [i for i in range(written) if not seen[i]]
twice = sum(n - 1 for n in seen.values() if n > 1)
print(f"{kind}: {kills} kills, {written} lines, {len(lost)} lost, {twice} delivered again, {torn} torn")
if helper:
    helper.terminate()
shutil.rmtree(base, ignore_errors=True)
sys.exit(bool(lost or torn))
