//! A playlist as it is served: its text and its gzip member, each made once and sent without a
//! copy, with the ETag of each.

use crate::hls::playlist::{Forms, Skip};
use crate::hls::rope::{Cursor, GZIP_HEAD, Rope, Run, Strand};
use axum::body::Body;
use axum::http::HeaderValue;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

/// Texts up to this size are put into one piece when they are first sent: a viewer's answer is one
/// write then, and the copy is paid once for all of them.
const FLAT_MAX: usize = 32 << 10;

/// How much text may be compressed where requests are answered; more is worth a thread of its own.
pub const PACK_AT_ONCE: usize = 256 << 10;

/// A playlist in every form, to be served.
#[derive(Debug)]
pub struct Texts {
    full: Arc<Text>,
    delta: Arc<Text>,
    delta_v2: Arc<Text>,
}

impl Texts {
    /// Of what was rendered.
    pub fn new(forms: &Forms) -> Texts {
        let full = Arc::new(Text::new(forms.full.clone()));
        // What is one rope is one text, compressed once.
        let or = |rope: &Arc<Rope>, same: &Arc<Text>| match Arc::ptr_eq(rope, same.rope()) {
            true => same.clone(),
            false => Arc::new(Text::new(rope.clone())),
        };
        let delta = or(&forms.delta, &full);
        let delta_v2 = or(&forms.delta_v2, &delta);
        Texts { full, delta, delta_v2 }
    }

    /// The playlist in this form.
    pub fn get(&self, skip: Skip) -> &Arc<Text> {
        match skip {
            Skip::No => &self.full,
            Skip::Segments => &self.delta,
            Skip::Ranges => &self.delta_v2,
        }
    }
}

/// How a body is sent (RFC 9110, 8.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// As it is.
    Identity,
    /// As one gzip member.
    Gzip,
}

/// A rendered playlist.
#[derive(Debug)]
pub struct Text {
    rope: Arc<Rope>,
    etags: [HeaderValue; 2],
    flat: OnceLock<Bytes>,
    gzip: OnceLock<Gzip>,
}

#[derive(Debug)]
struct Gzip {
    len: usize,
    end: Bytes,
    flat: Option<Bytes>,
}

fn etag(hash: u64, suffix: &str) -> HeaderValue {
    let value = format!("\"{hash:016x}{suffix}\"");
    HeaderValue::from_maybe_shared(Bytes::from(value)).expect("hexadecimal digits are a value")
}

impl Text {
    /// A text to be served.
    pub fn new(rope: Arc<Rope>) -> Text {
        let etags = [etag(rope.hash(), ""), etag(rope.hash(), "-gzip")];
        Text { rope, etags, flat: OnceLock::new(), gzip: OnceLock::new() }
    }

    /// One in one piece.
    pub fn of(text: String) -> Text {
        Text::new(Arc::new(Rope::new(vec![Run::One(Strand::new(text))])))
    }

    /// What it is made of.
    pub fn rope(&self) -> &Arc<Rope> {
        &self.rope
    }

    /// Its hash, quoted; another one when it is compressed (RFC 9110, 8.8.3.3).
    pub fn etag(&self, coding: Coding) -> &HeaderValue {
        match coding {
            Coding::Identity => &self.etags[0],
            Coding::Gzip => &self.etags[1],
        }
    }

    /// Bytes that would have to be compressed now to send it so.
    pub fn unpacked(&self, coding: Coding) -> usize {
        match coding {
            Coding::Gzip if self.gzip.get().is_none() => self.rope.unpacked(),
            _ => 0,
        }
    }

    /// Compresses it, where nobody has.
    fn pack(&self) -> &Gzip {
        self.gzip.get_or_init(|| {
            let (len, end) = self.rope.gzip();
            let flat = (len <= FLAT_MAX).then(|| {
                let mut out = Vec::with_capacity(len);
                out.extend_from_slice(&GZIP_HEAD);
                self.rope.strands().for_each(|s| out.extend_from_slice(s.packed()));
                out.extend_from_slice(&end);
                out.into()
            });
            Gzip { len, end: Bytes::copy_from_slice(&end), flat }
        })
    }

