//! Just enough of ISO/IEC 14496-12 to weigh a fragment: sample durations, decode times, sync flags.
//! Written apart from the muxer, so that the two can disagree.

/// The samples of a part or segment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Fragments {
    /// One entry a moof.
    pub(crate) runs: Vec<Run>,
}

/// One movie fragment of one track.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Run {
    /// baseMediaDecodeTime, ticks.
    pub(crate) start: u64,
    /// Sum of the sample durations, ticks.
    pub(crate) duration: u64,
    /// Whether each sample is a sync sample.
    pub(crate) sync: Vec<bool>,
    /// Sum of the sample sizes, bytes.
    pub(crate) size: u64,
}

/// What an init section says.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Init {
    /// Ticks a second.
    pub(crate) timescale: u32,
    /// `trex` defaults: sample duration, size, flags.
    defaults: (u32, u32, u32),
}

impl Init {
    /// Ticks in microseconds.
    pub(crate) fn micros(self, ticks: u64) -> i64 {
        (i128::from(ticks) * 1_000_000 / i128::from(self.timescale)) as i64
    }
}

impl Fragments {
    pub(crate) fn duration(&self) -> u64 {
        self.runs.iter().map(|r| r.duration).sum()
    }

    pub(crate) fn start(&self) -> Option<u64> {
        self.runs.first().map(|r| r.start)
    }

    pub(crate) fn end(&self) -> Option<u64> {
        self.runs.last().map(|r| r.start + r.duration)
    }

    pub(crate) fn first_is_sync(&self) -> bool {
        self.runs.first().and_then(|r| r.sync.first()).copied().unwrap_or(false)
    }

    pub(crate) fn has_sync(&self) -> bool {
        self.runs.iter().any(|r| r.sync.contains(&true))
    }
}

/// `sample_is_non_sync_sample` of the sample flags (8.8.3.1).
const NON_SYNC: u32 = 0x0001_0000;

/// A reader of big-endian fields that ends with an error, not a panic.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn u32(&mut self) -> Result<u32, String> {
        let (head, tail) = self.0.split_first_chunk::<4>().ok_or("a box ends early")?;
        self.0 = tail;
        Ok(u32::from_be_bytes(*head))
    }

    fn u64(&mut self) -> Result<u64, String> {
        Ok(u64::from(self.u32()?) << 32 | u64::from(self.u32()?))
    }

    fn skip(&mut self, n: usize) -> Result<(), String> {
        self.0 = self.0.get(n..).ok_or("a box ends early")?;
        Ok(())
    }
}

/// A box: its type and its body.
type Boxed<'a> = ([u8; 4], &'a [u8]);

/// The boxes in `bytes`.
fn boxes(mut bytes: &[u8]) -> Result<Vec<Boxed<'_>>, String> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let mut head = Fields(bytes);
        let size = head.u32()? as usize;
        let kind = head.u32()?.to_be_bytes();
        let body = bytes
            .get(8..size)
            .ok_or(format!("box {:?} of {size} bytes", kind.escape_ascii().to_string()))?;
        out.push((kind, body));
        bytes = &bytes[size..];
    }
    Ok(out)
}

fn find<'a>(bytes: &'a [u8], path: &[&[u8; 4]]) -> Result<&'a [u8], String> {
    path.iter().try_fold(bytes, |body, kind| {
        let all = boxes(body)?;
        let hit = all.iter().find(|(k, _)| k == *kind);
        hit.map(|(_, b)| *b).ok_or(format!("no box {}", kind.escape_ascii()))
    })
}

/// Reads an init section.
pub(crate) fn init(bytes: &[u8]) -> Result<Init, String> {
    let mut mdhd = Fields(find(bytes, &[b"moov", b"trak", b"mdia", b"mdhd"])?);
    let version = mdhd.u32()? >> 24;
    mdhd.skip(if version == 1 { 16 } else { 8 })?;
    let timescale = mdhd.u32()?;
    let mut trex = Fields(find(bytes, &[b"moov", b"mvex", b"trex"])?);
    trex.skip(12)?;
    Ok(Init { timescale, defaults: (trex.u32()?, trex.u32()?, trex.u32()?) })
}

/// Reads a part or a segment.
pub(crate) fn fragments(bytes: &[u8], init: Init) -> Result<Fragments, String> {
    let mut out = Fragments::default();
    for (kind, body) in boxes(bytes)? {
        match &kind {
            b"moof" => out.runs.push(run(find(body, &[b"traf"])?, init)?),
            b"mdat" => {
                let last = out.runs.last().ok_or("an mdat before any moof")?;
                if last.size != body.len() as u64 {
                    return Err(format!(
                        "an mdat of {} bytes for samples of {}",
                        body.len(),
                        last.size
                    ));
                }
            }
            _ => {}
        }
    }
    if out.runs.is_empty() { Err("no moof".into()) } else { Ok(out) }
}

fn run(traf: &[u8], init: Init) -> Result<Run, String> {
    let (mut duration, mut size, mut flags) = init.defaults;
    let mut tfhd = Fields(find(traf, &[b"tfhd"])?);
    let has = tfhd.u32()?;
    tfhd.skip(4)?;
    tfhd.skip(if has & 1 != 0 { 8 } else { 0 } + if has & 2 != 0 { 4 } else { 0 })?;
    for (bit, field) in [(8, &mut duration), (0x10, &mut size), (0x20, &mut flags)] {
        if has & bit != 0 {
            *field = tfhd.u32()?;
        }
    }
    let mut tfdt = Fields(find(traf, &[b"tfdt"])?);
    let start = if tfdt.u32()? >> 24 == 1 { tfdt.u64()? } else { u64::from(tfdt.u32()?) };
    let mut out = Run { start, ..Run::default() };
    for (_, body) in boxes(traf)?.into_iter().filter(|(kind, _)| kind == b"trun") {
        let mut trun = Fields(body);
        let (has, count) = (trun.u32()?, trun.u32()?);
        trun.skip(if has & 1 != 0 { 4 } else { 0 })?;
        let first = if has & 4 != 0 { Some(trun.u32()?) } else { None };
        for i in 0..count {
            let mut field = |bit: u32, default: u32| match has & bit {
                0 => Ok(default),
                _ => trun.u32(),
            };
            out.duration += u64::from(field(0x100, duration)?);
            out.size += u64::from(field(0x200, size)?);
            let own = field(0x400, if i == 0 { first.unwrap_or(flags) } else { flags })?;
            out.sync.push(own & NON_SYNC == 0);
            field(0x800, 0)?;
        }
    }
    Ok(out)
}
