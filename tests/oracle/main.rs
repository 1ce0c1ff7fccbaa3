//! The oracle's own tests: that it is silent on what is right and speaks on each thing that is
//! wrong. The library itself is `mod.rs`, used by the flow tests.

#[path = "mod.rs"]
mod oracle;
mod samples;
mod toy;
