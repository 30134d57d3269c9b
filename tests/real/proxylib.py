"""What the proxy's tests with other people's programs have in common: starting it, waiting for ports, saying what is missing."""
import os, shutil, socket, subprocess, sys, time

PROXY = os.environ.get("PROXY", "target/release/examples/proxy")
if not os.path.exists(PROXY):
    sys.exit(f"there is no proxy at {PROXY}: cargo build --release -p qd-proxy --example proxy")


def skip(reason):
    """Ends the script as one that could not run here."""
    print(f"skipped: {reason}")
    sys.exit(0)


def need(*programs):
    missing = [p for p in programs if not shutil.which(p)]
    if missing:
        skip(f"not installed: {', '.join(missing)}")


def port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait(to, seconds=10):
    for _ in range(int(seconds / 0.05)):
        try:
            socket.create_connection(("127.0.0.1", to), 0.5).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"nothing listens on {to}")


def proxy(*args, listen=True):
    """Starts a proxy; gives the process and its port."""
    at = port()
    command = [PROXY] + (["--listen", f"127.0.0.1:{at}"] if listen else []) + list(args)
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    if listen:
        wait(at)
    return process, at


class Count:
    """Counts checks, and says which went wrong."""

    def __init__(self):
        self.good, self.bad = 0, []

    def check(self, what, holds, more=""):
        if holds:
            self.good += 1
        else:
            self.bad.append(what)
            print(f"WRONG: {what} {more}")

    def end(self, name):
        print(f"{name}: {self.good} of {self.good + len(self.bad)}")
        sys.exit(1 if self.bad else 0)
