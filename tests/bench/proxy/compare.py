#!/usr/bin/env python3
"""CPU for 1,000 requests, resident memory and latency of haproxy, nginx and this proxy, in turn, on loopback.

Usage: PROXY=target/release/examples/proxy tests/bench/proxy/compare.py [ROUNDS [REQUESTS]]
Needs nginx, haproxy and h2load (Debian: nginx haproxy nghttp2-client). Each proxy has one worker; 64 connections ask for a
body of 64 bytes. A round measures every proxy once; figures are the medians of the rounds and the least CPU of any.
"""
import os, re, signal, socket, statistics, subprocess, sys, tempfile, time

rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
requests = int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
ours = os.environ.get("PROXY", "target/release/examples/proxy")
only = os.environ.get("ONLY", "").split(",") if os.environ.get("ONLY") else None
tmp = tempfile.mkdtemp(prefix="proxybench-")
os.chmod(tmp, 0o755)
ORIGIN, HAPROXY, NGINX, QD, QDTAP = 18100, 18101, 18102, 18103, 18104


def write(name, text):
    path = f"{tmp}/{name}"
    with open(path, "w") as f:
        f.write(text)
    return path


common = f"pid {tmp}/%s.pid; error_log /dev/null; worker_processes 1; daemon off; events {{ worker_connections 4096; }}\n"
paths = "".join(f"{k}_temp_path {tmp}/%s-{k};" for k in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
origin = write("origin.conf", common % "origin" + f"""
http {{ access_log off; keepalive_requests 100000000; {paths.replace('%s', 'origin')}
  server {{ listen 127.0.0.1:{ORIGIN} backlog=4096; location / {{ default_type text/plain; return 200 "{'x' * 64}"; }} }} }}""")
nginx = write("nginx.conf", common % "nginx" + f"""
http {{ access_log off; keepalive_requests 100000000; {paths.replace('%s', 'nginx')}
  upstream o {{ server 127.0.0.1:{ORIGIN}; keepalive 256; keepalive_requests 100000000; }}
  server {{ listen 127.0.0.1:{NGINX} backlog=4096;
    location / {{ proxy_pass http://o; proxy_http_version 1.1; proxy_set_header Connection ""; }} }} }}""")
haproxy = write("haproxy.cfg", f"""
global
  nbthread 1
  maxconn 4000
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend f
  bind 127.0.0.1:{HAPROXY} backlog 4096
  default_backend b
backend b
  server s 127.0.0.1:{ORIGIN} pool-max-conn -1
""")
commands = {
    "origin": (["nginx", "-c", origin], ORIGIN),
    "haproxy": (["haproxy", "-db", "-f", haproxy], HAPROXY),
    "nginx": (["nginx", "-c", nginx], NGINX),
    "qd": ([ours, "--listen", f"127.0.0.1:{QD}", "--to", f"127.0.0.1:{ORIGIN}", "--workers", "1"], QD),
    "qd-tap": ([ours, "--listen", f"127.0.0.1:{QDTAP}", "--to", f"127.0.0.1:{ORIGIN}", "--workers", "1", "--tap"], QDTAP),
}


def family(pid):
    """The process and its children."""
    out = [pid]
    kids = open(f"/proc/{pid}/task/{pid}/children").read().split()
    for kid in kids:
        out += family(int(kid))
    return out


def cpu(pids):
    """Seconds of user and system time, from the scheduler's own count in nanoseconds where it is to be had."""
    total = 0.0
    for pid in pids:
        for task in os.listdir(f"/proc/{pid}/task"):
            total += int(open(f"/proc/{pid}/task/{task}/schedstat").read().split()[0]) / 1e9
    return total


def rss(pids):
    return sum(int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{p}/status").read()).group(1)) for p in pids)


def load(port, n, clients=64):
    out = subprocess.run(
        ["h2load", "--h1", "-n", str(n), "-c", str(clients), "-t1", f"http://127.0.0.1:{port}/"],
        capture_output=True, text=True, timeout=300).stdout
    good = int(re.search(r"(\d+) succeeded", out).group(1))
    rate = float(re.search(r"finished in .*?, ([\d.]+) req/s", out).group(1))
    return good, rate


def quantiles(port, seconds=3):
    """p50 and p99 in microseconds, by wrk."""
    try:
        out = subprocess.run(["wrk", "-t1", "-c64", f"-d{seconds}s", "--latency", f"http://127.0.0.1:{port}/"],
                             capture_output=True, text=True, timeout=60).stdout
    except FileNotFoundError:
        return None, None
    unit = {"us": 1, "ms": 1e3, "s": 1e6}
    found = [re.search(rf"{q}%\s+([\d.]+)(us|ms|s)", out) for q in (50, 99)]
    return [float(m.group(1)) * unit[m.group(2)] if m else None for m in found]


running = {}
try:
    for name, (command, port) in commands.items():
        if only and name not in only and name != "origin":
            continue
        running[name] = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port), 0.2).close()
                break
            except OSError:
                time.sleep(0.05)
        else:
            sys.exit(f"{name} does not answer")
    time.sleep(0.3)
    names = [n for n in running if n != "origin"]
    figures = {n: {"cpu": [], "rate": [], "bad": 0, "p50": [], "p99": []} for n in names}
    for name in names:
        load(commands[name][1], 5000)
    for _ in range(rounds):
        for name in names:
            pids = family(running[name].pid)
            before = cpu(pids)
            good, rate = load(commands[name][1], requests)
            used = cpu(pids) - before
            f = figures[name]
            f["cpu"].append(used * 1e6 / requests)
            f["rate"].append(rate)
            f["bad"] += requests - good
            f["rss"] = rss(pids) / 1024
    for name in names:
        f = figures[name]
        f["p50"], f["p99"] = quantiles(commands[name][1])
    base = min(figures["haproxy"]["cpu"]) if "haproxy" in figures else None
    print(f"{'':8} {'CPU-ms/1000':>12} {'least':>7} {'x haproxy':>9} {'req/s':>8} {'errors':>6} {'RSS MB':>7} {'p50 us':>8} {'p99 us':>8}")
    for name in names:
        f = figures[name]
        ratio = min(f["cpu"]) / base if base else 0
        print(f"{name:8} {statistics.median(f['cpu']):12.2f} {min(f['cpu']):7.2f} {ratio:9.2f} {statistics.median(f['rate']):8.0f}"
              f" {f['bad']:6} {f['rss']:7.1f} {f['p50'] or 0:8.0f} {f['p99'] or 0:8.0f}")
finally:
    for p in running.values():
        p.send_signal(signal.SIGTERM)
    for p in running.values():
        try:
            p.wait(3)
        except subprocess.TimeoutExpired:
            p.kill()
