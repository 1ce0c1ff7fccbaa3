#!/usr/bin/env bash
# Records a clip, collects it into a bucket, takes the node's disk away and watches the recording out of the bucket:
# what is exported there is, byte for byte, what the node would have exported, and its packets are those of the clip.
#
# usage: record-collect-rewatch.sh BUCKET [CLIP]
#
#   BUCKET     where to: s3://BUCKET/PREFIX, gs://…, az://… or file:///DIR, empty; the environment has the credentials
#              (castctl-archive(7))
#   CLIP       what to record: an FLV, MP4, MPEG-TS or Matroska file, or a log; by default the clip of the tests
#
# Exit codes: 0 all is in the bucket, 1 something differs, 2 the words are wrong, 3 a step failed.
# Needs castctl (or its path in $CASTCTL), curl and jq. What is put into the bucket stays there.
set -euo pipefail

castctl=${CASTCTL:-castctl}
[ $# = 1 ] || [ $# = 2 ] || { sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 2; }
bucket=${1%/} clip=${2:-$(dirname "$0")/../tests/fixtures/media/bbb.flv}

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

# 2. While the server runs, what is sealed can be collected already. Its end seals the rest.
collect() { "$castctl" collect --data "$work/data" --to "$bucket" --json; }
collect >"$work/live.json" || failed "the first collection ended with code $?"
kill -TERM "$up"
code=0
wait "$up" || code=$?
up=''
[ "$code" = 0 ] || failed "castctl up ended with code $code"
collect >"$work/collected.json" || failed "the collection ended with code $?"
jq -e '.left == 0 and .open == 0' "$work/collected.json" >/dev/null || differs "something is only on the node"

# 3. The bucket alone says what it has.
"$castctl" collect --rebuild-catalog "$bucket" --json >"$work/catalog.json" || differs "the bucket is not whole"
log=$(jq -r '.logs[] | select(.log | startswith("show/")) | select(.whole) | .log' "$work/catalog.json" | sed -n 1p)
[ -n "$log" ] || differs "no whole recording is in the bucket"

# 4. What the node has, and then the node is gone.
"$castctl" export "$work/data/logs/$log" --to "$work/node.mp4" || failed "the export on the node ended with code $?"
"$castctl" replay "$work/data/logs/$log" --digest --json >"$work/node.json" || failed "the log cannot be read"
rm -rf "$work/data"

# 5. Watched again, out of the bucket.
"$castctl" inspect "$bucket/$log" --json >/dev/null || differs "the log in the bucket is damaged"
"$castctl" replay "$bucket/$log" --digest --json >"$work/bucket.json" || differs "the log in the bucket cannot be read"
cmp -s "$work/node.json" "$work/bucket.json" || differs "the packets in the bucket are others"
"$castctl" export "$bucket/$log" --to "$work/bucket.mp4" || differs "the export out of the bucket ended with code $?"
cmp -s "$work/node.mp4" "$work/bucket.mp4" || differs "the movie out of the bucket is another one"
say "ok: $log is in $bucket: $(jq -r '[.tracks[] | "\(.packets) packets of \(.kind)"] | join(", ")' "$work/bucket.json")"
