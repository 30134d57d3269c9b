"""Compares many searches with the index and by rg, byte by byte: same.py TREE RG COUNT OURS…

Both search at the same time. Patterns are words and pieces of lines of the tree's own files, and expressions made of them; flags are those that choose
files, change what matches and change what is printed. Needs an index of the tree; says how many searches it was used for.
"""

import os
import random
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

tree, rg, count, ours = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]
dice = random.Random(6)
paths = [os.path.join(d, f) for d, _, fs in os.walk(tree) for f in fs]


def line():
    """A line of some file."""
    while True:
        with open(dice.choice(paths), "rb") as file:
            lines = [x for x in file.read().decode("utf-8", "ignore").split("\n") if len(x.strip()) > 6 and "\0" not in x]
        if lines:
            return dice.choice(lines)


def pattern():
    text = line()
    words = re.findall(r"\w{4,}", text) or ["kernel"]
    word = dice.choice(words)
    start = dice.randrange(len(text))
    piece = text[start : start + dice.randint(4, 20)]
    return dice.choice(
        [
            ["-e", word],
            ["-F", "-e", piece],
            ["-w", "-e", word],
            ["-i", "-e", word.upper()],
            ["-S", "-e", word.lower()],
            ["-e", word + "|" + dice.choice(words)],
            ["-e", word[:3] + r"\w+" + word[3:]],
            ["-e", word[:4] + "[a-z_]*\\("],
            ["-e", r"\b" + word + r"\s*="],
            ["-U", "-e", word + r";?\n"],
            ["-e", "^" + re.escape(text) + "$"],
            ["-e", word, "-e", dice.choice(words)],
        ]
    )


FLAGS = ["-n", "-c", "-l", "-o", "-C2", "-tc", "-Tc", "-g*.h", "-g!*.h", "-.", "-u", "-uu", "-uuu", "-a", "-m2", "-b"]
FLAGS += ["--max-filesize=20K", "--max-depth=3", "--column", "--heading", "--vimgrep", "--count-matches", "--crlf", "-q"]
FLAGS += ["-v", "--files-without-match", "--no-unicode", "--json", "--trim", "--binary", "-P", "--iglob=*.TXT"]
used = differ = 0
began = time.monotonic()
both = ThreadPoolExecutor(2)
for number in range(count):
    asked = ["--sort=path"] + dice.sample(FLAGS, dice.randint(0, 2)) + pattern()
    where = dice.choice([tree] * 3 + [os.path.join(tree, d) for d in ("drivers", "kernel", "Documentation")])

    def run(command, more=()):
        done = subprocess.run(command + asked + list(more) + ["--", where], capture_output=True, check=False)
        return re.sub(rb'"(elapsed|elapsed_total)":\{[^}]*\}', b"", done.stdout), done.returncode, bool(done.stderr)

    theirs, mine = both.map(run, ([rg], ours))
    if "--json" in asked:
        theirs, mine = [(re.sub(rb"(?m)^.*summary.*$", b"", r[0]),) + r[1:] for r in (theirs, mine)]
    if theirs != mine:
        differ += 1
        print("DIFFERENT:", asked, where, theirs[1:], mine[1:], len(theirs[0]), len(mine[0]), flush=True)
    if number % 10 == 0:
        said = subprocess.run(ours + asked + ["--debug", "--", where], capture_output=True, check=False).stderr
        used += b"the index leaves" in said
print(f"{count} searches in {time.monotonic() - began:.0f} s, {differ} different; of every tenth the index was used for {used}")
sys.exit(differ > 0)
