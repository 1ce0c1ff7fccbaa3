#!/usr/bin/env bash
# A CI job that sends a recorded stream through the whole path and checks what comes out: it starts castctl with an
# empty data directory on free ports, replays a recording into it, plays it back as HLS, and compares what was recorded
# with the recording, packet by packet. Nothing is left behind, and several jobs can run on one machine.
#
# usage: replay-in-ci.sh RECORDING [CHECKSUM]
#
#   RECORDING  a log's or session's directory, or an FLV, MP4, MPEG-TS or Matroska file
#   CHECKSUM   what `castctl replay RECORDING --digest --json | jq -r .checksum` printed when the recording was made:
#              keep it in the repository, and an altered recording is found as well
#
# Exit codes: 0 all is well, 1 something differs, 2 the words are wrong, 3 a step failed.
# Needs castctl (or its path in $CASTCTL), curl and jq. $SPEED is how fast to replay: 8 times real time unless set.
set -euo pipefail

castctl=${CASTCTL:-castctl}
speed=${SPEED:-8}
[ $# = 1 ] || [ $# = 2 ] || { sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 2; }
recording=$1 wanted=${2:-}

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

# 1. Is the recording the one that is meant? The digest covers payloads, configurations and distances of timestamps.
"$castctl" replay "$recording" --digest --json >"$work/recording.json" || failed "the recording cannot be read"
checksum=$(jq -r .checksum "$work/recording.json")
if [ -n "$wanted" ] && [ "$checksum" != "$wanted" ]; then
  differs "the recording's checksum is $checksum and not $wanted"
fi

# 2. A fresh server. `pace: media` takes a stream as fast as it comes; the session ends a second after the replay, so that
#    its playlists have an end; port 0 is any free one.
cat >"$work/castctl.yaml" <<END
channels:
  - name: ci
    keys: [ci-stream-key]
    pace: media
    reconnectWindow: 1s
END
ports=(--rtmp 127.0.0.1:0 --viewers 127.0.0.1:0 --internal 127.0.0.1:0 --admin 127.0.0.1:0)
"$castctl" up --manifest "$work/castctl.yaml" --data "$work/data" "${ports[@]}" >"$work/up.out" 2>"$work/up.log" &
up=$!
# It prints where it is as `key: value` lines; `playlist` is the last of them.
line() { sed -n "s/^$1: //p" "$work/up.out"; }
for _ in $(seq 100); do
  [ -z "$(line playlist)" ] || break
  kill -0 "$up" 2>/dev/null || failed "castctl up ended"
  sleep 0.1
done
[ -n "$(line playlist)" ] || failed "castctl up did not say where it is within 10 s"
curl -sS --fail --retry 20 --retry-delay 1 --retry-all-errors --max-time 10 "$(line admin)/readyz" >/dev/null \
  || failed "the server is not ready"

# 3. Replay. Exit code 0 means that the server has taken everything to the last byte.
"$castctl" replay "$recording" "$(line rtmp)/ci-stream-key" --speed "$speed" || failed "the replay ended with code $?"

# 4. Play it back: playlists and media are fetched and judged as a player would meet them.
"$castctl" inspect "$(line playlist)" --duration 5s --json >"$work/hls.json" \
  || differs "the HLS stream is damaged: $(jq -c '[.findings[].text]' "$work/hls.json")"
jq -e '.hls.playlists | all(.failed == 0 and .failedReloads == 0)' "$work/hls.json" >/dev/null \
  || differs "media or playlists could not be fetched"
jq -e '[.tracks[] | select(.packets > 0) | .kind] | unique' "$work/hls.json" >"$work/played"
jq -e '[.tracks[].kind] | unique' "$work/recording.json" | cmp -s - "$work/played" \
  || differs "the tracks played are $(jq -c . "$work/played")"

# 5. Stop the server in good order, and compare its log with the recording.
kill -TERM "$up"
code=0
wait "$up" || code=$?
up=''
[ "$code" = 0 ] || failed "castctl up ended with code $code"
"$castctl" inspect "$work/data/logs/ci" --json >/dev/null || differs "the log is damaged"
"$castctl" replay "$work/data/logs/ci" --digest --json >"$work/log.json" || failed "the log cannot be read"
if ! cmp -s "$work/recording.json" "$work/log.json"; then
  diff "$work/recording.json" "$work/log.json" >&2 || true
  differs "the log is not the recording"
fi
say "ok: $(jq -r '[.tracks[] | "\(.packets) packets of \(.kind)"] | join(", ")' "$work/log.json"), checksum $checksum"
