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

clip=${1:-$(dirname "$0")/../tests/fixtures/media/bbb.flv}

# 1. The cluster, and a channel with a stream key.
# shellcheck source-path=SCRIPTDIR source=cluster.sh
source "$(dirname "$0")/cluster.sh"

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

# 2. On air at the first origin.
publish north "$clip"
declare -A urls=()
for edge in east west; do
  entry=$(session "$edge") || failed "$edge does not know the channel"
  urls[$edge]=${entry%index.m3u8}video/index.m3u8
  until_generation "$edge" 1
done
"$castctl" status >&2

# 3. It is killed, and the encoder connects again: to whichever origin the load balancer gives it.
say "kill -9 of the origin on air, after $(newest east)"
end north KILL
end encoder TERM
began=$(date +%s%N)
publish south "$clip"
for edge in east west; do until_generation "$edge" 2; done
say "both edges go on with $(newest west), $((($(date +%s%N) - began) / 1000000)) ms after the encoder was back"
"$castctl" status >&2
