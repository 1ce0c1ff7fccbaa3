// Plays HLS in headless Chromium, each player in a page of its own, all at the same time, and prints one JSON object a
// line: {"playing": NAME} when a player's clock runs for the first time, at the end what each did.
//   node tests/browser/players.mjs SECONDS [throttle=KBITS@FROM-TO] NAME=hls.js|hls.js-abr|shaka,URL...
// hls.js-abr: without its low-latency mode, and quick to learn how wide its network is: it learns little of each small
// segment. throttle: no page gets more than so many kbit/s between those seconds.
// Exit code 0: it ran (judge the figures yourself). 2: usage. 3: the browser or a page failed.
import { createReadStream } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";

const require = createRequire(new URL("../../web/package.json", import.meta.url));
const { chromium } = require("playwright-core");
const LIBRARIES = {
  "hls.js": new URL("../../web/node_modules/hls.js/dist/hls.min.js", import.meta.url),
  "hls.js-abr": new URL("../../web/node_modules/hls.js/dist/hls.min.js", import.meta.url),
  shaka: new URL("../../web/node_modules/shaka-player/dist/shaka-player.compiled.js", import.meta.url),
};
const BROWSER = process.env.CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required"];
const SAMPLE_MS = 250;
const STALL_MS = 750;
const START_WITHIN_MS = 60_000;

function usage() {
  console.error("usage: players.mjs SECONDS [throttle=KBITS@FROM-TO] NAME=hls.js|hls.js-abr|shaka,URL...");
  process.exit(2);
}

function parse([seconds, ...players]) {
  const read = (word) => /^([^=]+)=(hls\.js|hls\.js-abr|shaka),(.+)$/.exec(word) ?? usage();
  const narrow = /^throttle=(\d+)@(\d+)-(\d+)$/.exec(players[0] ?? "");
  if (narrow) players.shift();
  if (!(Number(seconds) > 0) || players.length === 0) usage();
  const [kbits, from, to] = (narrow ?? []).slice(1).map(Number);
  return { seconds: Number(seconds), throttle: narrow && { kbits, from, to }, players: players.map(read).map(([, name, library, url]) => ({ name, library, url })) };
}

/** In the page: starts a player and counts what it says. */
function start(library, url) {
  const video = document.querySelector("video");
  const seen = { fatal: [], events: {}, latency: () => null, estimate: () => null, edge: () => null };
  window.seen = seen;
  const count = (what) => { seen.events[what] = (seen.events[what] ?? 0) + 1; };
  /**
   * What a page does that uses such a player: where it stands and there is media ahead, it moves on, and where it soon stands
   * again, or a new one shows nothing for 10 s, it begins a new player, as the watch page does.
   */
  const moveOn = (edge, move, anew) => {
    seen.edge = edge;
    let [stood, at, since] = [0, 0, Infinity];
    setInterval(() => {
      stood = video.currentTime === at ? stood + 1 : 0;
      since += 1;
      at = video.currentTime;
      const never = anew !== undefined && at === 0;
      if (stood < (never ? 20 : 8) || edge() < at + 4) return;
      const again = anew !== undefined && (never || since < 30);
      count(again ? "begun anew by the page" : "moved to the live edge by the page");
      [stood, since] = [0, again ? Infinity : 0];
      (again ? anew : move)();
    }, 500);
  };
  if (library.startsWith("hls.js")) {
    let hls = null;
    const begin = () => {
      hls?.destroy();
      hls = new window.Hls(library === "hls.js" ? { lowLatencyMode: true } : { lowLatencyMode: false, abrEwmaFastLive: 1, abrEwmaSlowLive: 3 });
      hls.on(window.Hls.Events.ERROR, (_, e) => (e.fatal ? seen.fatal.push(`${e.details}: ${e.error?.message ?? e.reason ?? ""}`) : count(e.details)));
      hls.on(window.Hls.Events.MANIFEST_PARSED, () => video.play().catch(() => {}));
      hls.loadSource(url);
      hls.attachMedia(video);
    };
    begin();
    seen.latency = () => hls.latency;
    seen.estimate = () => hls.bandwidthEstimate;
    // hls.js 1.7.4 whose newest whole segment was absent may wait with its sound for a picture that it looks for in there.
    moveOn(() => hls.liveSyncPosition ?? 0, () => { video.currentTime = hls.liveSyncPosition; }, begin);
  } else {
    window.shaka.polyfill.installAll();
    const player = new window.shaka.Player();
    const name = (e) => e.code === undefined ? String(e) : `${Object.entries(window.shaka.util.Error.Code).find(([, code]) => code === e.code)?.[0] ?? e.code}`;
    const told = (e) => (e.severity === window.shaka.util.Error.Severity.CRITICAL ? seen.fatal.push(name(e)) : count(name(e)));
    player.addEventListener("error", (event) => told(event.detail));
    // Looking for captions, shaka-player 5.2.12 asks for a segment that has no more than a hint, and fails.
    player.configure({ manifest: { hls: { disableClosedCaptionsDetection: true } } });
    player.configure({ streaming: { lowLatencyMode: true, failureCallback: (e) => { told(e); player.retryStreaming(0.5); } } });
    player.attach(video).then(() => player.load(url)).catch((e) => seen.fatal.push(e.code ? name(e) : String(e.stack ?? e)));
    seen.latency = () => player.getStats().liveLatency;
    // After an absence shaka-player appends what comes where the past was, and stands.
    moveOn(() => player.seekRange().end, () => player.goToLive());
  }
  video.onerror = () => seen.fatal.push(`media: ${video.error.message || video.error.code}`);
  video.play().catch(() => {});
}

