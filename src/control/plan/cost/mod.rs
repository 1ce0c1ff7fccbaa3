//! What transcoding costs, in millicores: a thousand of them are one core all the time.
//!
//! The model is a sum of terms, each an amount of work a second times what a machine takes for one:
//! decoding by pixels and bits, scaling by the pixels that are read and written, encoding by
//! pixels, bits and frames, each preset for itself, and sound. Linear in all of them, so that a
//! machine's table is found by least squares (`fit`) from jobs that are tried (`trial`), and an
//! error in one term stays in it. What the model does not know is how hard the pictures are:
//! measured of the same encoder and rate that is up to a factor of two, and `correction` learns it
//! of each job that runs.

pub mod correction;
pub mod fit;
pub mod table;
pub mod trial;

use crate::api::ladder::planned::{PlannedRung, SourceMedia};
use crate::api::ladder::{Audio, AudioCodec, Ladder, Name, VideoCodec};
use crate::control::plan::cost::table::{By, Table, Term};
use serde::{Deserialize, Serialize};

/// What a preset takes more than the one before it, where the table has no slower one to go by:
/// what x264 takes from medium to slow.
const SLOWER: f64 = 1.6;

/// Pictures a second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pictures {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Frames per second.
    pub fps: f64,
    /// Bits per second of their coded form; 0 for raw pictures.
    #[serde(default)]
    pub bitrate: u64,
}

impl Pictures {
    fn new((width, height): (u32, u32), (num, den): (u32, u32), bitrate: u64) -> Pictures {
        let fps = f64::from(num) / f64::from(den.max(1));
        Pictures { width, height, fps, bitrate }
    }

    fn amount(&self, by: By) -> f64 {
        match by {
            By::Pixels => f64::from(self.width) * f64::from(self.height) * self.fps / 1e6,
            By::Bits => self.bitrate as f64 / 1e6,
            By::Frames => self.fps,
        }
    }
}

/// Something that a transcoder does all the time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Work {
    /// Decodes pictures.
    Decode {
        /// Of this codec.
        codec: VideoCodec,
        /// As they come.
        from: Pictures,
    },
    /// Scales pictures.
    Scale {
        /// As they come.
        from: Pictures,
        /// As they go.
        to: Pictures,
    },
    /// Encodes pictures.
    Encode {
        /// To this codec.
        codec: VideoCodec,
        /// With this preset.
        preset: String,
        /// As they go.
        to: Pictures,
    },
    /// Decodes, mixes and encodes sound.
    Sound {
        /// To this codec.
        codec: AudioCodec,
    },
}

impl Work {
    /// The model: which terms it is made of, and how much of each. None for a preset that the codec
    /// has not.
    pub fn terms(&self) -> Vec<(Term, f64)> {
        match self {
            Work::Decode { codec, from } => {
                let of = |by| (Term::Decode(*codec, by), from.amount(by));
                vec![of(By::Pixels), of(By::Bits)]
            }
            Work::Scale { from, to } => vec![
                (Term::ScaleFrom, from.amount(By::Pixels)),
                (Term::ScaleTo, to.amount(By::Pixels)),
            ],
            Work::Encode { codec, preset, to } => {
                let Some(place) = codec.place(preset) else { return Vec::new() };
                let of = |by| (Term::Encode(*codec, place, by), to.amount(by));
                vec![of(By::Pixels), of(By::Bits), of(By::Frames)]
            }
            Work::Sound { codec } => vec![(Term::Sound(*codec), 1.0)],
        }
    }
}

/// The table cannot say what something costs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the table of machine {machine:?} has nothing on {what}")]
pub struct UnknownCost {
    /// The table's name.
    pub machine: String,
    /// What it lacks.
    pub what: String,
}

/// What a rung costs, in millicores.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RungCost {
    /// The rung, for this source.
    #[serde(flatten)]
    pub rung: PlannedRung,
    /// To scale to it; 0 at the source's size.
    pub scale: f64,
    /// To encode it; 0 for the source as it came.
    pub encode_cost: f64,
}

/// What a ladder costs for one source, in millicores.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Estimate {
    /// The ladder.
    pub ladder: Name,
    /// The machine whose table it is by.
    pub machine: String,
    /// To decode the source; 0 where nothing is encoded.
    pub decode: f64,
    /// Each rung.
    pub rungs: Vec<RungCost>,
    /// The sound; 0 where it is passed through.
    pub sound: f64,
    /// All of it, rounded up: what a job asks of its node.
    pub total: u32,
}

