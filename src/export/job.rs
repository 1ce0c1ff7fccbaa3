//! An export from a path to a summary: opens, reads twice, writes. Blocks in file writes: it wants
//! a runtime of its own, as commands have.

use crate::base::ids::Channel;
use crate::export::collect::Collector;
use crate::export::copy::{self, Copier};
use crate::export::error::ExportError;
use crate::export::folder::Folder;
use crate::export::layout::{self, layout};
use crate::export::moment::{Ask, Range};
use crate::export::output::{Output, OutputDir};
use crate::export::plan::{Cut, Gaps, Plan, plan};
use crate::export::reader::Reader;
use crate::export::shelf::Shelf;
use crate::export::sources::{Piece, Sources};
use crate::export::summary::{self, GapSummary, LeftOut, Summary, seconds};
use crate::log::format::record::Record;
use crate::media::fmp4::movie::{fragmented_head, head};
use std::path::PathBuf;

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A movie whose index comes first.
    Mp4,
    /// A movie in fragments; may go to a pipe.
    Fragmented,
    /// A folder of HLS VOD.
    Hls,
}

impl Format {
    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Format::Mp4 => "mp4",
            Format::Fragmented => "fmp4",
            Format::Hls => "hls",
        }
    }
}

/// Where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A file, or a folder.
    Path(PathBuf),
    /// Standard output.
    Stdout,
}

impl Target {
    fn name(&self) -> String {
        match self {
            Target::Path(path) => path.display().to_string(),
            Target::Stdout => "standard output".into(),
        }
    }
}

/// Where from.
#[derive(Debug, Clone)]
pub enum From {
    /// An extent, or the directory of a generation, a session or a channel.
    Path(PathBuf),
    /// Logs of this channel, where its cluster has them.
    Cluster(Channel, Vec<Shelf>),
}

