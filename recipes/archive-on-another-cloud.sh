#!/usr/bin/env bash
# Keeps a recording in two clouds and watches it again out of the second, when the node and the first are gone: both
# have the same objects under the same names, and what is exported out of the second is what the node would have given.
#
# usage: archive-on-another-cloud.sh FIRST SECOND [CLIP]
#
#   FIRST      where a node collects to while it records: s3://BUCKET/PREFIX, gs://…, az://… or file:///DIR, empty
#   SECOND     the same at somebody else's, empty
#   CLIP       what to record: an FLV, MP4, MPEG-TS or Matroska file, or a log; by default the clip of the tests
#
# The environment has the credentials of both (castctl-archive(7)). Where they have the same names (two S3 providers),
# or where each is to be kept from the other, $FIRST_ENV and $SECOND_ENV name files of NAME=VALUE lines, one for each.
#
# Exit codes: 0 both have it, 1 something differs, 2 the words are wrong, 3 a step failed.
# Needs castctl (or its path in $CASTCTL), curl and jq. What is put into the buckets stays there.
set -euo pipefail

castctl=${CASTCTL:-castctl}
[ $# = 2 ] || [ $# = 3 ] || { sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 2; }
first=${1%/} second=${2%/} clip=${3:-$(dirname "$0")/../tests/fixtures/media/bbb.flv}

work=$(mktemp -d)
up=''
cleanup() {
  trap - EXIT
  [ -z "$up" ] || kill -TERM "$up" 2>/dev/null || true
  [ -z "$up" ] || wait "$up" || true
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say() { printf '%s\n' "$*" >&2; }
differs() { say "DIFFERS: $*"; exit 1; }
failed() { say "FAILED: $*"; [ ! -s "$work/up.log" ] || tail -n 20 "$work/up.log" >&2; exit 3; }

# castctl with what one of the clouds asks for.
with() (
  set -a
  # shellcheck disable=SC1090 # it is the operator's
  [ -z "$1" ] || . "$1"
  set +a
  shift
  exec "$castctl" "$@"
)
at_first() { with "${FIRST_ENV:-}" "$@"; }
at_second() { with "${SECOND_ENV:-}" "$@"; }

# 1. A server that records. `pace: media` takes the clip as fast as it comes.
cat >"$work/castctl.yaml" <<END
channels:
  - name: show
    keys: [show-stream-key]
    pace: media
    reconnectWindow: 1s
END
ports=(--rtmp 127.0.0.1:0 --viewers 127.0.0.1:0 --internal 127.0.0.1:0 --admin 127.0.0.1:0)
"$castctl" up --manifest "$work/castctl.yaml" --data "$work/data" "${ports[@]}" >"$work/up.out" 2>"$work/up.log" &
up=$!
line() { sed -n "s/^$1: //p" "$work/up.out"; }
for _ in $(seq 100); do
  [ -z "$(line playlist)" ] || break
  kill -0 "$up" 2>/dev/null || failed "castctl up ended"
  sleep 0.1
done
[ -n "$(line playlist)" ] || failed "castctl up did not say where it is within 10 s"
curl -sS --fail --retry 20 --retry-delay 1 --retry-all-errors --max-time 10 "$(line admin)/readyz" >/dev/null \
  || failed "the server is not ready"
"$castctl" replay "$clip" "$(line rtmp)/show-stream-key" --speed max || failed "the publish ended with code $?"
kill -TERM "$up"
code=0
wait "$up" || code=$?
up=''
[ "$code" = 0 ] || failed "castctl up ended with code $code"

# 2. Into the first cloud, then into the second. A mark on the node says which bucket has an extent: another bucket is
#    another matter, and nothing is taken for collected there that is only in the first.
at_first collect --data "$work/data" --to "$first" --json >"$work/first.json" || failed "the first takes it not: code $?"
at_second collect --data "$work/data" --to "$second" --json >"$work/second.json" \
  || failed "the second takes it not: code $?"
for cloud in first second; do
  jq -e '.left == 0 and .open == 0' "$work/$cloud.json" >/dev/null || differs "the $cloud has not all of it"
done
[ "$(jq .uploaded "$work/first.json")" = "$(jq .uploaded "$work/second.json")" ] || differs "each is put into both"

# 3. Each bucket alone says what it has: the same.
at_first collect --rebuild-catalog "$first" --json >"$work/first.catalog" || differs "the first is not whole"
at_second collect --rebuild-catalog "$second" --json >"$work/second.catalog" || differs "the second is not whole"
for cloud in first second; do
  jq 'del(.url)' "$work/$cloud.catalog" >"$work/$cloud.logs"
done
cmp -s "$work/first.logs" "$work/second.logs" || differs "the two have other logs"
log=$(jq -r '.logs[] | select(.log | startswith("show/")) | select(.whole) | .log' "$work/second.catalog" | head -n 1)
[ -n "$log" ] || differs "no whole recording is in the second"

# 4. What the node has; then it is gone, and nobody asks the first any more.
"$castctl" export "$work/data/logs/$log" --to "$work/node.mp4" || failed "the export on the node ended with code $?"
"$castctl" replay "$work/data/logs/$log" --digest --json >"$work/node.json" || failed "the log cannot be read"
rm -rf "$work/data"

# 5. Watched again, out of the second.
at_second inspect "$second/$log" --json >/dev/null || differs "the log in the second is damaged"
at_second replay "$second/$log" --digest --json >"$work/there.json" || differs "the log in the second cannot be read"
cmp -s "$work/node.json" "$work/there.json" || differs "the packets in the second are others"
at_second export "$second/$log" --to "$work/there.mp4" || differs "the export out of the second ended with code $?"
cmp -s "$work/node.mp4" "$work/there.mp4" || differs "the movie out of the second is another one"
say "ok: $log is in $first and in $second:" \
  "$(jq -r '[.tracks[] | "\(.packets) packets of \(.kind)"] | join(", ")' "$work/there.json")"
