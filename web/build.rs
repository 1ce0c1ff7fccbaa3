//! Build script: the watch page's player library comes from npm and is embedded in the binary, so it must be there.

use std::path::Path;

const HLS_JS: &str = "web/node_modules/hls.js/dist/hls.min.js";

fn main() {
    println!("cargo:rerun-if-changed={HLS_JS}");
    println!("cargo:rerun-if-changed=web/build.rs");
    assert!(
        Path::new(HLS_JS).exists(),
        "{HLS_JS} is missing: run `npm ci --prefix web` first (scripts/demo and scripts/test do it for you)"
    );
}
