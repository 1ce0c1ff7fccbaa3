//! The watch page and what it loads, embedded in the binary.

/// A file of the watch page.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// Its media type.
    pub content_type: &'static str,
    /// Its bytes.
    pub body: &'static [u8],
}

/// The page at `/watch/{channel}`.
pub const WATCH: Page =
    Page { content_type: "text/html; charset=utf-8", body: include_bytes!("../../web/watch.html") };

/// What stands at `/assets/{name}`.
pub fn asset(name: &str) -> Option<Page> {
    let (content_type, body): (&'static str, &'static [u8]) = match name {
        "watch.js" => ("text/javascript; charset=utf-8", include_bytes!("../../web/watch.js")),
        "watch.css" => ("text/css; charset=utf-8", include_bytes!("../../web/watch.css")),
        "hls.min.js" => (
            "text/javascript; charset=utf-8",
            include_bytes!("../../web/node_modules/hls.js/dist/hls.min.js"),
        ),
        _ => return None,
    };
    Some(Page { content_type, body })
}
