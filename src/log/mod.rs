//! The log (being built).

pub mod format;
pub mod fuzz;
