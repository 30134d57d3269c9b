#!/usr/bin/env python3
"""slowhttptest against the proxy: slow heads, slow bodies, slow reading; others must be served all the while.

Usage: PROXY=target/release/examples/proxy tests/real/proxy_slow.py [SECONDS [CONNECTIONS]]
Needs slowhttptest and nginx (Debian).
"""
import http.client, os, subprocess, sys, tempfile, threading, time
from proxylib import Count, need, port, proxy, wait

need("slowhttptest", "nginx")
seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
connections = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
tmp = tempfile.mkdtemp(prefix="proxyslow-")
os.chmod(tmp, 0o755)
origin = port()
paths = "".join(f"{k}_temp_path {tmp}/{k};" for k in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
with open(f"{tmp}/big", "wb") as f:
    f.write(os.urandom(4 << 20))
with open(f"{tmp}/c", "w") as f:
    f.write(f"""pid {tmp}/pid; error_log /dev/null; worker_processes 1; daemon off; events {{ worker_connections 8192; }}
http {{ access_log off; {paths} server {{ listen 127.0.0.1:{origin} backlog=4096; root {tmp};
 location = /s {{ default_type text/plain; return 200 "small"; }} }} }}""")
nginx = subprocess.Popen(["nginx", "-c", f"{tmp}/c"], stderr=subprocess.DEVNULL)
wait(origin)
process, front = proxy("--to", f"127.0.0.1:{origin}", "--workers", "1")
count = Count()
try:
    for name, flags, path in [
        ("slow heads", ["-H", "-i", "2"], "/s"),
        ("slow bodies", ["-B", "-i", "2", "-s", "8192"], "/s"),
        ("slow reading", ["-X", "-r", "500", "-w", "64", "-y", "256", "-n", "2", "-z", "32", "-k", "1"], "/big"),
    ]:
        attack = subprocess.Popen(
            ["slowhttptest", *flags, "-c", str(connections), "-r", "500", "-l", str(seconds), "-p", "3",
             "-u", f"http://127.0.0.1:{front}{path}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        asked = good = 0
        worst = {front: 0.0, origin: 0.0}
        while attack.poll() is None:
            # The origin is asked past the proxy too: what the machine can't do, the proxy can't either.
            for to in (front, origin):
                begun = time.monotonic()
                try:
                    c = http.client.HTTPConnection("127.0.0.1", to, timeout=60)
                    c.request("GET", "/s")
                    served = c.getresponse().read() == b"small"
                    c.close()
                except OSError:
                    served = False
                worst[to] = max(worst[to], time.monotonic() - begun)
                asked += to == front
                good += served and to == front
            time.sleep(0.02)
        print(f"{name}: {good} of {asked} others were served, the slowest in {worst[front] * 1000:.0f} ms"
              f" ({worst[origin] * 1000:.0f} ms past the proxy)")
        count.check(name, asked > 0 and good == asked)
    memory = [l for l in open(f"/proc/{process.pid}/status") if l.startswith("VmRSS")][0].split()[1]
    print(f"{int(memory) // 1024} MB of memory at the end")
finally:
    process.terminate()
    nginx.terminate()
    process.wait()
    nginx.wait()
count.end(f"slowhttptest, {connections} connections")
