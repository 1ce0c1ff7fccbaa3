#!/usr/bin/env bash
# Maintenance of an origin while it is on air, on one machine: an API server, two origins, two edges, and the agent
# beside the first origin. That origin is drained; its encoder connects again and goes on at the other one, and viewers
# miss nothing but what the encoder did not send. While the origin is away its recordings are read from the agent; when
# it is back it takes publishes at once.
#
# usage: drain-an-origin.sh [CLIP]
#
#   CLIP       what to publish: an FLV, MP4, MPEG-TS or Matroska file, or a log; by default the clip of the tests
#
# Exit codes: 0 nothing was lost, 1 something was, 3 a step failed.
# Needs castctl (or its path in $CASTCTL), curl and jq.
set -euo pipefail

clip=${1:-$(dirname "$0")/../tests/fixtures/media/bbb.flv}

# 1. The cluster, a channel with a stream key, and the agent on the first origin's disk.
# shellcheck source-path=SCRIPTDIR source=cluster.sh
source "$(dirname "$0")/cluster.sh"
start agent collect --serve-only --node north-agent --data "$work/north" --internal 127.0.0.1:0

wrong() { say "WRONG: $*"; exit 1; }
get() { curl -sS --fail --retry 5 --retry-all-errors "$@"; }
# Waits until an edge lists media of a generation.
until_generation() {
  for _ in $(seq 300); do
    if get "${urls[$1]}" | grep "/g$2-[0-9]*\.m4s" >/dev/null; then return 0; fi
    sleep 0.1
  done
  wrong "$1 does not list generation $2"
}

# 2. On air at the first origin. Some of it is kept as it was live.
publish north "$clip"
declare -A urls=()
for edge in east west; do
  entry=$(get --retry 20 --retry-delay 1 -o /dev/null -w '%{redirect_url}' "$(line "$edge" viewers)/live/show/index.m3u8") || failed "$edge does not know the channel"
  urls[$edge]=${entry%index.m3u8}video/index.m3u8
  until_generation "$edge" 1
done
sleep 3
file=$(get "${urls[east]}" | grep '^v.*/g1-[0-9]*\.m4s$' | sed -n 1p)
live=$(get "${urls[east]%index.m3u8}$file" | sha256sum)

# 3. The drain: the origin ends its publishes with a word to their encoders, seals its logs and is gone, in good order.
say "draining the origin on air, after $file"
began=$(date +%s%N)
kill -TERM "${pid[north]}"
# An encoder connects again by itself, to whichever origin the load balancer gives it: one that is ready.
wait "${pid[encoder]}" 2>/dev/null || true
publish south "$clip"
wait "${pid[north]}" || wrong "the drained origin ended with $?"
for edge in east west; do until_generation "$edge" 2; done
say "both edges go on $((($(date +%s%N) - began) / 1000000)) ms after the drain began"
for edge in east west; do
  list=$(get "${urls[$edge]}")
  ! grep -q '^#EXT-X-GAP' <<<"$list" || wrong "$edge lists a gap"
  [ "$(grep -c '^#EXT-X-DISCONTINUITY$' <<<"$list")" = 1 ] || wrong "$edge lists more than the one change of the encoder"
done

# 4. What it recorded is there while it is away: an edge that has read nothing of it reads it from the agent.
start cold serve-edge --node cold --viewers 127.0.0.1:0
path=${urls[east]#"$(line east viewers)"}
[ "$(get "$(line cold viewers)${path%index.m3u8}$file" | sha256sum)" = "$live" ] || wrong "$file is not what it was live"
msn=${file##*g1-}
for _ in $(seq 100); do
  node=$("$castctl" resolve show --msn "${msn%.m4s}" --json | jq -r '.sources[0].node')
  [ "$node" != north-agent ] || break
  sleep 0.1
done
[ "$node" = north-agent ] || wrong "its recordings are read from $node"
"$castctl" status >&2

# 5. It is back, and takes the next publish at once.
origin north
end encoder TERM
publish north "$clip"
for edge in east west; do until_generation "$edge" 3; done
say "the origin is back on air; nothing was lost"
