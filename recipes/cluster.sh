#!/usr/bin/env bash
# A cluster on this machine, for recipes that source this file: an API server, the origins north and south, the edges
# east and west, and the channel `show` with the stream key $key. It ends with the recipe.
# Needs castctl (or its path in $CASTCTL), curl and jq.
set -euo pipefail

castctl=${CASTCTL:-castctl}
work=$(mktemp -d)
declare -A pid=()
cleanup() {
  trap - EXIT
  for name in "${!pid[@]}"; do kill -TERM "${pid[$name]}" 2>/dev/null || true; done
  for name in "${!pid[@]}"; do wait "${pid[$name]}" 2>/dev/null || true; done
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say() { printf '%s\n' "$*" >&2; }
failed() { say "FAILED: $*"; tail -n 5 "$work"/*.log >&2 || true; exit 3; }

# Starts a server under a name, and waits until it has said where it is: `key: value` lines, `admin` is the last.
start() {
  local name=$1
  shift
  "$castctl" "$@" --admin 127.0.0.1:0 >"$work/$name.out" 2>"$work/$name.log" &
  pid[$name]=$!
  for _ in $(seq 100); do
    [ -z "$(line "$name" admin)" ] || return 0
    kill -0 "${pid[$name]}" 2>/dev/null || failed "$name ended"
    sleep 0.1
  done
  failed "$name did not say where it is within 10 s"
}
line() { sed -n "s/^$2: //p" "$work/$1.out"; }
origin() { start "$1" ingest --node "$1" --data "$work/$1" --rtmp 127.0.0.1:0 --internal 127.0.0.1:0; }

# Sends a signal to a process, and waits for its end.
end() {
  kill "-$2" "${pid[$1]}" 2>/dev/null || true
  wait "${pid[$1]}" 2>/dev/null || true
}

# Publishes a clip to an origin, over and over.
publish() { "$castctl" replay "$2" "$(line "$1" rtmp)/$key" --loop >"$work/encoder.out" 2>"$work/encoder.log" & pid[encoder]=$!; }

# What all nodes share: a secret, and where the API server is.
head -c 32 /dev/urandom | base64 >"$work/secret"
export CASTCTL_SECRET_FILE="$work/secret"
start api serve-api --data "$work/api" --listen 127.0.0.1:0
CASTCTL_API=$(line api api)
export CASTCTL_API
for node in north south; do origin "$node"; done
for edge in east west; do start "$edge" serve-edge --node "$edge" --viewers 127.0.0.1:0; done

# A channel with a stream key.
made=$("$castctl" channel create show --segment 1s --part 200ms --json) || failed "no channel"
key=$(jq -r .key <<<"$made")
