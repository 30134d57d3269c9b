#!/usr/bin/env python3
"""Kills a session's server again and again while programs run in it, and looks whether anything was lost.

    tests/real/survive.py [--qd target/release/qd] [--cycles 500] [--seed 1]

Ten panes: a counter that also writes a file, vim with text that was not saved, less, a flood of numbers that never
pauses, a flood in bursts, coloured and wide text, a shell with a variable, a program on the alternate screen, a slow
printer, an idle program. After every kill: all processes are the same and alive, quiet screens are what they were, and
the numbers in the floods' scrollback follow each other without a gap. Ends with the figures, and with status 1 at the
first thing that is not so.
"""

import argparse, json, os, random, shutil, signal, subprocess, sys, tempfile, time

ap = argparse.ArgumentParser()
ap.add_argument("--qd", default="target/release/qd")
ap.add_argument("--cycles", type=int, default=500)
ap.add_argument("--seed", type=int, default=1)
args = ap.parse_args()
qd = os.path.abspath(args.qd)
random.seed(args.seed)
for program in ("vim", "less", "bash"):
    if not shutil.which(program):
        print(f"skipped: {program} is not installed")
        sys.exit(0)

home = tempfile.mkdtemp(prefix="qd-survive-")
env = {k: v for k, v in os.environ.items() if k in ("PATH", "LANG")}
env.update(HOME=home, SHELL="/bin/bash", TERM="xterm-256color", LANG="C.UTF-8")
for name in ("RUNTIME_DIR", "CONFIG_HOME", "STATE_HOME"):
    env["XDG_" + name] = path = os.path.join(home, name.lower())
    os.makedirs(path, mode=0o700)
os.makedirs(os.path.join(env["XDG_STATE_HOME"], "quarterdeck"))
open(os.path.join(env["XDG_STATE_HOME"], "quarterdeck", "greeted"), "w").close()
count = os.path.join(home, "count")
text = os.path.join(home, "text")
with open(text, "w") as f:
    f.writelines(f"line {i} of a text\n" for i in range(500))


def run(*words, check=True):
    r = subprocess.run([qd, *words], env=env, cwd=home, capture_output=True, text=True, timeout=60)
    if check and r.returncode:
        fail(f"qd {' '.join(words)}: {r.stderr.strip()}")
    return r.stdout


def fail(what):
    print("FAILED:", what)
    log = os.path.join(env["XDG_STATE_HOME"], "quarterdeck", "logs", "main.log")
    if os.path.exists(log):
        print(open(log).read()[-3000:])
    run("kill", "--all", check=False)
    sys.exit(1)


def panes():
    return json.loads(run("action", "list-panes", "--json"))


def server():
    for s in json.loads(run("ls", "--json", check=False) or "[]"):
        if s["name"] == "main":
            return s["pid"]
    return None


def until(what, cond, patience=60):
    end = time.monotonic() + patience
    while time.monotonic() < end:
        value = cond()
        if value:
            return value
        time.sleep(0.005)
    fail("never came: " + what)


def screen(pane, *more):
    return run("action", "dump-screen", "--pane-id", str(pane), *more)


PROGRAMS = {
    "counter": f"i=0; while :; do i=$((i+1)); echo $i | tee -a {count}; sleep 0.02; done",
    "vim": f"exec vim -u NONE -n {text}",
    "less": f"exec less {text}",
    "flood": "i=0; exec seq 1 999999999999",
    "bursts": "while :; do yes burst | head -c 3000000; echo; sleep 0.5; done",
    "colours": "for i in $(seq 16); do printf '\\033[%dm\u4e16\u754c %d \\033[0m' $((30+i%8)) $i; done; exec sleep 99999",
    "shell": None,
    "alternate": "printf '\\033[?1049h\\033[5;5Hhere\\033[1;3r'; exec sleep 99999",
    "slow": "i=0; while :; do i=$((i+1)); printf '%d ' $i; sleep 0.3; done",
    "idle": "exec sleep 99999",
}
QUIET = ("vim", "less", "colours", "alternate", "idle", "shell")

run("attach", "-b", "main")
where = {}
for name, script in PROGRAMS.items():
    words = ["action", "new-tab", "--name", name]
    before = {p["id"] for p in panes()}
    run(*words)
    where[name] = until("a pane", lambda: next((p["id"] for p in panes() if p["id"] not in before), None))
    if script is not None:
        path = os.path.join(home, name + ".sh")
        open(path, "w").write(script)
        run("action", "write-chars", "--pane-id", str(where[name]), f"exec bash {path}\n")
run("action", "write-chars", "--pane-id", str(where["shell"]), "kept=yes\n")
until("vim", lambda: "line 1 of" in screen(where["vim"]))
run("action", "write-chars", "--pane-id", str(where["vim"]), "Onever saved")
until("vim's text", lambda: "never saved" in screen(where["vim"]))
until("less", lambda: "line 1 of" in screen(where["less"]))
until("the counter", lambda: os.path.exists(count) and os.path.getsize(count) > 10)
time.sleep(1)


def alive():
    return {p["id"]: p["pid"] for p in panes() if p["kind"] == "terminal"}


def consecutive(name):
    """Whether the numbers in a flood's scrollback follow each other."""
    lines = [l for l in screen(where[name], "--full").split("\n") if l.isdigit()]
    numbers = [int(l) for l in lines]
    # The last line may be half written.
    for a, b in zip(numbers, numbers[1:-1]):
        if b != a + 1:
            fail(f"{name}: {a} is followed by {b}")
    return len(numbers)


pids, quiet = alive(), {n: screen(where[n]) for n in QUIET}
gaps, restarts, seen = [], [], 0
for cycle in range(args.cycles):
    time.sleep(random.uniform(0, 0.3))
    old = server()
    began = time.monotonic()
    os.kill(old, signal.SIGKILL)
    until("another server", lambda: (s := server()) and s != old)
    restarts.append(time.monotonic() - began)
    now = alive()
    if now != pids:
        fail(f"cycle {cycle}: processes were {pids}, are {now}")
    for pid in now.values():
        if not os.path.exists(f"/proc/{pid}"):
            fail(f"cycle {cycle}: {pid} is gone")
    for name, before in quiet.items():
        after = screen(where[name])
        if after != before:
            fail(f"cycle {cycle}: the screen of {name} was\n{before}\nand is\n{after}")
    if cycle % 10 == 9:
        seen += consecutive("flood")
        gaps.append(consecutive("counter"))
        print(f"{cycle + 1} kills, {seen} numbers of the flood looked at", flush=True)

numbers = [int(l) for l in open(count).read().split()]
if numbers != list(range(1, len(numbers) + 1)):
    fail("the counter's file has a gap")
run("action", "write-chars", "--pane-id", str(where["shell"]), "echo $kept$((40+2))\n")
until("the shell's variable", lambda: "yes42" in screen(where["shell"]))
restarts.sort()
print(
    f"{args.cycles} kills: nothing lost; a new server answered after {restarts[len(restarts) // 2] * 1000:.0f} ms (median), "
    f"{restarts[-1] * 1000:.0f} ms (worst); {seen} numbers of the flood in order; the counter is at {len(numbers)}"
)
run("kill", "--all")
until("all of it ended", lambda: not any(os.path.exists(f"/proc/{p}") and "Z" not in open(f"/proc/{p}/stat").read().split()[2] for p in pids.values()))
shutil.rmtree(home, ignore_errors=True)