    /// Makes what [`Text::body`] would have to make.
    pub fn prepare(&self, coding: Coding) {
        if coding == Coding::Gzip {
            self.pack();
        }
    }

    /// The body of an answer.
    pub fn body(self: &Arc<Text>, coding: Coding) -> Body {
        let (len, flat) = match coding {
            Coding::Identity if self.rope.len() <= FLAT_MAX => {
                (self.rope.len(), Some(self.flat.get_or_init(|| self.rope.concat().into())))
            }
            Coding::Identity => (self.rope.len(), None),
            Coding::Gzip => (self.pack().len, self.pack().flat.as_ref()),
        };
        match flat {
            Some(bytes) => Body::from(bytes.clone()),
            None => Body::new(Strands {
                text: Arc::clone(self),
                coding,
                at: Cursor::default(),
                stage: if coding == Coding::Gzip { Stage::Head } else { Stage::Strands },
                left: len as u64,
            }),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Head,
    Strands,
    End,
}

/// A body of shared strands; its length is known and nothing is copied.
#[derive(Debug)]
struct Strands {
    text: Arc<Text>,
    coding: Coding,
    at: Cursor,
    stage: Stage,
    left: u64,
}

impl Strands {
    fn next(&mut self) -> Option<Bytes> {
        match self.stage {
            Stage::Head => {
                self.stage = Stage::Strands;
                Some(Bytes::from_static(&GZIP_HEAD))
            }
            Stage::Strands => match (self.text.rope.next(&mut self.at), self.coding) {
                (Some(strand), Coding::Identity) => Some(strand.text().clone()),
                (Some(strand), Coding::Gzip) => Some(strand.packed().clone()),
                (None, Coding::Identity) => None,
                (None, Coding::Gzip) => {
                    self.stage = Stage::End;
                    Some(self.text.pack().end.clone())
                }
            },
            Stage::End => None,
        }
    }
}

impl http_body::Body for Strands {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        loop {
            let Some(bytes) = self.next() else { return Poll::Ready(None) };
            self.left = self.left.saturating_sub(bytes.len() as u64);
            if !bytes.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hls::rope::{Blocks, Run, Strand};
    use axum::body::to_bytes;
    use std::io::Read;

    /// A text of about `len` bytes, as a DVR playlist is made.
    fn text(len: usize) -> Arc<Text> {
        let lines: String = (0..len / 16).map(|n| format!("#EXTINF:{n:06},\n")).collect();
        let blocks = Blocks::default().and("#EXTM3U\n").and(&lines);
        let runs = vec![Run::Many(Arc::new(blocks)), Run::One(Strand::new(lines))];
        Arc::new(Text::new(Arc::new(Rope::new(runs))))
    }

    #[tokio::test]
    async fn short_and_long_texts_arrive_whole_in_either_coding() {
        for len in [0, FLAT_MAX / 2 - 64, FLAT_MAX, 40 * FLAT_MAX] {
            let text = text(len);
            let want = text.rope().concat();
            assert!(text.unpacked(Coding::Gzip) > 0 && text.unpacked(Coding::Identity) == 0);
            for coding in [Coding::Identity, Coding::Gzip, Coding::Gzip] {
                let body = text.body(coding);
                let promised = http_body::Body::size_hint(&body).exact();
                let bytes = to_bytes(body, usize::MAX).await.expect("from memory");
                assert_eq!(promised, Some(bytes.len() as u64), "{len} {coding:?}");
                let mut read = String::new();
                match coding {
                    Coding::Identity => read.push_str(std::str::from_utf8(&bytes).expect("text")),
                    Coding::Gzip => {
                        let mut member = flate2::read::GzDecoder::new(&bytes[..]);
                        member.read_to_string(&mut read).expect("a gzip member");
                    }
                }
                assert!(read == want, "{len} {coding:?}");
            }
            assert_eq!(text.unpacked(Coding::Gzip), 0);
            assert_ne!(text.etag(Coding::Gzip), text.etag(Coding::Identity));
        }
    }
}
