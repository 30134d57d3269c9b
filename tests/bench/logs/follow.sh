#!/usr/bin/env bash
# Echo in a shell beside a log that grows by 100,000 lines a second: tests/bench/logs/follow.sh DIR
# DIR holds muxbench.py. qd follows the file in a log pane; tmux, where it is installed, in a pane with `tail -f`.
set -euo pipefail
dir=$(cd "${1:?the folder of muxbench.py}" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
cp "$here/../../../target/release/qd" "$tmp/qd"
export PATH="$tmp:$PATH"
mkdir -p "$dir/scratch/run" "$dir/scratch/state/quarterdeck"
touch "$dir/scratch/state/quarterdeck/greeted"
cat >"$tmp/follow.kdl" <<KDL
layout {
    tab split_direction="vertical" {
        pane focus=#true
        pane kind="logs" {
            path "$tmp/follow.log"
        }
    }
}
KDL
cat >"$tmp/write.py" <<'PY'
import sys, time
out, rate, end = open(sys.argv[1], "ab", buffering=0), 100_000, time.time() + 14
n, due = 0, time.time()
while time.time() < end:
    out.write(b"".join(
        b'2026-01-01T00:%02d:%02d.%03dZ %s svc=api req=%d msg="the request was answered in time by the backend"\n'
        % (i // rate // 60, i // rate % 60, i * 1000 // rate % 1000, (b"INFO", b"WARN", b"ERROR", b"DEBUG")[i % 4], i)
        for i in range(n, n + rate // 100)))
    n, due = n + rate // 100, due + 0.01
    time.sleep(max(0, due - time.time()))
print("written", n)
PY
sed "s|--layout single|--layout $tmp/follow.kdl|" "$here/../qd.json" >"$dir/qd-follow.json"
sed "s|new-session -s {s}|new-session -s {s} ';' split-window -dh 'tail -n 100 -f $tmp/follow.log'|" "$dir/tmux.json" >"$dir/tmux-follow.json"
for mux in qd tmux; do
  command -v "$mux" >/dev/null || { echo "$mux is not installed: skipped"; continue; }
  : >"$tmp/follow.log"
  python3 "$tmp/write.py" "$tmp/follow.log" & writer=$!
  sleep 0.5
  printf '%-5s' "$mux"
  (cd "$dir" && timeout 100 python3 muxbench.py --preset "$mux-follow.json" --timeout 60 latency | grep -v '^#') || echo failed
  wait "$writer"
done
rm -f "$dir/qd-follow.json" "$dir/tmux-follow.json"
