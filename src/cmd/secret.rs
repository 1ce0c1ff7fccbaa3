//! The stream key that is made for a channel without one: random, kept beside the logs,
//! readable by its owner only, the same after every restart.

use crate::base::ids::Channel;
use crate::cmd::common::Failure;
use crate::manifest::types::{Manifest, StreamKey};
use crate::rt::secret;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Characters a made key has: 100 bits of chance.
const LENGTH: usize = 20;

/// Gives every channel of a manifest that has no file a made key, unless it has one.
pub fn give_keys(manifest: &mut Manifest) -> Result<(), Failure> {
    let data = manifest.server.data.clone();
    for channel in manifest.channels.iter_mut().filter(|c| c.keys.is_empty()) {
        channel.keys.push(stream_key(&data, &channel.name)?);
    }
    Ok(())
}

/// The channel's made key: read from `{data}/keys/{channel}`, or made and written there.
pub fn stream_key(data: &Path, channel: &Channel) -> Result<StreamKey, Failure> {
    let dir = data.join("keys");
    let path = dir.join(channel.as_str());
    let cannot = |e: std::io::Error| Failure::failed(format!("stream key {}: {e}", path.display()));
    if let Ok(text) = std::fs::read_to_string(&path) {
        return StreamKey::new(text.trim())
            .map_err(|e| Failure::usage(format!("{}: {e}", path.display())));
    }
    std::fs::create_dir_all(&dir).map_err(cannot)?;
    let text = secret::text(LENGTH).map_err(cannot)?;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    file.and_then(|mut f| writeln!(f, "{text}")).map_err(cannot)?;
    StreamKey::new(&text).map_err(Failure::failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_made_key_is_kept_and_private() {
        let dir = tempfile::tempdir().expect("temp dir");
        let main: Channel = "main".parse().expect("name");
        let first = stream_key(dir.path(), &main).expect("made");
        assert_eq!(first.expose().len(), LENGTH);
        assert_eq!(stream_key(dir.path(), &main).expect("read").expose(), first.expose());
        let meta = std::fs::metadata(dir.path().join("keys/main")).expect("file");
        assert_eq!(meta.permissions().mode() & 0o777, 0o600);
        let other: Channel = "other".parse().expect("name");
        assert_ne!(stream_key(dir.path(), &other).expect("made").expose(), first.expose());
    }
}
