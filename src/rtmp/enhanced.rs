//! Enhanced RTMP v2's side of `connect` ("Enhancing NetConnection connect Command"): each side says
//! which codecs it can do what with, and which extensions it reads. The media itself is
//! `media::flv`'s.

use crate::media::flv::fourcc;
use crate::media::track::{Codec, Kind};
use crate::rtmp::amf0::{Amf0, Properties};
use crate::rtmp::limits::FOURCC_MAX;

/// A codec of any name.
const WILDCARD: &str = "*";

/// FourCcInfoMask: media of this codec is passed on as it comes. Nothing is decoded or encoded on
/// either side of this room.
const CAN_FORWARD: f64 = 4.0;

/// CapsExMask: ModEx is read. No reconnect request is sent (a drain ends publishes, encoders
/// connect again by themselves). Multitrack is read too, and one track of it is taken: who asks
/// before it sends more should not. Nanosecond offsets are read past: tracks count in milliseconds.
const CAPS_EX: f64 = 4.0;

/// Names of codecs of sound, to tell a list that speaks of sound from one that does not: the list
/// of Enhanced RTMP v1 has pictures only.
const SOUND: [&str; 6] = ["mp4a", "Opus", "fLaC", "ac-3", "ec-3", ".mp3"];

/// What a peer says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// Names of codecs, or `*` for any; each once, at most [`FOURCC_MAX`].
    pub names: Vec<String>,
}

impl Capabilities {
    /// Reads a `connect`'s command object, or an object of its answer; `None` when the peer does
    /// not speak Enhanced RTMP.
    pub fn read(object: &Amf0) -> Option<Capabilities> {
        let of = |name| object.get(name);
        let maps = [of("videoFourCcInfoMap"), of("audioFourCcInfoMap")];
        let list = of("fourCcList");
        list.or(of("capsEx")).or(maps[0]).or(maps[1])?;
        let listed = match list {
            Some(Amf0::StrictArray(list)) => &list[..],
            _ => &[],
        };
        let listed = listed.iter().filter_map(Amf0::as_str);
        // A codec of which a peer can do nothing is none.
        let able = |(name, mask): &'_ (String, Amf0)| {
            let can = mask.as_number().is_some_and(|m| m > 0.0);
            can.then(|| name.clone())
        };
        let mapped = maps.iter().flatten().filter_map(|m| m.properties()).flatten();
        let mapped: Vec<String> = mapped.filter_map(able).take(FOURCC_MAX).collect();
        let mut names: Vec<String> = Vec::new();
        for name in listed.chain(mapped.iter().map(String::as_str)).filter(|n| n.len() <= 4) {
            if names.len() < FOURCC_MAX && names.iter().all(|n| n != name) {
                names.push(name.to_owned());
            }
        }
        Some(Capabilities { names })
    }

    /// Does the peer take this codec? A list without any sound does not speak of it.
    pub fn takes(&self, codec: Codec) -> bool {
        let has = |wanted: &str| self.names.iter().any(|n| n == wanted);
        let silent = codec.kind() == Kind::Audio && !SOUND.iter().any(|s| has(s));
        has(WILDCARD) || has(fourcc::of(codec)) || silent
    }
}

/// What this side says of itself: these codecs, and the extensions it reads.
pub(crate) fn announce(codecs: &[Codec]) -> Properties {
    let names = |kind: Option<Kind>| {
        let of_kind = move |c: &&Codec| kind.is_none_or(|k| c.kind() == k);
        codecs.iter().filter(of_kind).map(|c| fourcc::of(*c))
    };
    let map = |kind| {
        let able = |name: &str| (name.to_owned(), Amf0::Number(CAN_FORWARD));
        Amf0::Object(names(Some(kind)).map(able).collect())
    };
    vec![
        ("capsEx".into(), Amf0::Number(CAPS_EX)),
        ("fourCcList".into(), Amf0::StrictArray(names(None).map(Amf0::string).collect())),
        ("videoFourCcInfoMap".into(), map(Kind::Video)),
        ("audioFourCcInfoMap".into(), map(Kind::Audio)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Amf0 {
        Amf0::StrictArray(names.iter().map(|n| Amf0::string(*n)).collect())
    }

    #[test]
    fn a_peer_is_known_by_any_of_the_properties() {
        let map = Amf0::object([
            ("av01", Amf0::Number(4.0)),
            ("hvc1", Amf0::Number(0.0)),
            ("vp09", Amf0::string("yes")),
            ("too long", Amf0::Number(7.0)),
        ]);
        for (name, object, want) in [
            ("classic", Amf0::object([("app", Amf0::string("live"))]), None),
            ("v1", Amf0::object([("fourCcList", list(&["hvc1", "hvc1"]))]), Some(vec!["hvc1"])),
            ("v2", Amf0::object([("videoFourCcInfoMap", map)]), Some(vec!["av01"])),
            ("flags alone", Amf0::object([("capsEx", Amf0::Number(4.0))]), Some(vec![])),
            ("no list", Amf0::object([("fourCcList", Amf0::Null)]), Some(vec![])),
        ] {
            let names = Capabilities::read(&object).map(|c| c.names);
            assert_eq!(names, want.map(|w| w.into_iter().map(str::to_owned).collect()), "{name}");
        }
    }

    #[test]
    fn a_list_of_pictures_does_not_speak_of_sound() {
        let takes = |names: &[&str]| {
            let peer = Amf0::object([("fourCcList", list(names))]);
            let peer = Capabilities::read(&peer).expect("it speaks");
            [Codec::Hevc, Codec::Av1, Codec::Opus].map(|c| peer.takes(c))
        };
        assert_eq!(takes(&["hvc1", "vp09"]), [true, false, true]);
        assert_eq!(takes(&["hvc1", "mp4a"]), [true, false, false]);
        assert_eq!(takes(&["*"]), [true, true, true]);
        assert_eq!(takes(&[]), [false, false, true]);
    }

    #[test]
    fn what_is_announced_is_understood() {
        let ours = Amf0::Object(announce(&Codec::ALL));
        let read = Capabilities::read(&ours).expect("it speaks");
        assert!(Codec::ALL.iter().all(|c| read.takes(*c)));
        assert_eq!(read.names.len(), Codec::ALL.len());
        let map = ours.get("audioFourCcInfoMap").and_then(Amf0::properties).expect("a map");
        let names: Vec<&str> = map.iter().map(|(n, _)| n.as_str()).collect();
        assert_eq!(names, ["mp4a", "Opus"]);
    }
}
