//! The timeline: which packets form which part and segment, and what wall-clock time they have.
//! Every decision is a mark, made once by the writer that holds the generation (`cut`), stored in
//! the log, and only read afterwards.

mod away;
pub mod cue;
pub mod cut;
pub mod lane;
pub mod mark;
pub mod part_target;
pub mod rung;