impl From {
    /// For messages.
    fn name(&self) -> PathBuf {
        match self {
            From::Path(path) => path.clone(),
            From::Cluster(channel, _) => channel.as_str().into(),
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Job {
    /// Where from.
    pub source: From,
    /// Of a channel: which session.
    pub session: Option<u64>,
    /// The range.
    pub ask: Ask,
    /// Begin at a key frame.
    pub at_key_frame: bool,
    /// What becomes of absent time.
    pub gaps: Gaps,
    /// What is written.
    pub format: Format,
    /// Where to.
    pub target: Target,
    /// Also over something that is there.
    pub force: bool,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of logs read, in both passes.
    pub done: u64,
    /// Of so many.
    pub total: u64,
}

/// An export under way.
struct Run<'a> {
    sources: &'a Sources,
    pieces: &'a [Piece],
    done: u64,
    total: u64,
    tell: &'a mut (dyn FnMut(Progress) + Send),
}

/// Exports, and tells how far it is now and then.
///
/// # Errors
/// There is nothing to export, or it cannot be read or written. What is damaged is in the summary.
pub async fn export(
    job: &Job,
    tell: &mut (dyn FnMut(Progress) + Send),
) -> Result<Summary, ExportError> {
    let sources = match &job.source {
        From::Path(path) => Sources::open(path, job.session).await?,
        From::Cluster(_, logs) => Sources::of(logs.clone()).await,
    };
    let sessions = sources.sessions();
    let ask = &job.ask;
    let alone = sessions.len() < 2;
    if !alone && (job.format == Format::Hls || *ask == Ask::default()) {
        let path = job.source.name();
        let why = match job.format {
            Format::Hls => "a folder holds one: choose it with --session",
            _ => "choose one with --session, or a range with --from and --to or --msn",
        };
        return Err(ExportError::Sessions { path, sessions, why });
    }
    let range = ask.resolve(sources.covers())?;
    let pieces = sources.select(&range);
    let total = 2 * pieces.iter().map(|p| p.bytes).sum::<u64>();
    let mut run = Run { sources: &sources, pieces: &pieces, done: 0, total, tell };
    match job.format {
        Format::Hls => run.folder(job, range).await,
        _ => run.movie(job, range).await,
    }
}

impl Run<'_> {
    /// Passes every record of the range to `take`; what was damaged on the way.
    async fn records(
        &mut self,
        mut take: impl FnMut(crate::base::ids::Generation, Record) -> Result<bool, ExportError>,
    ) -> Result<Vec<String>, ExportError> {
        let mut reader = Reader::new(self.sources, self.pieces);
        while let Some((log, batch)) = reader.next().await? {
            let generation = self.sources.logs[log].id().generation;
            for entry in batch.records() {
                if !take(generation, entry.record)? {
                    return Ok(reader.damage().to_vec());
                }
            }
            self.done += batch.bytes().len() as u64;
            (self.tell)(Progress { done: self.done, total: self.total });
        }
        Ok(reader.damage().to_vec())
    }

    fn nothing(&self) -> ExportError {
        ExportError::Nothing { covers: self.sources.covers() }
    }

    async fn movie(&mut self, job: &Job, range: Range) -> Result<Summary, ExportError> {
        // Before the first pass, which may take a while.
        let mut out = match &job.target {
            Target::Path(path) => Output::file(path, job.force)?,
            Target::Stdout => Output::stdout(),
        };
        let mut collector = Collector::default();
        let mut damage = self
            .records(|generation, record| {
                collector.record(generation, &record);
                Ok(true)
            })
            .await?;
        let content = collector.finish();
        damage.extend(content.bad_configurations.iter().cloned());
        let left_out = LeftOut::of(&content);
        let at_key_frame = job.at_key_frame || job.format == Format::Fragmented;
        let cut = Cut { range, at_key_frame, gaps: job.gaps };
        let mut plan = plan(content, &cut).ok_or_else(|| self.nothing())?;
        self.copy(job, &mut plan, &mut out).await?;
        let closed = job.gaps == Gaps::Close;
        let gap = |j: &crate::export::plan::Joint| GapSummary {
            at: seconds(j.at),
            absent: seconds(j.absent),
            closed,
        };
        Ok(Summary {
            target: job.target.name(),
            format: job.format.name(),
            from: plan.from.to_string(),
            duration: seconds(plan.duration),
            bytes: out.finish()?,
            read_bytes: self.total / 2,
            tracks: summary::tracks(&plan),
            gaps: plan.joints.iter().map(gap).collect(),
            left_out,
            damage,
        })
    }

    /// The second pass: the head, then the payloads.
    async fn copy(
        &mut self,
        job: &Job,
        plan: &mut Plan,
        out: &mut Output,
    ) -> Result<(), ExportError> {
        let layout = layout(plan)?;
        let fragmented = job.format == Format::Fragmented;
        let movie = layout::movie(plan, &layout, fragmented);
        out.write(&match fragmented {
            true => fragmented_head(&movie)?,
            false => head(&movie, layout.bytes)?,
        })?;
        drop(movie);
        let plan = &*plan;
        let (mut copier, mut sequence) = (Copier::new(plan, &layout), 0);
        self.records(|generation, record| {
            copier.record(generation, record);
            while let Some((chunk, payloads)) = copier.poll() {
                sequence += 1;
                match fragmented {
                    true => out.write(&copy::fragmented(plan, &chunk, payloads, sequence))?,
                    false => copy::plain(plan, &chunk, &payloads, out)?,
                }
            }
            Ok(!copier.is_done())
        })
        .await?;
        match copier.missing() {
            Some(what) => Err(ExportError::Changed { what }),
            None => Ok(()),
        }
    }

    async fn folder(&mut self, job: &Job, range: Range) -> Result<Summary, ExportError> {
        let path = match &job.target {
            Target::Path(path) => path.clone(),
            Target::Stdout => PathBuf::from("-"),
        };
        let mut out = OutputDir::new(&path, job.force)?;
        let mut folder = Folder::default();
        self.marks(&mut folder).await?;
        folder.choose(&range).ok_or_else(|| self.nothing())?;
        let damage = self
            .records(|generation, record| {
                folder.record(generation, record, &mut out)?;
                Ok(true)
            })
            .await?;
        let done = folder.finish(job.gaps, &mut out)?;
        Ok(Summary {
            target: job.target.name(),
            format: job.format.name(),
            from: done.from,
            duration: done.duration,
            bytes: out.finish()?,
            read_bytes: self.done,
            tracks: done.tracks,
            gaps: done.gaps,
            left_out: LeftOut::default(),
            damage: damage.into_iter().chain(done.damage).collect(),
        })
    }

    /// All marks of the range: from footers where there are any.
    async fn marks(&mut self, folder: &mut Folder) -> Result<(), ExportError> {
        for piece in self.pieces {
            let log = &self.sources.logs[piece.log];
            let generation = log.id().generation;
            if let Ok(Some(footer)) = log.footer(piece.extent) {
                footer.marks().for_each(|m| folder.mark(generation, &m.mark));
                self.done += piece.bytes;
                continue;
            }
            let mut reader = Reader::new(self.sources, std::slice::from_ref(piece));
            while let Some((_, batch)) = reader.next().await? {
                for entry in batch.records() {
                    if let Record::Mark(mark) = &entry.record {
                        folder.mark(generation, mark);
                    }
                }
                self.done += batch.bytes().len() as u64;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "job_test.rs"]
mod tests;
