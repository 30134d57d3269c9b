#!/usr/bin/env bash
# CPU seconds, memory and output of the seed pipeline (file → parse_json! + to_int! → file or blackhole) over a file of JSON
# lines with a `status` in text. Usage: tests/bench/logs/seed.sh FILE [blackhole|file|gzip]. Needs GNU time; the peer, when
# `vector` is on the PATH, runs after ours with the same configuration.
set -euo pipefail
input=$(realpath "$1"); kind=${2:-file}
here=$(cd "$(dirname "$0")/../../.." && pwd)
qd=${QD:-$here/target/release/qd}
lines=$(wc -l < "$input")
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
mkdir "$work/in" "$work/state"; ln -s "$input" "$work/in/seed.log"
case $kind in
  blackhole) sink='type: blackhole' ;;
  file) sink="{type: file, path: $work/out.json, encoding: {codec: json}, inputs: [parse]}" ;;
  gzip) sink="{type: file, path: $work/out.json, encoding: {codec: json}, compression: gzip, inputs: [parse]}" ;;
  *) echo "unknown sink $kind" >&2; exit 2 ;;
esac
[ "$kind" = blackhole ] && sink='{type: blackhole, inputs: [parse]}'
cat > "$work/c.yaml" <<Y
data_dir: $work/state
sources: {in: {type: file, include: ["$work/in/*.log"], read_from: beginning}}
transforms:
  parse:
    type: remap
    inputs: [in]
    source: |
      . = parse_json!(.message)
      .status = to_int!(.status)
sinks: {out: $sink}
Y
run() {
  rm -rf "$work"/state/* "$work"/out.json
  timeout -s INT "${SECONDS_EACH:-10}" /usr/bin/time -f '%U %S %M' -o "$work/time" "$@" >/dev/null 2>&1 || true
  tail -n 1 "$work/time" | awk -v n="$lines" -v who="$1" \
    '{printf "%s: %.2f CPU-s, %.2f us an event, %.1f MiB\n", who, $1 + $2, ($1 + $2) / n * 1e6, $3 / 1024}'
  [ "$kind" = file ] && echo "  $(wc -l < "$work/out.json") of $lines lines"
  true
}
run "$qd" logs run -q -c "$work/c.yaml"
if command -v vector >/dev/null 2>&1; then run vector -q -c "$work/c.yaml"; else echo "vector: not on the PATH, skipped"; fi
