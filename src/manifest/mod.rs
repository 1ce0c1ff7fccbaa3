//! The manifest: the one YAML file (`castctl.yaml`) that configures channels, their ladders and the
//! server, its types with their defaults, and its one parser. Strict: an unknown or repeated field,
//! a wrong unit or a value out of range is an error, and every error names file, line, column and
//! the field's path.
//!
//! Not here: reading the file, the environment and the flags (the commands do), and generating
//! stream keys. `man/castctl-manifest.5` describes every field for people; a test keeps it
//! complete.
//!
//! Invariant: pure; text in, values out, no file, no clock, no randomness.
//! Invariant: a `Manifest` that exists is valid: every value is in its documented range.
//! Invariant: no error message repeats a value of `keys`.

mod check;
mod ladder;
mod locate;
pub mod parse;
mod raw;
mod server;
mod text;
pub mod types;