/// What is done for a rung: it is scaled, unless it has the source's size, and encoded, unless it
/// is the source as it came.
fn of_rung(rung: &PlannedRung, source: &SourceMedia) -> (Option<Work>, Option<Work>) {
    let Some(e) = &rung.encode else { return (None, None) };
    // Frames that the cap drops are not scaled.
    let from = Pictures::new((source.width, source.height), rung.frame_rate, 0);
    let to = Pictures::new((rung.width, rung.height), rung.frame_rate, e.bitrate);
    let same = (from.width, from.height) == (to.width, to.height);
    let encode = Work::Encode { codec: e.codec, preset: e.preset.clone(), to };
    ((!same).then_some(Work::Scale { from, to }), Some(encode))
}

/// What is done for all rungs at once: the source is decoded, its sound made. The first is `None`
/// where nothing is encoded, the second where the sound is passed through.
fn of_all(ladder: &Ladder, rungs: &[PlannedRung], source: &SourceMedia) -> [Option<Work>; 2] {
    let from = Pictures::new((source.width, source.height), source.frame_rate, source.bitrate);
    let codec = source.codec;
    let decode = rungs.iter().any(|r| r.encode.is_some()).then_some(Work::Decode { codec, from });
    let sound = match ladder.audio {
        Audio::Encode { codec, .. } if source.audio_bitrate > 0 => Some(Work::Sound { codec }),
        _ => None,
    };
    [decode, sound]
}

/// All that a ladder does for a source.
pub fn work(ladder: &Ladder, source: &SourceMedia) -> Vec<Work> {
    let rungs = ladder.for_source(source);
    let each = rungs.iter().flat_map(|r| <[_; 2]>::from(of_rung(r, source)));
    each.chain(of_all(ladder, &rungs, source)).flatten().collect()
}

/// What `ladder` costs for `source` on a machine.
///
/// # Errors
/// The table has nothing on one of the codecs.
pub fn estimate(
    ladder: &Ladder,
    source: &SourceMedia,
    table: &Table,
) -> Result<Estimate, UnknownCost> {
    let cost = |work: Option<Work>| work.map_or(Ok(0.0), |w| table.cost(&w));
    let planned = ladder.for_source(source);
    let [decode, sound] = of_all(ladder, &planned, source).map(cost);
    let mut rungs = Vec::with_capacity(planned.len());
    for rung in planned {
        let (scale, encode) = of_rung(&rung, source);
        rungs.push(RungCost { scale: cost(scale)?, encode_cost: cost(encode)?, rung });
    }
    let (decode, sound) = (decode?, sound?);
    let each: f64 = rungs.iter().map(|r| r.scale + r.encode_cost).sum();
    let total = (decode + each + sound).ceil() as u32;
    let (ladder, machine) = (ladder.name.clone(), table.name.clone());
    Ok(Estimate { ladder, machine, decode, rungs, sound, total })
}

impl Table {
    /// Millicores of some work. A preset that the table lacks costs what those beside it suggest:
    /// their geometric mean by how near they are; one that is faster than all as much as the
    /// fastest, one that is slower `SLOWER` a step.
    ///
    /// # Errors
    /// The table has nothing on the codec.
    pub fn cost(&self, work: &Work) -> Result<f64, UnknownCost> {
        if let Work::Encode { codec, preset, to } = work {
            let (codec, presets) = (*codec, codec.presets());
            let Some(place) = codec.place(preset) else {
                return Err(self.lacks(format!("preset {preset} of {codec}")));
            };
            let at = |place: usize| {
                self.sum(&Work::Encode { codec, preset: presets[place].into(), to: *to })
            };
            let below = (0..=place).rev().find_map(|n| Some((n, at(n)?)));
            let above = (place..presets.len()).find_map(|n| Some((n, at(n)?)));
            return match (below, above) {
                (Some((low, a)), Some((high, b))) => {
                    let near = (place - low) as f64 / (high - low).max(1) as f64;
                    Ok(a * (b / a).powf(near))
                }
                (Some((low, a)), None) => Ok(a * SLOWER.powi((place - low) as i32)),
                (None, Some((_, b))) => Ok(b),
                (None, None) => Err(self.lacks(format!("encoding {codec}"))),
            };
        }
        self.sum(work).ok_or_else(|| match work {
            Work::Decode { codec, .. } => self.lacks(format!("decoding {codec}")),
            Work::Sound { codec } => self.lacks(format!("encoding {}", codec.word())),
            Work::Scale { .. } | Work::Encode { .. } => self.lacks("scaling".into()),
        })
    }

    /// `None`: none of its terms is in the table.
    fn sum(&self, work: &Work) -> Option<f64> {
        let terms = work.terms();
        let known = terms.iter().filter_map(|(term, n)| Some(self.rates.get(term)? * n));
        known.reduce(|a, b| a + b)
    }

    fn lacks(&self, what: String) -> UnknownCost {
        UnknownCost { machine: self.name.clone(), what }
    }
}

#[cfg(test)]
#[path = "cost_test.rs"]
mod tests;
