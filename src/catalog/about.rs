//! What the two small objects of a log say, as JSON. Fields that a reader does not know are
//! skipped.

use serde::{Deserialize, Serialize};

/// The version of the layout that is written.
pub const LAYOUT: u32 = 1;

/// The first object of a log: whose it is. Who finds another's does not touch the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The version of the layout.
    pub layout: u32,
    /// The log's name, `main/s1/g1`.
    pub log: String,
    /// The SHA-256 of its first extent, in hexadecimal: no two logs begin alike.
    pub first: String,
}

/// The last object of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// The version of the layout.
    pub layout: u32,
    /// How many extents the log has: 0 to this, without it.
    pub extents: u32,
}

/// Its bytes: one line, the same for the same value.
pub fn to_json(value: &impl Serialize) -> Vec<u8> {
    let mut text = serde_json::to_vec(value).expect("plain fields can be written");
    text.push(b'\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_later_fields_are_skipped() {
        let claim = Claim { layout: LAYOUT, log: "main/s1/g1".into(), first: "ab".into() };
        let text = to_json(&claim);
        assert_eq!(text, b"{\"layout\":1,\"log\":\"main/s1/g1\",\"first\":\"ab\"}\n");
        assert_eq!(serde_json::from_slice::<Claim>(&text).expect("a claim"), claim);
        let later = r#"{"layout":2,"extents":7,"bytes":9}"#;
        let sealed: Sealed = serde_json::from_str(later).expect("a seal of a later version");
        assert_eq!(sealed, Sealed { layout: 2, extents: 7 });
    }
}
