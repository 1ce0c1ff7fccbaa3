//! Reads the chosen extents one after another, batch by batch, on behind damage: at the next mark
//! that the footer places, else at the next extent.

use crate::export::error::ExportError;
use crate::export::shelf::Records;
use crate::export::sources::{Piece, Sources};
use crate::log::batch::Batch;
use crate::log::error::LogError;
use crate::log::format::Position;

/// A cursor over extents of several logs.
#[derive(Debug)]
pub struct Reader<'a> {
    sources: &'a Sources,
    pieces: &'a [Piece],
    at: usize,
    records: Option<Records>,
    /// What could not be read, for people.
    damage: Vec<String>,
}

impl<'a> Reader<'a> {
    /// At the start of the first of `pieces`.
    pub fn new(sources: &'a Sources, pieces: &'a [Piece]) -> Reader<'a> {
        Reader { sources, pieces, at: 0, records: None, damage: Vec::new() }
    }

    /// What could not be read so far.
    pub fn damage(&self) -> &[String] {
        &self.damage
    }

    /// The next records and the log they are from; `None` at the end.
    ///
    /// # Errors
    /// The system refuses to read. Damage is noted and passed over.
    pub async fn next(&mut self) -> Result<Option<(usize, Batch)>, ExportError> {
        while let Some(piece) = self.pieces.get(self.at) {
            let log = &self.sources.logs[piece.log];
            let runs_on = self.runs_on();
            let records = self.records.get_or_insert_with(|| log.read_from(piece.extent));
            if records.position().extent > piece.extent && !runs_on {
                self.leave();
                continue;
            }
            match records.next().await {
                Ok(Some(batch)) if batch.first().extent == piece.extent => {
                    return Ok(Some((piece.log, batch)));
                }
                Ok(Some(batch)) => {
                    // The subscription went on by itself; so far as it is meant to.
                    if runs_on && batch.first().extent == piece.extent + 1 {
                        self.at += 1;
                        return Ok(Some((piece.log, batch)));
                    }
                    self.leave();
                }
                Ok(None) => {
                    if runs_on {
                        let path = log.extent_path(piece.extent);
                        let text = "its records end before the next extent's begin";
                        self.damage.push(format!("{}: {text}", path.display()));
                    }
                    self.leave();
                }
                Err(e @ (LogError::Damaged { .. } | LogError::Header { .. })) => {
                    self.damage.push(e.to_string());
                    let at = records.position();
                    let behind = behind(self.sources, piece, at);
                    match behind {
                        Some(position) => self.records = Some(log.read_at(position)),
                        None => self.leave(),
                    }
                }
                Err(e) => return Err(e.into()),
            }
        }
        Ok(None)
    }

    /// Is the next piece the next extent of the same log?
    fn runs_on(&self) -> bool {
        let here = self.pieces.get(self.at).map(|p| (p.log, p.extent + 1));
        here.is_some() && here == self.pieces.get(self.at + 1).map(|p| (p.log, p.extent))
    }

    fn leave(&mut self) {
        self.at += 1;
        self.records = None;
    }
}

/// The first mark of an extent behind a damaged place, by its footer.
fn behind(sources: &Sources, piece: &Piece, damaged: Position) -> Option<Position> {
    if damaged.extent != piece.extent {
        return None;
    }
    let footer = sources.logs[piece.log].footer(piece.extent).ok()??;
    footer.marks().map(|m| m.at).find(|at| *at > damaged)
}
