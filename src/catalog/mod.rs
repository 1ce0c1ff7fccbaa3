//! What an archive holds, from the bucket alone: names of objects, what describes a log in it, and
//! the list of all that is there. Pure: names and values in, a catalog out.
//!
//! `key` is the layout: which object has which name. `about` is what the two small objects of a log
//! say. `rebuild` puts together what a listing of names and a look at footers gave.
//!
//! `man/castctl-archive.7` says all of this for operators; `page_test` holds the two together.
//!
//! Invariant: a name is made of channel, session, generation and number, so it is never two
//! contents: a generation is written once, and an extent never changes once it is sealed.

pub mod about;
pub mod key;
pub mod rebuild;

#[cfg(test)]
mod page_test;