/** In the page: what it shows at one moment. */
function read() {
  const video = document.querySelector("video");
  const { fatal, events } = window.seen;
  const latency = window.seen.latency();
  const { buffered } = video;
  const held = Array.from({ length: buffered.length }, (_, i) => [buffered.start(i), buffered.end(i)]);
  return { now: performance.now(), at: video.currentTime, held, edge: window.seen.edge(), paused: video.paused, latency, fatal, events, height: video.videoHeight, estimate: window.seen.estimate(),
    decoded: video.getVideoPlaybackQuality().totalVideoFrames, audioBytes: video.webkitAudioDecodedByteCount };
}

/** A page for each player, and the libraries. */
function serve() {
  const server = createServer((request, response) => {
    const library = LIBRARIES[decodeURIComponent(request.url.slice(1))];
    if (library) {
      response.writeHead(200, { "content-type": "text/javascript" });
      return createReadStream(library).pipe(response);
    }
    const name = new URL(request.url, "http://x").searchParams.get("library");
    return response.writeHead(200, { "content-type": "text/html" })
      .end(`<!doctype html><video muted playsinline autoplay></video><script src="/${name}"></script>`);
  });
  return new Promise((done) => server.listen(0, "127.0.0.1", () => done(server)));
}

/** Times when the position stood still for longer than STALL_MS: how many, their seconds, when and how long each. */
function stallsIn(samples) {
  const when = [];
  let moved = samples[0];
  const note = (until) => when.push([moved.now - samples[0].now, until - moved.now].map((ms) => Math.round(ms) / 1000));
  for (const s of samples) {
    if (s.at !== moved.at) {
      if (s.now - moved.now > STALL_MS + SAMPLE_MS) note(s.now);
      moved = s;
    }
  }
  const last = samples.at(-1);
  const stands = last.now - moved.now > STALL_MS;
  if (stands) note(last.now);
  // Where it stands at the end, what it has of the stream, and where it would like to be.
  const end = stands ? { stands: { at: last.at, held: last.held, edge: last.edge } } : {};
  return { stalls: when.length, stood: when.reduce((sum, [, seconds]) => sum + seconds, 0), when, ...end };
}

const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)] ?? null;

function summary(name, samples) {
  const [first, last] = [samples[0], samples.at(-1)];
  const tail = samples.findIndex((s) => s.now >= last.now - 8000);
  // A player that is begun anew counts its own time.
  const advanced = (all) => all.slice(1).reduce((sum, s, i) => sum + Math.max(s.at - all[i].at, 0), 0);
  // What the player has decoded and the counters that begin anew with it.
  const grown = (of) => samples.slice(1).reduce((sum, s, i) => sum + Math.max(of(s) - of(samples[i]), 0), 0);
  return {
    name, seconds: (last.now - first.now) / 1000, advanced: advanced(samples), ...stallsIn(samples),
    advancedLast: advanced(samples.slice(tail)), secondsLast: (last.now - samples[tail].now) / 1000,
    latency: median(samples.map((s) => s.latency).filter((n) => n > 0)),
    heights: samples.filter((s, i) => s.height !== samples[i - 1]?.height)
      .map((s) => [Math.round((s.now - first.now) / 100) / 10, s.height]),
    estimates: samples.filter((_, i) => i % 20 === 0).map((s) => Math.round(s.estimate / 1000)),
    decoded: grown((s) => s.decoded), audioBytes: last.audioBytes, fatal: last.fatal, events: last.events,
  };
}

/** Lets no more through to a page's network than so many kbit/s; 0: all. */
async function narrow(network, kbits) {
  const downloadThroughput = kbits > 0 ? (kbits * 1000) / 8 : -1;
  await network.send("Network.emulateNetworkConditions", { offline: false, latency: 0, downloadThroughput, uploadThroughput: -1 });
}

async function play(browser, base, { name, library, url }, seconds, throttle) {
  const page = await browser.newPage();
  page.on("pageerror", (e) => console.error(`${name}: ${e}`));
  await page.goto(`${base}/?library=${encodeURIComponent(library)}`);
  await page.evaluate(`(${start})(${JSON.stringify(library)}, ${JSON.stringify(url)})`);
  const look = () => page.evaluate(`(${read})()`);
  const begun = Date.now();
  let first = await look();
  for (let now = first; now.at <= first.at || now.decoded === 0; now = await look()) {
    if (now.fatal.length > 0 || Date.now() - begun > START_WITHIN_MS) throw new Error(`${name} does not play: ${JSON.stringify(now)}`);
    await page.waitForTimeout(SAMPLE_MS / 2);
    // Players jump to where they begin before they play.
    first = now.decoded === 0 ? now : first;
  }
  console.log(JSON.stringify({ playing: name }));
  const network = await page.context().newCDPSession(page);
  await network.send("Network.enable");
  const samples = [await look()];
  while (samples.at(-1).now - samples[0].now < seconds * 1000) {
    await page.waitForTimeout(SAMPLE_MS);
    samples.push(await look());
    const [before, now] = samples.slice(-2).map((s) => (s.now - samples[0].now) / 1000);
    const crossed = (moment) => before < moment && now >= moment;
    if (throttle && crossed(throttle.from)) await narrow(network, throttle.kbits);
    if (throttle && crossed(throttle.to)) await narrow(network, 0);
  }
  return summary(name, samples);
}

async function main({ seconds, throttle, players }) {
  const server = await serve();
  const browser = await chromium.launch({ executablePath: BROWSER, headless: true, args: FLAGS });
  try {
    const base = `http://127.0.0.1:${server.address().port}`;
    for (const done of await Promise.all(players.map((p) => play(browser, base, p, seconds, throttle)))) {
      console.log(JSON.stringify(done));
    }
  } finally {
    await browser.close();
    server.close();
  }
}

main(parse(process.argv.slice(2))).catch((e) => {
  console.error(e.message);
  process.exit(3);
});
