//! `connect` on the server's side: what is kept of it, and what it is answered with (RTMP 1.0
//! section 7.2.1.1, Enhanced RTMP v2 "Enhancing NetConnection connect Command").

use crate::media::track::Codec;
use crate::rtmp::amf0::Amf0;
use crate::rtmp::enhanced::{Capabilities, announce};
use crate::rtmp::limits::{APP_MAX, URL_MAX};

/// The version string clients look at; this one says "a server that publishes and plays", whatever
/// the vendor.
const FMS_VER: &str = "FMS/3,0,1,123";

/// What is kept of a `connect`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Connect {
    /// Without slashes at its ends and without a query; never empty.
    pub(crate) app: String,
    pub(crate) tc_url: String,
    pub(crate) flash_ver: String,
    /// What the client says of itself, when it speaks Enhanced RTMP.
    pub(crate) enhanced: Option<Capabilities>,
}

impl Connect {
    /// Reads the command object; the error is for the encoder's screen.
    pub(crate) fn read(object: Option<&Amf0>) -> Result<Connect, &'static str> {
        let text =
            |name| object.and_then(|o| o.get(name)).and_then(Amf0::as_str).unwrap_or_default();
        let (app, tc_url, flash_ver) = (text("app"), text("tcUrl"), text("flashVer"));
        if tc_url.len() > URL_MAX || flash_ver.len() > URL_MAX {
            return Err("tcUrl or flashVer is longer than 2048 bytes");
        }
        let app = app.split_once('?').map_or(app, |(app, _)| app).trim_matches('/');
        if app.is_empty() {
            return Err("the URL names no application: use rtmp://HOST/APP/KEY");
        }
        if app.len() > APP_MAX {
            return Err("the application name is longer than 256 bytes");
        }
        let enhanced = object.and_then(Capabilities::read);
        let (app, tc_url, flash_ver) = (app.into(), tc_url.into(), flash_ver.into());
        Ok(Connect { app, tc_url, flash_ver, enhanced })
    }
}

/// The `_result` of a `connect`.
pub(crate) fn accepted(transaction: f64, connect: &Connect) -> [Amf0; 4] {
    let properties =
        Amf0::object([("fmsVer", Amf0::string(FMS_VER)), ("capabilities", Amf0::Number(31.0))]);
    let mut info = status("status", "NetConnection.Connect.Success", "connected");
    if let Amf0::Object(info) = &mut info {
        info.push(("objectEncoding".into(), Amf0::Number(0.0)));
        if connect.enhanced.is_some() {
            info.extend(announce(&Codec::ALL));
        }
    }
    [Amf0::string("_result"), Amf0::Number(transaction), properties, info]
}

/// The information object of `onStatus`, `_result` and `_error`.
pub(crate) fn status(level: &str, code: &str, description: &str) -> Amf0 {
    Amf0::object([
        ("level", Amf0::string(level)),
        ("code", Amf0::string(code)),
        ("description", Amf0::string(description)),
    ])
}
