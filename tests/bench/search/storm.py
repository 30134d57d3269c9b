"""Lets a storm go over a tree while its index is watched, and compares searches with the index, without it and by rg after
every gust: storm.py TREE RG GUSTS OURS…

TREE is copied; in the copy files are edited, appended to, cut, removed, renamed, replaced, and written by way of memory maps,
some of which stay open and are written again; directories are renamed and replaced by links; branches are checked out.
Another process searches all the time.
"""

import mmap
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

source, rg, gusts, ours = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]
dice = random.Random(11)
scratch = tempfile.mkdtemp()
tree = os.path.join(scratch, "tree")
shutil.copytree(source, tree, symlinks=True)
os.environ["XDG_STATE_HOME"] = os.path.join(scratch, "state")
os.environ["GIT_CONFIG_GLOBAL"] = "/dev/null"
git = ["git", "-C", tree, "-c", "user.name=storm", "-c", "user.email=storm@localhost", "-c", "gc.auto=0"]


def quiet(command):
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode


def listed():
    """Files and directories: once a gust, for a large tree takes long. What is not there any more by then is an error."""
    files, dirs = [], []
    for at, inside, names in os.walk(tree):
        if ".git" in inside:
            inside.remove(".git")
        dirs.append(at)
        files += [os.path.join(at, name) for name in names]
    return [f for f in files if not os.path.islink(f)], dirs[1:]


maps = []


def word():
    return f"gust{dice.randrange(40)}"


def scribble(view):
    # What is behind the end of a file that was cut cannot be written.
    if view.size() >= len(view):
        at = dice.randrange(len(view) - 12)
        view[at : at + 8] = f" {word():<7}"[:8].encode()


def mapped(path):
    if os.path.getsize(path) < 64:
        return
    with open(path, "r+b") as file:
        view = mmap.mmap(file.fileno(), 0)
    scribble(view)
    kind = dice.randrange(3)
    if kind == 0:
        maps.append(view)
        return
    if kind == 1:
        view.flush()
    view.close()


def one(files, dirs):
    path = dice.choice(files)
    kind = dice.randrange(13)
    if kind == 0:
        with open(path, "ab") as file:
            file.write(f"\n{word()} appended\n".encode())
    elif kind == 1:
        with open(path, "wb") as file:
            file.write(f"{word()} written\n".encode() * dice.randrange(400))
    elif kind == 2:
        os.rename(path, path + ".moved")
    elif kind == 3:
        os.unlink(path)
    elif kind == 4:
        os.rename(path, dice.choice(files))
    elif kind == 5:
        at = dice.choice(dirs)
        os.rename(at, os.path.join(tree, f"dir{dice.randrange(1000)}"))
    elif kind == 6:
        new = os.path.join(dice.choice(dirs), f"new{dice.randrange(1000)}", "er")
        os.makedirs(new)
        with open(os.path.join(new, "file.c"), "w") as file:
            file.write(f"/* {word()} is new */\n")
    elif kind == 7:
        about = os.stat(path)
        with open(path, "r+b") as file:
            file.seek(dice.randrange(max(1, about.st_size)))
            file.write(word().encode())
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    elif kind == 8:
        at = dice.choice(dirs)
        shutil.rmtree(at)
        os.symlink(tree, at)
    elif kind == 9 and maps:
        scribble(dice.choice(maps))
    elif kind == 10 and len(maps) > 5:
        maps.pop(dice.randrange(len(maps))).close()
    else:
        mapped(path)


def gust(number):
    if number % 5 == 4:
        quiet(git + ["add", "-A"])
        quiet(git + ["commit", "-q", "-m", str(number)])
        quiet(git + ["checkout", "-q", "-f", dice.choice(["first", "main"])])
        if number % 2:
            quiet(git + ["checkout", "-q", "-f", "first"])
            quiet(git + ["clean", "-qfd"])
    about = listed()
    for _ in range(dice.randrange(60)):
        try:
            one(*about)
        except (OSError, IndexError):
            pass


quiet(["git", "init", "-q", "-b", "main", tree])
quiet(git + ["add", "-A"])
quiet(git + ["commit", "-q", "-m", "first"])
quiet(git + ["branch", "first"])
time.sleep(2.1)
print(subprocess.run(ours + ["index", "build", tree], capture_output=True, text=True, check=True).stdout, end="")
beside = subprocess.Popen(
    ["sh", "-c", 'while :; do "$@" >/dev/null 2>&1; done', "sh"] + ours + ["-uu", "gust1", tree], start_new_session=True
)
wrong = compared = used = 0
try:
    for number in range(gusts):
        gust(number)
        for view in maps:
            scribble(view)
        for _ in range(3):
            asked = ["--sort=path", "-n"] + dice.sample(["-uu", "-i", "-w", "-.", "-U"], dice.randrange(2)) + [dice.choice([word(), "spin_lock_irq", "is new", "memcpy_\\w+"])]
            runs = [subprocess.run(c + asked + [tree], capture_output=True, check=False) for c in (ours, ours + ["--no-index"], [rg])]
            compared += 1
            said = subprocess.run(ours + asked + ["--debug", tree], capture_output=True, check=False).stderr
            used += b"the index leaves" in said
            if len({(r.stdout, r.returncode, bool(r.stderr)) for r in runs}) != 1:
                wrong += 1
                print("DIFFERENT:", number, asked, [len(r.stdout) for r in runs], [r.stderr[:200] for r in runs], flush=True)
    print(subprocess.run(ours + ["index", "status", tree], capture_output=True, text=True, check=False).stdout, end="")
    print(subprocess.run(ours + ["index", "audit", "--samples", "300", tree], capture_output=True, text=True, check=False).stdout, end="")
finally:
    os.killpg(beside.pid, 15)
    quiet(ours + ["index", "drop", tree])
    shutil.rmtree(scratch, ignore_errors=True)
print(f"{gusts} gusts, {compared} searches compared, {used} of them with the index, {wrong} different")
sys.exit(wrong > 0)
