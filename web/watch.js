// The watch page: plays /live/{channel}/index.m3u8 and shows how well. Media Source Extensions are used wherever
// they exist, so that the figures come from one player; native HLS only where they do not.
"use strict";

const RETRY_MS = 2000; // how often a channel without a session is asked for again
const SAMPLE_MS = 250; // how often figures are read and stalls looked for
const STALL_MS = 750; // standing still for longer than this is a stall
const STUCK_MS = 4000; // after this long, jump to where the live edge is
const JUMP_MS = 15000; // who stands again so soon after a jump begins anew: jumps do not help
const START_STUCK_MS = 10000; // a player that has not shown anything of a live playlist for this long begins anew
const MOVED_S = 0.01; // what a seek's rounding may be, and playing for a moment is not
const START_BUFFER_S = 0.8; // what must stay buffered when the start-up's delay is skipped
const TRACE_S = 60; // length of the latency trace
const ERRORS_KEPT = 50;
const CUES_KEPT = 50;
const MOMENT_S = 4; // how long a cue without a duration is shown

const CONFIG = {
  lowLatencyMode: true,
  backBufferLength: 60,
  // Start-up costs about a part; played a little faster (pitch kept) it is won back within seconds.
  maxLiveSyncPlaybackRate: 1.15,
  // The server's hold-back already has its margin: one stall moves the target by half a part, not by a second.
  liveSyncOnStallIncrease: 0.25,
};

const $ = (id) => document.getElementById(id);
const video = $("video");
const channel = decodeURIComponent(location.pathname.split("/").filter(Boolean).pop() ?? "");
const moment = momentOf(new URLSearchParams(location.search).get("from"));
const playlist = `/live/${encodeURIComponent(channel)}/${moment ? `from/${moment}/` : ""}index.m3u8`;

/** Where the page begins: `from` is seconds since 1970, a date in UTC, or -SECONDS from now; null: live. */
function momentOf(from) {
  if (from === null) return null;
  if (from.startsWith("-")) return ((Date.now() + 1000 * Number(from)) / 1000).toFixed(3);
  return from.replace(/[^0-9TZ:.-]/g, "");
}

const WORDS = {
  waiting: "waiting for the encoder",
  live: moment ? "from the past" : "live",
  reconnecting: "reconnecting",
  ended: "ended",
  unplayable: "this browser has no decoder for it",
};

const opened = performance.now();
let hls = null;
let state = "waiting";
let session = null; // the session's playlist URL that is being played
let encoderAway = false; // the newest thing in the playlist is a gap
let over = false; // the playlist has ENDLIST
let playing = false; // this session has shown its first frame
let firstFrameMs = null;
let stalls = 0;
let errors = [];
let errorCount = 0;
let lastTime = 0; // currentTime when it last moved …
let movedAt = opened; // … and when that was
let stalled = false;
let jumpedAt = -Infinity; // when it last jumped to the live edge
const trace = [];
const cues = new Map(); // by id: start and end on the player's time line, what is told, the frame that it came up with

function setState(next) {
  if (next === state) return;
  state = next;
  $("state").className = next;
  $("state").textContent = WORDS[next];
}

/** The URL of the channel's current session, or null while there is none. */
async function currentSession() {
  try {
    const answer = await fetch(playlist, { cache: "no-store" });
    return answer.ok ? answer.url : null;
  } catch {
    return null;
  }
}

/** Waits for a session other than `played`, then plays it. */
async function waitFor(played) {
  for (;;) {
    const found = await currentSession();
    if (found && found !== played) return start(found);
    await new Promise((done) => setTimeout(done, RETRY_MS));
  }
}

function start(url) {
  session = url;
  encoderAway = false;
  over = false;
  playing = false;
  stalled = false;
  jumpedAt = -Infinity;
  movedAt = performance.now();
  cues.clear();
  if (state === "ended") setState("waiting");
  hls?.destroy();
  hls = null;
  if (!Hls.isSupported()) {
    video.src = playlist;
    video.play().catch(() => {});
    return;
  }
  hls = new Hls(CONFIG);
  window.castctl.hls = hls;
  hls.on(Hls.Events.ERROR, onError);
  hls.on(Hls.Events.LEVEL_UPDATED, (_, { details }) => {
    const newest = details.partList?.at(-1) ?? details.fragments.at(-1);
    encoderAway = details.live && Boolean(newest?.gap);
    over = !details.live;
    noteCues(details.dateRanges);
  });
  hls.on(Hls.Events.MANIFEST_PARSED, () => video.play().catch(() => {}));
  hls.loadSource(playlist);
  hls.attachMedia(video);
}

