#!/usr/bin/env bash
# Publishes a clip and pushes it into a bucket while it is live; watches it there, as a CDN in front of the bucket would:
# whatever a playlist lists is there at that moment, and is what the edge serves under the same name.
#
# usage: publish-to-a-bucket.sh BUCKET [PUBLIC] [CLIP]
#
#   BUCKET     where to: s3://BUCKET/PREFIX, gs://…, az://… or file:///DIR, empty; the environment has the credentials
#              (castctl-push(7))
#   PUBLIC     the URL under which the prefix is fetched, like https://cdn.example.com/PREFIX; of file:///DIR, or where it
#              is -, python3 serves the directory
#   CLIP       what to publish: an FLV, MP4, MPEG-TS or Matroska file, or a log; by default the clip of the tests
#
# Exit codes: 0 it was live in the bucket to its end, 1 something differs, 2 the words are wrong, 3 a step failed.
# Needs castctl (or its path in $CASTCTL) and curl. What is put into the bucket stays there.
set -euo pipefail

castctl=${CASTCTL:-castctl}
usage() { sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 2; }
if [ $# -lt 1 ] || [ $# -gt 3 ]; then usage; fi
bucket=${1%/} public=${2:--} clip=${3:-$(dirname "$0")/../tests/fixtures/media/bbb.flv}
case "$bucket $public" in
  file:///*) ;;
  *' -') usage ;;
esac

work=$(mktemp -d)
pids=()
cleanup() {
  trap - EXIT
  for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say() { printf '%s\n' "$*" >&2; }
differs() { say "DIFFERS: $*"; exit 1; }
failed() { say "FAILED: $*"; [ ! -s "$work/up.log" ] || tail -n 20 "$work/up.log" >&2; exit 3; }

# 1. A server that pushes what it serves. The flag is for every channel; in a manifest each channel can have its own
#    `hlsTo`.
cat >"$work/castctl.yaml" <<END
channels:
  - name: show
    keys: [show-stream-key]
    reconnectWindow: 2s
END
ports=(--rtmp 127.0.0.1:0 --viewers 127.0.0.1:0 --internal 127.0.0.1:0 --admin 127.0.0.1:0)
"$castctl" up --manifest "$work/castctl.yaml" --data "$work/data" "${ports[@]}" --hls-to "$bucket" \
  >"$work/up.out" 2>"$work/up.log" &
pids+=($!)
line() { sed -n "s/^$1: //p" "$work/up.out"; }
for _ in $(seq 100); do
  [ -z "$(line playlist)" ] || break
  kill -0 "${pids[0]}" 2>/dev/null || failed "castctl up ended"
  sleep 0.1
done
[ -n "$(line playlist)" ] || failed "castctl up did not say where it is within 10 s"
edge=$(line playlist) edge=${edge%/live/*}
curl -sS --fail --retry 20 --retry-delay 1 --retry-all-errors --max-time 10 "$(line admin)/readyz" >/dev/null \
  || failed "the server is not ready"

# 2. What stands for the CDN.
if [ "$public" = - ]; then
  mkdir -p "${bucket#file://}"
  python3 -u -m http.server --bind 127.0.0.1 --directory "${bucket#file://}" 0 >"$work/http.out" 2>/dev/null &
  pids+=($!)
  for _ in $(seq 50); do
    port=$(sed -n 's/.* port \([0-9]*\) .*/\1/p' "$work/http.out")
    [ -z "$port" ] || break
    sleep 0.1
  done
  public=http://127.0.0.1:${port:?python3 serves nothing}
fi
public=${public%/}
fetch() { curl -sS --fail --max-time 20 "$1" -o "$2" 2>>"$work/curl.log"; }

# 3. An encoder, in real time.
"$castctl" replay "$clip" "$(line rtmp)/show-stream-key" >"$work/replay.out" 2>"$work/replay.log" &
replay=$!
pids+=("$replay")

# 4. A viewer of the bucket. The session's playlists are named once what they list is there.
for _ in $(seq 300); do
  fetch "$public/live/show/index.m3u8" "$work/entry.m3u8" && break
  sleep 0.1
done
[ -s "$work/entry.m3u8" ] || failed "nothing was live in the bucket within 30 s"
mapfile -t lists < <(grep -o 's[0-9]*/[a-z0-9_-]*/index\.m3u8' "$work/entry.m3u8" | sort -u)
[ "${#lists[@]}" -gt 0 ] || differs "the channel's playlist names none"

files=0 live=0 ended=0
look() { # a media playlist: everything that it lists is there, and is the edge's
  local home=live/show/${1%/*} name
  fetch "$public/live/show/$1" "$work/list.m3u8" || differs "$1 is named and not there"
  ! grep -q '^#EXT-X-\(PART\|PRELOAD-HINT\|SERVER-CONTROL\)' "$work/list.m3u8" || differs "$1 takes a server"
  while IFS= read -r name; do
    case "$name" in *-gap*) continue ;; esac
    local kept=$work/media/$home/$name
    [ ! -e "$kept" ] || continue
    mkdir -p "$(dirname "$kept")"
    fetch "$public/$home/$name" "$kept" || differs "$home/$name is listed and not there"
    fetch "$edge/$home/$name" "$work/edge" || differs "$home/$name is not at the edge"
    cmp -s "$kept" "$work/edge" || differs "$home/$name is another one at the edge"
    files=$((files + 1))
  done < <(sed -n 's/^#EXT-X-MAP:URI="\(.*\)"$/\1/p; /^[^#]/p' "$work/list.m3u8")
  if grep -q '^#EXT-X-ENDLIST' "$work/list.m3u8"; then ended=$((ended + 1)); else live=$((live + 1)); fi
}
for _ in $(seq 400); do
  ended=0
  for list in "${lists[@]}"; do look "$list"; done
  [ "$ended" -lt "${#lists[@]}" ] || break
  sleep 0.25
done
[ "$ended" = "${#lists[@]}" ] || differs "the playlists in the bucket do not end"
[ "$live" -gt 0 ] || differs "the session was over before it was in the bucket"
wait "$replay" || failed "the publish ended with code $?"
say "ok: $bucket was live: $files files of ${#lists[@]} renditions, each the edge's"
