// Plays an exported movie or HLS folder in headless Chromium, from a small static server with range requests, and prints
// one JSON object of what was seen.
//   node tests/browser/file.mjs FILE.mp4|FOLDER SECONDS [--seek SECONDS]
// Exit code 0: it ran (judge the figures yourself). 2: usage. 3: the browser or the page failed.
import { createReadStream, statSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { basename, dirname, join, normalize, resolve } from "node:path";

const require = createRequire(new URL("../../web/package.json", import.meta.url));
const { chromium } = require("playwright-core");
const BROWSER = process.env.CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required"];
const START_WITHIN_MS = 30_000;

function arguments_(argv) {
  const seek = argv.indexOf("--seek");
  const at = seek < 0 ? null : Number(argv.splice(seek, 2)[1]);
  const [path, seconds] = [argv[0], Number(argv[1])];
  if (argv.length !== 2 || !(seconds > 0)) {
    console.error("usage: file.mjs FILE.mp4|FOLDER SECONDS [--seek SECONDS]");
    process.exit(2);
  }
  return { path: resolve(path), seconds, at };
}

/** Serves a directory, the page and hls.js on a free port. */
function serve(root, page) {
  const hls = require.resolve("hls.js/dist/hls.min.js");
  const server = createServer((request, response) => {
    const url = decodeURIComponent(new URL(request.url, "http://x").pathname);
    if (url === "/") return response.writeHead(200, { "content-type": "text/html" }).end(page);
    const path = url === "/hls.js" ? hls : join(root, normalize(url));
    let size;
    try {
      size = statSync(path).size;
    } catch {
      return response.writeHead(404).end();
    }
    const type = { mp4: "video/mp4", m4s: "video/mp4", m3u8: "application/vnd.apple.mpegurl", js: "text/javascript" };
    const headers = { "content-type": type[path.split(".").at(-1)] ?? "", "accept-ranges": "bytes" };
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
    const [from, to] = range ? [Number(range[1]), range[2] ? Number(range[2]) : size - 1] : [0, size - 1];
    if (range) headers["content-range"] = `bytes ${from}-${to}/${size}`;
    response.writeHead(range ? 206 : 200, { ...headers, "content-length": to - from + 1 });
    return createReadStream(path, { start: from, end: to }).pipe(response);
  });
  return new Promise((done) => server.listen(0, "127.0.0.1", () => done(server)));
}

/** What the page shows at one moment. */
function read() {
  const video = document.querySelector("video");
  const quality = video.getVideoPlaybackQuality();
  return {
    currentTime: video.currentTime, duration: video.duration, ended: video.ended, errors: window.errors,
    videoWidth: video.videoWidth, videoHeight: video.videoHeight, decoded: quality.totalVideoFrames,
    audioBytes: video.webkitAudioDecodedByteCount,
  };
}

async function main({ path, seconds, at }) {
  const folder = statSync(path).isDirectory();
  const page = `<!doctype html><video muted playsinline></video><script src="/hls.js"></script><script>
    window.errors = [];
    const video = document.querySelector("video");
    video.onerror = () => window.errors.push(video.error.message || String(video.error.code));
    if (${folder}) {
      const hls = new Hls();
      hls.on(Hls.Events.ERROR, (_, e) => window.errors.push(e.details));
      hls.loadSource("/index.m3u8"); hls.attachMedia(video);
    } else video.src = "/${encodeURIComponent(basename(path))}";
    video.onloadedmetadata = () => { ${at === null ? "" : `video.currentTime = ${at};`} video.play(); };
  </script>`;
  const server = await serve(folder ? path : dirname(path), page);
  const browser = await chromium.launch({ executablePath: BROWSER, headless: true, args: FLAGS });
  try {
    const tab = await browser.newPage();
    await tab.goto(`http://127.0.0.1:${server.address().port}/`);
    const start = at ?? 0;
    const until = async (done, limit) => {
      const begun = Date.now();
      for (;;) {
        const seen = await tab.evaluate(read);
        if (done(seen) || Date.now() - begun > limit) return seen;
        await tab.waitForTimeout(50);
      }
    };
    await until((s) => s.currentTime > start || s.errors.length > 0, START_WITHIN_MS);
    const seen = await until((s) => s.ended || s.currentTime >= start + seconds, START_WITHIN_MS + seconds * 1000);
    console.log(JSON.stringify({ ...seen, advanced: seen.currentTime - start }));
  } finally {
    await browser.close();
    server.close();
  }
}

main(arguments_(process.argv.slice(2))).catch((e) => {
  console.error(e.message);
  process.exit(3);
});
