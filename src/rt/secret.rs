//! Secrets and names out of the kernel's randomness, in characters that a person can copy.

use std::fs::File;
use std::io::{self, Read};

/// Letters and digits that are not mistaken for one another: 32 of them, 5 bits each.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// A random text of so many characters.
///
/// # Errors
/// The kernel's randomness can't be read.
pub fn text(length: usize) -> io::Result<String> {
    let mut random = vec![0u8; length];
    File::open("/dev/urandom").and_then(|mut f| f.read_exact(&mut random))?;
    Ok(random.iter().map(|b| char::from(ALPHABET[usize::from(b % 32)])).collect())
}