/** Takes the date ranges of a playlist: what castctl put there is percent-encoded JSON. */
function noteCues(dateRanges = {}) {
  for (const [id, range] of Object.entries(dateRanges)) {
    const text = range.attr["X-CASTCTL-DATA"];
    if (text === undefined || !Number.isFinite(range.startTime)) continue;
    const shown = cues.get(id)?.shown ?? null;
    const start = range.startTime;
    cues.set(id, {
      id, class: range.class ?? "", start, end: start + (range.duration || MOMENT_S), data: decodeURIComponent(text), shown,
    });
  }
  while (cues.size > CUES_KEPT) cues.delete(cues.keys().next().value);
}

/** With every frame that is shown: the cues that it lies in. */
function onFrame(_, { mediaTime }) {
  const now = [...cues.values()].filter((cue) => cue.start <= mediaTime + MOVED_S && mediaTime < cue.end);
  for (const cue of now) cue.shown ??= mediaTime;
  const lines = now.map((cue) => `${cue.class ? `${cue.class} · ` : ""}${cue.id}: ${cue.data}`);
  $("cues").hidden = lines.length === 0;
  $("cues").textContent = lines.join("\n");
  video.requestVideoFrameCallback(onFrame);
}

function onError(_, error) {
  errorCount += 1;
  errors = [...errors, { details: error.details, fatal: error.fatal, atMs: sinceOpened() }].slice(-ERRORS_KEPT);
  if (!error.fatal) return;
  if (error.details === Hls.ErrorDetails.MANIFEST_INCOMPATIBLE_CODECS_ERROR) {
    // Asking again changes nothing; the next session may have another codec.
    const refused = session;
    hls.destroy();
    hls = null;
    setState("unplayable");
    setTimeout(() => waitFor(refused), RETRY_MS);
    return;
  }
  setState("reconnecting");
  if (error.type === Hls.ErrorTypes.MEDIA_ERROR) {
    hls.recoverMediaError();
  } else {
    hls.destroy();
    hls = null;
    setTimeout(() => waitFor(null), RETRY_MS);
  }
}

const sinceOpened = () => Math.round(performance.now() - opened);

/** Seconds of media ahead of the playback position. */
function bufferAhead() {
  const { buffered, currentTime } = video;
  for (let i = 0; i < buffered.length; i += 1) {
    if (buffered.start(i) <= currentTime + 0.1 && currentTime < buffered.end(i)) return buffered.end(i) - currentTime;
  }
  return 0;
}

function stats() {
  const frames = video.getVideoPlaybackQuality();
  const level = hls?.levels?.[hls.currentLevel];
  return {
    channel,
    state,
    session,
    firstFrameMs,
    currentTime: video.currentTime,
    paused: video.paused,
    muted: video.muted,
    latency: hls?.latency ?? null,
    targetLatency: hls?.targetLatency ?? null,
    playbackRate: video.playbackRate,
    buffer: bufferAhead(),
    videoWidth: video.videoWidth,
    videoHeight: video.videoHeight,
    bitrate: level?.bitrate ?? null,
    decoded: frames.totalVideoFrames,
    dropped: frames.droppedVideoFrames,
    stalls,
    errorCount,
    errors,
    cues: [...cues.values()],
  };
}

/** Loading took its time: that much is skipped where it is buffered, so that the picture begins at the target. */
function skipStartUp() {
  if (moment) return;
  const late = (hls?.latency ?? 0) - (hls?.targetLatency ?? 0);
  if (late > 0.1 && bufferAhead() > late + START_BUFFER_S) video.currentTime += late;
}

/**
 * Counts stalls, and leaves a place where nothing more will come. hls.js sometimes waits for ever for a fragment that it
 * began around a discontinuity (after the server's restart), or plays a moment behind each jump and stands again: no jump
 * helps then, only a new player.
 */
