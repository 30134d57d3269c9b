#!/usr/bin/env python3
"""A watched pane under load: what it counts against what was sent, and the echo of keys in the pane beside it.

Usage: tests/bench/proxy/watched.py [SECONDS [RATE]]
Opens a session of the release binary (QD, default target/release/qd) in a terminal of 120x40: above a pane with `cat`, which
has the focus, below a proxy pane in front of nginx. Measures the time from a key to its echo on the terminal while nothing
passes, then while h2load sends RATE requests a second (default 10,000) through the proxy for SECONDS (default 10), and
compares the proxy's counter, and what the pane saw, with what h2load says was answered.
Needs nginx and h2load (Debian: nginx nghttp2-client).
"""
import fcntl, json, os, pty, re, select, shutil, statistics, struct, subprocess, sys, tempfile, termios, time

seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
rate = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
here = os.path.dirname(os.path.abspath(__file__))
qd = os.path.abspath(os.environ.get("QD", f"{here}/../../../target/release/qd"))
tmp = tempfile.mkdtemp(prefix="watched-")
os.chmod(tmp, 0o755)
ORIGIN, PROXY = 18111, 18112


def write(name, text):
    path = f"{tmp}/{name}"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(text)
    return path


paths = "".join(f"{k}_temp_path {tmp}/{k};" for k in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
origin = write("origin.conf", f"""pid {tmp}/origin.pid; error_log /dev/null; worker_processes 1; daemon off;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 100000000; {paths}
  server {{ listen 127.0.0.1:{ORIGIN} backlog=4096; location / {{ default_type text/plain; return 200 "{'x' * 64}"; }} }} }}""")
write("config/quarterdeck/layouts/w.kdl", f"""layout {{ tab {{
    pane command="cat" focus=#true size="40%"
    pane kind="proxy" name="edge" {{ listen "127.0.0.1:{PROXY}"; to "127.0.0.1:{ORIGIN}" }}
}} }}""")
write("state/quarterdeck/greeted", "")
os.makedirs(f"{tmp}/run", mode=0o700)
env = {"PATH": os.environ["PATH"], "HOME": tmp, "TERM": "xterm-256color", "LANG": "C.UTF-8", "SHELL": "/bin/sh",
       "XDG_RUNTIME_DIR": f"{tmp}/run", "XDG_CONFIG_HOME": f"{tmp}/config", "XDG_STATE_HOME": f"{tmp}/state"}


def ask(*arguments):
    return subprocess.run([qd, *arguments], env=env, capture_output=True, text=True, check=True).stdout


def read(fd, until, patience=20.0):
    """Reads until the bytes hold `until`; gives them."""
    got, end = b"", time.monotonic() + patience
    while until not in got:
        left = end - time.monotonic()
        if left <= 0:
            raise SystemExit(f"never came: {until!r}\n{got[-2000:]!r}")
        if select.select([fd], [], [], left)[0]:
            got += os.read(fd, 65536)
    return got


def drain(fd):
    while select.select([fd], [], [], 0)[0]:
        os.read(fd, 65536)


def echoes(fd, count=None, until=None):
    """The time from a key to its echo, in milliseconds: the keys are letters that the other pane never shows."""
    times, letters, n = [], "QZJYKW", 0
    while (count is None or n < count) and (until is None or not until()):
        drain(fd)
        key = letters[n % len(letters)].encode()
        begun = time.perf_counter()
        os.write(fd, key)
        got, end = b"", begun + 5
        while key not in plain(got):
            left = end - time.perf_counter()
            if left <= 0:
                break
            if select.select([fd], [], [], left)[0]:
                got += os.read(fd, 65536)
        times.append((time.perf_counter() - begun) * 1e3)
        n += 1
        if n % 40 == 0:
            os.write(fd, b"\x15")
        time.sleep(0.02)
    return times


def plain(data):
    """What is printed, without the escapes that have letters of their own."""
    return re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]", b"", data)


def say(name, times):
    times = sorted(times)
    at = lambda share: times[min(len(times) - 1, int(len(times) * share))]
    print(f"{name:<10} {len(times)} keys: median {statistics.median(times):.2f} ms, p90 {at(.9):.2f} ms, p99 {at(.99):.2f} ms")


nginx = subprocess.Popen(["nginx", "-c", origin], stderr=subprocess.DEVNULL)
pid, fd = pty.fork()
if pid == 0:
    os.execve(qd, [qd, "--layout", "w"], env)
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
try:
    read(fd, b"no request yet")
    time.sleep(0.5)
    server = json.loads(ask("ls", "--json"))[0]["pid"]
    cpu = lambda: sum(map(int, open(f"/proc/{server}/stat").read().rsplit(")", 1)[1].split()[11:13]))
    rss = lambda: int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{server}/status").read())[1])
    print(f"load before: {os.getloadavg()[0]:.2f}; session {rss()} kB")
    say("idle", echoes(fd, 300))
    before = cpu()
    clients = 20
    load = subprocess.Popen(
        ["h2load", "--h1", "-c", str(clients), "-n", str(rate * seconds), "--rps", str(rate / clients),
         f"http://127.0.0.1:{PROXY}/x"], stdout=subprocess.PIPE, text=True)
    begun = time.monotonic()
    say("under load", echoes(fd, until=lambda: load.poll() is not None))
    took = time.monotonic() - begun
    out = load.stdout.read()
    sent = int(re.search(r"(\d+) succeeded", out)[1])
    time.sleep(1.5)
    stat = json.loads(ask("proxy", "stat", "--json"))
    counted = stat["totals"]["requests"]
    screen = ask("action", "list-panes")
    os.write(fd, b"\x00j")
    time.sleep(1)
    drain(fd)
    text = ask("action", "dump-screen", "--pane-id", re.search(r"^(\d+).*proxy", screen, re.M)[1])
    line = next((l for l in text.splitlines() if "requests," in l), "")
    print(f"{sent} answered in {took:.1f} s ({sent / took:.0f}/s); counted {counted}; the pane says: {line.strip()}")
    print(f"session: {(cpu() - before) / 100:.1f} s of CPU, {rss()} kB")
    if counted != sent:
        raise SystemExit(f"the counter is not the truth: {counted} and {sent}")
finally:
    subprocess.run([qd, "kill", "--all"], env=env)
    nginx.terminate()
    nginx.wait()
    shutil.rmtree(tmp, ignore_errors=True)
