#!/usr/bin/env bash
# Rewinding while live, on one machine: an API server, two origins, two edges. A clip is published for as long as is
# to be rewound; in the middle the origin on air is killed, and the encoder goes on at the other one. Then a viewer
# asks for what happened that long ago, and gets a playlist that goes on live, and one of the time from then to now:
# over both origins, of the same files as everybody had live.
#
# usage: watch-from-an-hour-ago.sh [SECONDS] [CLIP]
#
#   SECONDS    how far to rewind, and so how long this takes; an hour by default, 20 at least
#   CLIP       what to publish: an FLV, MP4, MPEG-TS or Matroska file, or a log; by default the clip of the tests
#
# Exit codes: 0 what was recorded was there, 1 it was not, 2 usage, 3 a step failed.
# Needs castctl (or its path in $CASTCTL), curl, jq and ffprobe.
set -euo pipefail

ago=${1:-3600}
clip=${2:-$(dirname "$0")/../tests/fixtures/media/bbb.flv}
[[ $ago =~ ^[0-9]+$ && $ago -ge 20 ]] || { sed -n 's/^# \(usage: .*\)/\1/p' "$0" >&2; exit 2; }

# 1. The cluster, and a channel with a stream key.
# shellcheck source-path=SCRIPTDIR source=cluster.sh
source "$(dirname "$0")/cluster.sh"
east=$(line east viewers)
west=$(line west viewers)

wrong() { say "WRONG: $*"; exit 1; }
get() { curl -sS --fail --retry 5 --retry-all-errors "$@"; }
# The newest file that a playlist lists with media, and its URL.
newest() { get "$1" | grep '^v.*/g[0-9]*-[0-9]*\.m4s$' | tail -n 1; }
# Waits until a playlist lists media of a generation.
until_generation() {
  for _ in $(seq 300); do
    [[ $(newest "$1" || true) != */g"$2"-* ]] || return 0
    sleep 0.1
  done
  wrong "$1 lists $(newest "$1" || echo nothing)"
}
# Where a path of the channel leads to, at an edge.
leads() { get -o /dev/null -w '%{redirect_url}' "$1/live/show/$2"; }

# 2. Half of the time on one origin, half on the other. A few files are kept as they were live.
publish north "$clip"
entry=$(get --retry 20 --retry-delay 1 -o /dev/null -w '%{redirect_url}' "$east/live/show/index.m3u8") || failed "nothing is on air"
folder=${entry%index.m3u8}video/
until_generation "${folder}index.m3u8" 1
began=$(date +%s)
sleep $((ago / 2))
declare -A live=()
keep() {
  local file
  file=$(newest "${folder}index.m3u8")
  live[$file]=$(get "$folder$file" | sha256sum)
}
keep
say "kill -9 of the origin on air"
end north KILL
end encoder TERM
publish south "$clip"
until_generation "${folder}index.m3u8" 2
keep
# It comes back with what it has recorded; an edge that is asked for that reads it there.
origin north
until [ $(($(date +%s) - began)) -gt $((ago + 1)) ]; do sleep 0.5; done

# 3. What happened that long ago, at both edges.
then=$(($(date +%s) - ago))
url=$(leads "$east" "from/$then/index.m3u8") || failed "nothing leads to $then"
other=$(leads "$west" "from/$then/index.m3u8") || failed "nothing leads to $then in the west"
[ "${url#"$east"}" = "${other#"$west"}" ] || wrong "one edge leads to $url, the other to $other"
media=${other%/*}/video/${other##*/}
text=$(get "$media")
first=$(sed -n 's/^#EXT-X-PROGRAM-DATE-TIME://p' <<<"$text" | sed -n 1p)
[ "$(date -d "$first" +%s)" -le "$then" ] || wrong "it begins at $first, after $(date -u -d "@$then" +%FT%TZ)"
for generation in 1 2; do
  grep -q "^v.*/g$generation-[0-9]*\.m4s" <<<"$text" || wrong "nothing of generation $generation is in $media"
done
for file in "${!live[@]}"; do
  grep -qxF "$file" <<<"$text" || wrong "$file is not in $media"
  [ "$(get "${media%/*}/$file" | sha256sum)" = "${live[$file]}" ] || wrong "$file is not what it was live"
done
grep -q '^#EXT-X-ENDLIST' <<<"$text" && wrong "$media does not go on"
say "from $first on: $(grep -c '^#EXTINF' <<<"$text") segments of both origins, and it goes on"

# 4. From then until a moment ago, as a player plays it.
range=$(leads "$east" "from/$then/to/$(($(date +%s) - 6))/index.m3u8") || failed "no range"
list=$(get "${range%/*}/video.m3u8")
grep -q '^#EXT-X-ENDLIST' <<<"$list" || wrong "$range does not end"
lasts() { awk -v gap=0 '/^#EXT-X-GAP/ { gap = 1 } /^#EXTINF:/ { split($0, n, /[:,]/) } /^[^#]/ { if (!gap) sum += n[2]; gap = 0 } END { print sum }'; }
said=$(lasts <<<"$list")
rate=$(ffprobe -v error -select_streams v -show_entries stream=r_frame_rate -of csv=p=0 "$clip" | sed -n 1p)
# Absent segments are asked for by ffprobe all the same.
frames=$(ffprobe -v fatal -select_streams v -count_packets -show_entries stream=nb_read_packets -of csv=p=0 "$range" | sed -n 1p)
played=$(awk -v n="$frames" -v rate="${rate:-25/1}" 'BEGIN { split(rate, r, "/"); print n * (r[2] ? r[2] : 1) / r[1] }')
awk -v a="$said" -v b="$played" 'BEGIN { exit !(a - b < 1 && b - a < 1) }' || wrong "the range has $said s of media, $played s were played"
say "from then to now: $said s of media, $played s were played"
