#!/usr/bin/env bash
# A cluster on one machine: an API server, two origins, two edges. A clip is published to the first origin, which is
# then killed; the encoder goes on at the second, and both edges show that the stream went on under the same URLs.
# On machines of their own the commands are the same, with addresses that the others reach (--listen, --internal,
# --advertise) and PostgreSQL for the API servers (--database postgres://…), of which there may be several.
#
# usage: two-origins-two-edges.sh [CLIP]
#
#   CLIP       what to publish: an FLV, MP4, MPEG-TS or Matroska file, or a log; by default the clip of the tests
#
# Exit codes: 0 the stream went on, 1 it did not, 3 a step failed.
# Needs castctl (or its path in $CASTCTL), curl and jq.
set -euo pipefail

castctl=${CASTCTL:-castctl}
clip=${1:-$(dirname "$0")/../tests/fixtures/media/bbb.flv}

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

# 1. What all nodes share: a secret, and where the API server is.
head -c 32 /dev/urandom | base64 >"$work/secret"
export CASTCTL_SECRET_FILE="$work/secret"
start api serve-api --data "$work/api" --listen 127.0.0.1:0
CASTCTL_API=$(line api api)
export CASTCTL_API
for origin in north south; do
  start "$origin" ingest --node "$origin" --data "$work/$origin" --rtmp 127.0.0.1:0 --internal 127.0.0.1:0
done
for edge in east west; do start "$edge" serve-edge --node "$edge" --viewers 127.0.0.1:0; done

# 2. A channel with a stream key.
made=$("$castctl" channel create show --segment 1s --part 200ms --json) || failed "no channel"
key=$(jq -r .key <<<"$made")

publish() { "$castctl" replay "$clip" "$(line "$1" rtmp)/$key" --loop >"$work/encoder.out" 2>"$work/encoder.log" & pid[encoder]=$!; }
# The newest segment that an edge lists with media, and the session's URL.
session() { curl -sS --retry 20 --retry-delay 1 --retry-all-errors --fail -o /dev/null -w '%{redirect_url}' "$(line "$1" viewers)/live/show/index.m3u8"; }
newest() { curl -sS --fail "${urls[$1]}" | grep -o 'g[0-9]*-[0-9]*\.m4s' | tail -n 1; }
# Waits until an edge lists media of a generation.
until_generation() {
  for _ in $(seq 300); do
    [[ $(newest "$1" || true) != g"$2"-* ]] || return 0
    sleep 0.1
  done
  say "STUCK: $1 lists $(newest "$1" || echo nothing)"
  exit 1
}

# 3. On air at the first origin.
publish north
declare -A urls=()
for edge in east west; do
  entry=$(session "$edge") || failed "$edge does not know the channel"
  urls[$edge]=${entry%index.m3u8}video/index.m3u8
  until_generation "$edge" 1
done
"$castctl" status >&2

# 4. It is killed, and the encoder connects again: to whichever origin the load balancer gives it.
say "kill -9 of the origin on air, after $(newest east)"
kill -KILL "${pid[north]}"
wait "${pid[north]}" 2>/dev/null || true
kill -TERM "${pid[encoder]}" 2>/dev/null || true
wait "${pid[encoder]}" 2>/dev/null || true
began=$(date +%s%N)
publish south
for edge in east west; do until_generation "$edge" 2; done
say "both edges go on with $(newest west), $((($(date +%s%N) - began) / 1000000)) ms after the encoder was back"
"$castctl" status >&2
