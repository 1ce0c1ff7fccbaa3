//! The client's `connect` (RTMP 1.0 section 7.2.1.1) and what its answer says.

use crate::media::track::Codec;
use crate::rtmp::amf0::Amf0;
use crate::rtmp::enhanced::{Capabilities, announce};
use crate::rtmp::error::SessionError;
use crate::rtmp::url::RtmpUrl;

/// How this client names itself. Some servers take streams only from names that begin so.
const FLASH_VER: &str = "FMLE/3.0 (compatible; castctl)";

/// The command object; `enhanced` is announced by FourCC.
pub(super) fn object(url: &RtmpUrl, play: bool, enhanced: &[Codec]) -> Amf0 {
    let mut object = vec![
        ("app".into(), Amf0::string(&url.app)),
        ("type".into(), Amf0::string("nonprivate")),
        ("flashVer".into(), Amf0::string(FLASH_VER)),
        ("tcUrl".into(), Amf0::String(url.tc_url())),
    ];
    if play {
        // Bit masks of the classic codecs: all of them.
        object.push(("fpad".into(), Amf0::Boolean(false)));
        object.push(("capabilities".into(), Amf0::Number(15.0)));
        object.push(("audioCodecs".into(), Amf0::Number(f64::from(0x0FFF))));
        object.push(("videoCodecs".into(), Amf0::Number(f64::from(0x00FF))));
    }
    if !enhanced.is_empty() {
        object.extend(announce(enhanced));
    }
    Amf0::Object(object)
}

/// Does the answer leave room for what is to be sent? Servers put what they say of themselves into
/// either of its objects; one that says nothing is sent what it is sent.
///
/// # Errors
/// A codec that the server's list does not have.
pub(super) fn check(answer: &[Amf0], enhanced: &[Codec]) -> Result<(), SessionError> {
    let Some(said) = answer.iter().find_map(Capabilities::read) else { return Ok(()) };
    match enhanced.iter().find(|c| !said.takes(**c)) {
        Some(codec) => Err(SessionError::NotTaken { codec: codec.name(), takes: said.names }),
        None => Ok(()),
    }
}
