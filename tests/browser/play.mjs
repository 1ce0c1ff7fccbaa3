// Opens a watch page in headless Chromium, watches it for a while and prints one JSON object of what was seen.
//   node tests/browser/play.mjs URL SECONDS [--screenshot FILE] [--start-within SECONDS]
// "playing" on stderr says that the picture moves and the seconds are counted.
// Exit code 0: it ran (judge the figures yourself). 2: usage. 3: the browser or the page failed.
import { createRequire } from "node:module";

const require = createRequire(new URL("../../web/package.json", import.meta.url));
const { chromium } = require("playwright-core");

const SAMPLE_MS = 250;
const STALL_MS = 750;
const BROWSER = process.env.CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required",
];

function usage(message) {
  console.error(`${message}\nusage: play.mjs URL SECONDS [--screenshot FILE] [--start-within SECONDS]`);
  process.exit(2);
}

function parse(argv) {
  const out = { startWithin: 30, screenshot: null, plain: [] };
  for (let i = 0; i < argv.length; i += 1) {
    if (argv[i] === "--screenshot") out.screenshot = argv[(i += 1)] ?? usage("--screenshot needs a file");
    else if (argv[i] === "--start-within") out.startWithin = Number(argv[(i += 1)]);
    else if (argv[i].startsWith("-")) usage(`unknown option ${argv[i]}`);
    else out.plain.push(argv[i]);
  }
  const seconds = Number(out.plain[1]);
  if (out.plain.length !== 2 || !(seconds > 0) || !(out.startWithin > 0)) usage("a URL and a number of seconds, please");
  return { url: out.plain[0], seconds, ...out };
}

const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)] ?? null;
const round = (n) => (n === null ? null : Math.round(n * 1000) / 1000);

/** What one sample of the page holds; everything is read in the page at one moment. */
function read() {
  const video = document.querySelector("video");
  const mine = window.castctl?.stats() ?? {};
  return {
    ...mine,
    brightAt: window.brightAt ?? null,
    now: performance.now(),
    currentTime: video?.currentTime ?? 0,
    paused: video?.paused ?? true,
    ended: video?.ended ?? false,
    audioBytes: video?.webkitAudioDecodedByteCount ?? null,
  };
}

/** In the page: the time of the first frame that is bright when the one before was dark. */
function noteLight() {
  const video = document.querySelector("video");
  const dot = document.createElement("canvas");
  [dot.width, dot.height] = [1, 1];
  const context = dot.getContext("2d", { willReadFrequently: true });
  let dark = false;
  const onFrame = (_, { mediaTime }) => {
    context.drawImage(video, 0, 0, 1, 1);
    const [, green] = context.getImageData(0, 0, 1, 1).data;
    if (dark && green > 192) window.brightAt ??= mediaTime;
    dark = green < 64;
    video.requestVideoFrameCallback(onFrame);
  };
  video.requestVideoFrameCallback(onFrame);
}

/** Delivery directives of reloads that are not in the order of their names (6.2.5). */
function disorder(urls) {
  const names = urls.map((url) => [...new URL(url).searchParams.keys()].filter((name) => name.startsWith("_HLS_")));
  return names.filter((list) => list.join() !== [...list].sort().join()).length;
}

/** Samples the page until `done(samples)`. */
async function sample(page, done) {
  const samples = [];
  for (;;) {
    samples.push(await page.evaluate(read));
    if (done(samples)) return samples;
    await page.waitForTimeout(SAMPLE_MS);
  }
}

/** Times when currentTime stood still for longer than STALL_MS without being paused or over. */
function stallsIn(samples) {
  let stalls = 0;
  let moved = samples[0];
  let standing = false;
  for (const s of samples) {
    if (s.currentTime !== moved.currentTime || s.paused || s.ended) {
      moved = s;
      standing = false;
    } else if (!standing && s.now - moved.now > STALL_MS) {
      standing = true;
      stalls += 1;
    }
  }
  return stalls;
}

function summary(samples, pageErrors) {
  const [first, last] = [samples[0], samples.at(-1)];
  const latencies = samples.map((s) => s.latency).filter((n) => n > 0);
  return {
    advanced: round(last.currentTime - first.currentTime),
    seconds: round((last.now - first.now) / 1000),
    stalls: stallsIn(samples),
    state: last.state ?? null,
    session: last.session ?? null,
    videoWidth: last.videoWidth ?? 0,
    videoHeight: last.videoHeight ?? 0,
    latency: { median: round(median(latencies)), max: latencies.length ? round(Math.max(...latencies)) : null },
    targetLatency: round(last.targetLatency ?? null),
    bufferMin: round(Math.min(...samples.map((s) => s.buffer ?? 0))),
    decoded: (last.decoded ?? 0) - (first.decoded ?? 0),
    dropped: (last.dropped ?? 0) - (first.dropped ?? 0),
    audioBytes: last.audioBytes,
    bitrate: last.bitrate ?? null,
    firstFrameMs: last.firstFrameMs ?? null,
    cues: last.cues ?? [],
    brightAt: last.brightAt,
    errors: [...(last.errors ?? []), ...pageErrors.map((e) => ({ details: `page: ${e}`, fatal: false }))],
  };
}

async function main({ url, seconds, startWithin, screenshot }) {
  const browser = await chromium.launch({ executablePath: BROWSER, headless: true, args: FLAGS });
  try {
    const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    const pageErrors = [];
    page.on("pageerror", (e) => pageErrors.push(String(e)));
    const reloads = [];
    page.on("request", (r) => r.url().includes("_HLS_msn=") && reloads.push(r.url()));
    await page.goto(url);
    await page.evaluate(noteLight);
    const begun = Date.now();
    const playing = (list) => list.at(-1).currentTime > list[0].currentTime
      && (list.at(-1).decoded > 0 || list.at(-1).audioBytes > 0);
    await sample(page, (list) => playing(list) || Date.now() - begun > startWithin * 1000);
    console.error("playing");
    const from = Date.now();
    const samples = await sample(page, () => Date.now() - from >= seconds * 1000);
    if (screenshot) await page.screenshot({ path: screenshot });
    const order = { reloads: reloads.length, disorder: disorder(reloads) };
    console.log(JSON.stringify({ ...summary(samples, pageErrors), ...order }));
  } finally {
    await browser.close();
  }
}

main(parse(process.argv.slice(2))).catch((e) => {
  console.error(e.message);
  process.exit(3);
});