function watchProgress(now) {
  if (Math.abs(video.currentTime - lastTime) > MOVED_S) {
    lastTime = video.currentTime;
    movedAt = now;
    stalled = false;
    return;
  }
  const waiting = encoderAway || over;
  if (video.paused || video.ended || (waiting && !playing)) {
    movedAt = now;
    return;
  }
  const stood = now - movedAt;
  if (playing && !stalled && stood > STALL_MS) {
    stalled = true;
    stalls += 1;
  }
  // Who came for the past is not taken to the live edge.
  if (waiting || moment) return;
  const edge = hls?.liveSyncPosition;
  if (playing ? stood > STUCK_MS && edge > video.currentTime + 1 : stood > START_STUCK_MS && edge > 0) {
    movedAt = now;
    if (now - jumpedAt < JUMP_MS || !playing) {
      start(session);
    } else {
      jumpedAt = now;
      video.currentTime = edge;
      lastTime = edge;
    }
  }
}

function judgeState() {
  if (state === "ended" || hls === null) return;
  // A playlist that ends in gaps is never played to its end: standing still in it is the end.
  if (video.ended || (over && stalled)) {
    setState("ended");
    if (!moment) waitFor(session);
  } else if (playing) {
    setState(stalled || encoderAway ? "reconnecting" : "live");
  }
}

const seconds = (n) => (Number.isFinite(n) ? `${n.toFixed(2)} s` : "–");

function bits(n) {
  if (!n) return "–";
  return n >= 1e6 ? `${(n / 1e6).toFixed(1)} Mbit/s` : `${Math.round(n / 1e3)} kbit/s`;
}

function show() {
  const s = stats();
  $("latency").textContent = playing ? seconds(s.latency ?? NaN) : "–";
  $("target").textContent = playing ? seconds(s.targetLatency ?? NaN) : "–";
  $("buffer").textContent = playing ? seconds(s.buffer) : "–";
  $("picture").textContent = s.videoWidth ? `${s.videoWidth} × ${s.videoHeight}` : "–";
  $("bitrate").textContent = bits(s.bitrate);
  $("frames").textContent = s.decoded ? `${s.dropped} of ${s.decoded}` : "–";
  $("stalls").textContent = s.stalls;
  $("errors").textContent = s.errorCount;
  video.controls = playing;
  $("unmute").hidden = !(playing && s.muted);
  $("notice").hidden = s.state === "live";
  $("notice").textContent = {
    waiting: "Nothing on air yet. The picture starts by itself when the encoder does.",
    reconnecting: "The stream is interrupted. Playback goes on by itself.",
    ended: moment ? "What was recorded ends here." : "The stream has ended. The next one starts by itself.",
    unplayable: "This browser has no decoder for the codecs of this stream. Another browser may have.",
  }[s.state] ?? "";
  drawTrace(s.state === "live" ? s.latency : null);
}

/** The latency of the last minute; the height of the trace is twice the target. */
function drawTrace(latency) {
  trace.push(latency);
  const kept = (TRACE_S * 1000) / SAMPLE_MS;
  if (trace.length > kept) trace.shift();
  const top = 2 * (hls?.targetLatency || 2);
  const points = trace.map((y, i) => (y === null ? null : `${i},${(40 - (40 * Math.min(y, top)) / top).toFixed(1)}`));
  document.querySelector("#trace polyline").setAttribute("points", points.filter(Boolean).join(" "));
}

window.castctl = { hls: null, stats };
video.addEventListener("playing", () => {
  if (!playing) skipStartUp();
  playing = true;
  firstFrameMs ??= sinceOpened();
  movedAt = performance.now();
});
video.requestVideoFrameCallback?.(onFrame);
$("channel").textContent = channel;
$("rewind").href = moment ? "?" : "?from=-60";
$("rewind").textContent = moment ? "Go live" : "One minute back";
document.title = `${channel} – castctl`;
$("unmute").addEventListener("click", () => {
  video.muted = false;
  video.play().catch(() => {});
});
setInterval(() => {
  watchProgress(performance.now());
  judgeState();
  show();
}, SAMPLE_MS);
waitFor(null);
