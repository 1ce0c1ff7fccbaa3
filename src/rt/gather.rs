//! A body whose frames that are ready are handed on as one: a segment is many parts, and sent part
//! by part it costs a write each. Nothing is copied: the buffers go to the socket side by side.

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use std::collections::VecDeque;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Bytes after which no more is gathered: a body that never pauses is written as it comes, and a
/// socket takes no more at once.
const ENOUGH: usize = 1 << 20;

/// Buffers side by side.
#[derive(Debug, Default)]
pub struct Gathered {
    buffers: VecDeque<Bytes>,
    left: usize,
}

impl Gathered {
    fn push(&mut self, bytes: Bytes) {
        self.left += bytes.len();
        // An empty one would look like the end.
        if !bytes.is_empty() {
            self.buffers.push_back(bytes);
        }
    }
}

impl Buf for Gathered {
    fn remaining(&self) -> usize {
        self.left
    }

    fn chunk(&self) -> &[u8] {
        self.buffers.front().map_or(&[], |b| b)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let pairs = slices.iter_mut().zip(&self.buffers);
        pairs.map(|(slice, bytes)| *slice = IoSlice::new(bytes)).count()
    }

    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.left, "past the end");
        self.left -= count;
        while count > 0
            && let Some(first) = self.buffers.front_mut()
        {
            if first.len() > count {
                first.advance(count);
                return;
            }
            count -= first.len();
            self.buffers.pop_front();
        }
    }
}

/// A body that gathers what another has ready.
#[derive(Debug)]
pub struct Gather<B: Body> {
    inner: B,
    /// What came behind gathered data and is none: trailers, an error.
    next: Option<Result<Frame<Gathered>, B::Error>>,
    /// The other has said its end, which it need not say twice.
    ended: bool,
}

impl<B: Body> Gather<B> {
    /// Gathers from `inner`.
    pub fn new(inner: B) -> Gather<B> {
        Gather { inner, next: None, ended: false }
    }
}

impl<B> Body for Gather<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Unpin,
{
    type Data = Gathered;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Gathered>, B::Error>>> {
        if let Some(next) = self.next.take() {
            return Poll::Ready(Some(next));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        let mut gathered = Gathered::default();
        while gathered.left < ENOUGH {
            match Pin::new(&mut self.inner).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(bytes) => gathered.push(bytes),
                    Err(other) => {
                        self.next = Some(Ok(other.map_data(|_| Gathered::default())));
                        break;
                    }
                },
                Poll::Ready(Some(Err(e))) => {
                    self.next = Some(Err(e));
                    break;
                }
                Poll::Ready(None) => {
                    self.ended = true;
                    break;
                }
                Poll::Pending if gathered.left == 0 => return Poll::Pending,
                // Asked again when this is written, and has the waker then.
                Poll::Pending => break,
            }
        }
        match self.next.take() {
            Some(next) if gathered.left == 0 => Poll::Ready(Some(next)),
            None if gathered.left == 0 => Poll::Ready(None),
            next => {
                self.next = next;
                Poll::Ready(Some(Ok(Frame::data(gathered))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.next.is_none() && (self.ended || self.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    /// Frames as they come; `None` is a pause.
    struct Script(VecDeque<Option<Result<Frame<Bytes>, &'static str>>>, bool);

    impl Body for Script {
        type Data = Bytes;
        type Error = &'static str;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
            match self.0.pop_front() {
                Some(Some(frame)) => Poll::Ready(Some(frame)),
                Some(None) => Poll::Pending,
                None => {
                    assert!(!std::mem::replace(&mut self.1, true), "asked after its end");
                    Poll::Ready(None)
                }
            }
        }
    }

    fn data(text: &'static str) -> Option<Result<Frame<Bytes>, &'static str>> {
        Some(Ok(Frame::data(Bytes::from_static(text.as_bytes()))))
    }

    /// What each poll answers, in words.
    fn polls(script: Vec<Option<Result<Frame<Bytes>, &'static str>>>) -> Vec<String> {
        let mut body = Gather::new(Script(script.into(), false));
        let mut cx = Context::from_waker(Waker::noop());
        let mut out = Vec::new();
        loop {
            let word = match Pin::new(&mut body).poll_frame(&mut cx) {
                Poll::Pending => "pending".to_owned(),
                Poll::Ready(None) => return out,
                Poll::Ready(Some(Err(e))) => format!("error {e}"),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(mut all) => {
                        let bytes = all.copy_to_bytes(all.remaining());
                        String::from_utf8_lossy(&bytes).into_owned()
                    }
                    Err(_) => "trailers".to_owned(),
                },
            };
            out.push(word);
        }
    }

    #[test]
    fn what_is_ready_is_one_frame_and_nothing_is_lost_or_moved() {
        let trailers = || Some(Ok(Frame::trailers(Default::default())));
        for (script, said) in [
            (vec![], vec![]),
            (vec![data("a"), data(""), data("bc")], vec!["abc"]),
            (vec![data("a"), None, data("b")], vec!["a", "b"]),
            (vec![None, data("a")], vec!["pending", "a"]),
            (vec![data("a"), trailers()], vec!["a", "trailers"]),
            (vec![trailers()], vec!["trailers"]),
            (vec![data("a"), Some(Err("e"))], vec!["a", "error e"]),
            (vec![Some(Err("e"))], vec!["error e"]),
        ] {
            assert_eq!(polls(script), said);
        }
        let large = "x".repeat(ENOUGH / 2 + 1).leak();
        let three = polls(vec![data(large), data(large), data(large)]);
        assert_eq!(three.iter().map(String::len).collect::<Vec<_>>(), [ENOUGH + 2, ENOUGH / 2 + 1]);
    }

    #[test]
    fn buffers_are_written_side_by_side_and_advanced_over() {
        let mut all = Gathered::default();
        for text in ["ab", "cde", "f"] {
            all.push(Bytes::from_static(text.as_bytes()));
        }
        let mut slices = [IoSlice::new(&[]); 2];
        assert_eq!(all.chunks_vectored(&mut slices), 2);
        assert_eq!((&*slices[0], &*slices[1]), (&b"ab"[..], &b"cde"[..]));
        all.advance(3);
        assert_eq!((all.chunk(), all.remaining()), (&b"de"[..], 3));
        all.advance(3);
        assert_eq!((all.chunk(), all.remaining()), (&b""[..], 0));
    }
}
