#!/usr/bin/env bash
# Real senders against the release binary: rsyslog, logger, nginx, curl, and OpenTelemetry's exporters for Python. What they
# sent is counted and compared on both ends. Usage: tests/real/senders.sh [rsyslog|logger|nginx|curl|otlp]…
# QD names the binary, OTLP_PYTHON a Python in which opentelemetry-sdk and opentelemetry-exporter-otlp are installed (and
# opentelemetry-exporter-otlp-json-http for JSON). What is not installed is skipped, with the reason.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export QD=${QD:-$here/../../target/release/qd}
[ -x "$QD" ] || { echo "senders: $QD is not there: cargo build --release first" >&2; exit 2; }
command -v python3 >/dev/null || { echo "skipped: python3 is not installed"; exit 0; }
exec python3 "$here/senders.py" "$@"
