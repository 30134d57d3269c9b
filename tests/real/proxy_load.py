#!/usr/bin/env python3
"""h2load through the proxy: HTTP/1, HTTP/2 with prior knowledge, HTTP/2 to HTTP/1, bodies both ways; no request may fail.

Usage: PROXY=target/release/examples/proxy tests/real/proxy_load.py [REQUESTS]
Needs h2load and nginx (Debian: nghttp2-client nginx).
"""
import os, re, subprocess, sys, tempfile
from proxylib import Count, need, port, proxy, wait

need("h2load", "nginx")
requests = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
tmp = tempfile.mkdtemp(prefix="proxyload-")
os.chmod(tmp, 0o755)
origin = port()
paths = "".join(f"{k}_temp_path {tmp}/{k};" for k in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
with open(f"{tmp}/big", "wb") as f:
    f.write(os.urandom(1 << 20))
with open(f"{tmp}/c", "w") as f:
    f.write(f"""pid {tmp}/pid; error_log /dev/null; worker_processes 1; daemon off; events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 100000000; client_max_body_size 0; {paths}
 server {{ listen 127.0.0.1:{origin} backlog=4096; root {tmp}; location = /s {{ default_type text/plain; return 200 "small"; }} }} }}""")
with open(f"{tmp}/up", "wb") as f:
    f.write(os.urandom(64 * 1024))
nginx = subprocess.Popen(["nginx", "-c", f"{tmp}/c"], stderr=subprocess.DEVNULL)
wait(origin)
process, front = proxy("--to", f"127.0.0.1:{origin}")
# What came by HTTP/2 would go on as such; this origin speaks HTTP/1.
with open(f"{tmp}/proxy.yaml", "w") as f:
    second = port()
    f.write(f"""listeners: [{{name: in, address: '127.0.0.1:{second}'}}]
clusters: [{{name: up, protocol: http1, endpoints: [{{address: '127.0.0.1:{origin}'}}]}}]
routes: [{{kind: HTTPRoute, name: all, rules: [{{backendRefs: [{{name: up}}]}}]}}]
""")
other = subprocess.Popen([os.environ.get("PROXY", "target/release/examples/proxy"), "--config", f"{tmp}/proxy.yaml"], stderr=subprocess.DEVNULL)
count = Count()
try:
    wait(second)
    runs = [
        ("HTTP/1, 64 connections", front, ["--h1", "-c64"], "/s", requests),
        ("HTTP/1, 1 connection", front, ["--h1", "-c1"], "/s", requests // 4),
        ("HTTP/1, 1 MiB answers", front, ["--h1", "-c16"], "/big", 400),
        ("HTTP/2 to HTTP/1, 10 streams", second, ["-c16", "-m10"], "/s", requests),
        ("HTTP/2 to HTTP/1, 100 streams", second, ["-c4", "-m100"], "/s", requests),
        ("HTTP/2 to HTTP/1, 1 MiB answers", second, ["-c4", "-m4"], "/big", 400),
        ("HTTP/1 with bodies", front, ["--h1", "-c16", "-d", f"{tmp}/up"], "/s", requests // 10),
        ("HTTP/2 with bodies", second, ["-c4", "-m10", "-d", f"{tmp}/up"], "/s", requests // 10),
    ]
    for name, to, flags, path, n in runs:
        out = subprocess.run(["h2load", "-t1", "-n", str(n), *flags, f"http://127.0.0.1:{to}{path}"],
                             capture_output=True, text=True, timeout=300).stdout
        line = re.search(r"requests: .*", out)
        codes = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", out)
        done = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", out)
        fine = done and done.group(1) == str(n) and done.group(2, 3, 4) == ("0", "0", "0")
        # nginx answers a body to a place that takes none with 405.
        fine = fine and (codes.group(1) == str(n) or "bodies" in name and codes.group(4) == "0")
        rate = re.search(r"([\d.]+) req/s", out)
        print(f"{name}: {done.group(1) if done else 0} of {n}, {rate.group(1) if rate else '?'} a second")
        count.check(name, bool(fine), out)
finally:
    for p in (process, other, nginx):
        p.terminate()
        p.wait()
count.end("h2load")
