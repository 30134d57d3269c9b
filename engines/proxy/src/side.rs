//! The two ends of an exchange, whatever protocol each speaks.
//!
//! A [`Source`] gives the pieces of a body and its trailers; a [`Sink`] takes them; [`poll_pump`] moves as much as both
//! allow and never holds more than the sink has room for. [`H1`] is either end of a connection of HTTP/1 (or of a tunnel),
//! [`H2`] one stream of HTTP/2.

use std::{
    io,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use qd_proxy_wire::{BodyError, Decoded, Decoder, Fields, Framing, Limits, body, rules};

use crate::{io::Conn, translate};

/// What is at the front of a source.
#[derive(Debug)]
pub(crate) enum Filled {
    /// So many bytes.
    Data(usize),
    /// Nothing more; trailers come with the end.
    End(Option<Box<Fields>>),
}

/// Why a body did not come or go.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("{0}")]
    Body(#[from] BodyError),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the stream was reset: {0}")]
    Reset(Reason),
    #[error("{0}")]
    H2(h2::Error),
    #[error("the body is longer than was said")]
    TooLong,
}

impl From<h2::Error> for Broken {
    fn from(e: h2::Error) -> Broken {
        match e.reason() {
            Some(reason) if e.is_reset() => Broken::Reset(reason),
            _ => Broken::H2(e),
        }
    }
}

pub(crate) trait Source {
    /// Waits until there is something at the front.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Filled, Broken>>;
    /// What is there.
    fn front(&self) -> &[u8];
    /// Takes bytes off the front.
    fn consume(&mut self, n: usize);
    /// Takes bytes off the front to keep.
    fn take(&mut self, n: usize) -> Bytes;
}

pub(crate) trait Sink {
    /// Waits until at least one byte may be put; gives how many.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Broken>>;
    /// Takes the first `n` bytes of the source, no more than there was room for.
    fn put(&mut self, from: &mut dyn Source, n: usize) -> Result<(), Broken>;
    /// The body is over.
    fn end(&mut self, trailers: Option<Box<Fields>>) -> Result<(), Broken>;
    /// Waits until everything has left.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>>;
}

/// How a body is written to HTTP/1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoder {
    None,
    Length(u64),
    Chunked,
    /// As it comes, and the connection is closed after it.
    Raw,
}

/// A connection of HTTP/1, or of plain bytes.
#[derive(Debug)]
pub(crate) struct H1 {
    pub(crate) conn: Conn,
    pub(crate) decoder: Decoder,
    pub(crate) encoder: Encoder,
    pub(crate) limits: Limits,
    closing: bool,
}

impl H1 {
    pub(crate) fn new(conn: Conn, limits: Limits) -> H1 {
        H1 {
            conn,
            decoder: Decoder::new(Framing::None),
            encoder: Encoder::None,
            limits,
            closing: false,
        }
    }

    /// Passes bytes as they come from now on, in both directions.
    pub(crate) fn tunnel(&mut self) {
        self.decoder = Decoder::new(Framing::UntilClose);
        self.encoder = Encoder::Raw;
    }

    /// Whether the body that is written lacks nothing.
    pub(crate) fn said_all(&self) -> bool {
        matches!(self.encoder, Encoder::None | Encoder::Length(0)) && self.conn.unwritten() == 0
    }
}

impl Source for H1 {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Filled, Broken>> {
        loop {
            match self.decoder.decode(&mut self.conn.rbuf, &self.limits)? {
                Decoded::Data(n) => return Poll::Ready(Ok(Filled::Data(n))),
                Decoded::End(trailers) => return Poll::Ready(Ok(Filled::End(trailers))),
                Decoded::More => {
                    if ready!(self.conn.poll_read(cx))? == 0 {
                        self.decoder.finish()?;
                        return Poll::Ready(Ok(Filled::End(None)));
                    }
                }
            }
        }
    }

    fn front(&self) -> &[u8] {
        &self.conn.rbuf
    }

    fn consume(&mut self, n: usize) {
        self.conn.consume(n);
        self.decoder.taken(n);
    }

    fn take(&mut self, n: usize) -> Bytes {
        self.decoder.taken(n);
        self.conn.rbuf.split_to(n.min(self.conn.rbuf.len())).freeze()
    }
}

impl Sink for H1 {
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Broken>> {
        Poll::Ready(Ok(ready!(self.conn.poll_room(cx))?))
    }

    fn put(&mut self, from: &mut dyn Source, n: usize) -> Result<(), Broken> {
        let data = from.front().get(..n).unwrap_or_default();
        match &mut self.encoder {
            Encoder::Length(left) => {
                *left = left.checked_sub(data.len() as u64).ok_or(Broken::TooLong)?;
                self.conn.wbuf.extend_from_slice(data);
            }
            Encoder::Chunked => body::write_chunk(&mut self.conn.wbuf, data),
            Encoder::Raw => self.conn.wbuf.extend_from_slice(data),
            // The answer to HEAD: a body that should not be there is dropped.
            Encoder::None => {}
        }
        from.consume(n);
        Ok(())
    }

    fn end(&mut self, trailers: Option<Box<Fields>>) -> Result<(), Broken> {
        match self.encoder {
            Encoder::Chunked => {
                let trailers = trailers.map(|mut t| {
                    rules::strip_trailers(&mut t);
                    t
                });
                body::write_last_chunk(&mut self.conn.wbuf, trailers.as_deref());
                self.encoder = Encoder::None;
            }
            Encoder::Length(0) | Encoder::None => {}
            Encoder::Length(_) => return Err(Broken::Body(BodyError::Cut)),
            Encoder::Raw => self.closing = true,
        }
        Ok(())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        match self.closing {
            true => {
                let done = ready!(self.conn.poll_shutdown(cx));
                self.closing = false;
                self.encoder = Encoder::None;
                match done {
                    // A peer that has gone needs not be told.
                    Err(e) if e.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
                    done => Poll::Ready(Ok(done?)),
                }
            }
            false => Poll::Ready(Ok(ready!(self.conn.poll_flush(cx))?)),
        }
    }
}

/// A stream of HTTP/2.
#[derive(Debug, Default)]
pub(crate) struct H2 {
    pub(crate) send: Option<SendStream<Bytes>>,
    pub(crate) recv: Option<RecvStream>,
    current: Bytes,
    ended: bool,
}

impl H2 {
    pub(crate) fn new(send: Option<SendStream<Bytes>>, recv: Option<RecvStream>) -> H2 {
        H2 {
            send,
            recv,
            ..H2::default()
        }
    }

    /// Gives what comes by another stream from now on.
    pub(crate) fn receive(&mut self, recv: Option<RecvStream>) {
        self.ended = recv.is_none();
        self.recv = recv;
    }

    /// Ends the stream at once.
    pub(crate) fn reset(&mut self, reason: Reason) {
        if let Some(send) = &mut self.send {
            send.send_reset(reason);
        }
        self.recv = None;
    }

    /// Ready when the peer has given the stream up.
    pub(crate) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<Broken> {
        match &mut self.send {
            Some(send) => match ready!(send.poll_reset(cx)) {
                Ok(reason) => Poll::Ready(Broken::Reset(reason)),
                Err(e) => Poll::Ready(e.into()),
            },
            None => Poll::Pending,
        }
    }

    /// Whether both directions are over.
    pub(crate) fn is_over(&self) -> bool {
        self.ended && self.send.is_none()
    }
}

impl Source for H2 {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Filled, Broken>> {
        loop {
            if !self.current.is_empty() {
                return Poll::Ready(Ok(Filled::Data(self.current.len())));
            }
            let Some(recv) = &mut self.recv else {
                self.ended = true;
                return Poll::Ready(Ok(Filled::End(None)));
            };
            match ready!(recv.poll_data(cx)) {
                Some(Ok(data)) => self.current = data,
                // What a peer says with NO_ERROR is that it needs no more.
                Some(Err(e)) => return Poll::Ready(Err(e.into())),
                None => {
                    let trailers = ready!(recv.poll_trailers(cx)).map_err(Broken::from)?;
                    self.ended = true;
                    self.recv = None;
                    let fields = trailers.map(|map| Box::new(translate::fields(&map)));
                    return Poll::Ready(Ok(Filled::End(fields)));
                }
            }
        }
    }

    fn front(&self) -> &[u8] {
        &self.current
    }

    fn consume(&mut self, n: usize) {
        let _ = self.take(n);
    }

    fn take(&mut self, n: usize) -> Bytes {
        let data = self.current.split_to(n.min(self.current.len()));
        if let Some(recv) = &mut self.recv {
            let _ = recv.flow_control().release_capacity(data.len());
        }
        data
    }
}

/// How much window a stream asks for at once.
const WINDOW: usize = 64 * 1024;

impl Sink for H2 {
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Broken>> {
        let Some(send) = &mut self.send else {
            return Poll::Ready(Ok(usize::MAX));
        };
        send.reserve_capacity(WINDOW);
        loop {
            match send.capacity() {
                0 => match ready!(send.poll_capacity(cx)) {
                    Some(Ok(_)) => {}
                    Some(Err(e)) => return Poll::Ready(Err(e.into())),
                    None => return Poll::Ready(Err(Broken::Reset(Reason::CANCEL))),
                },
                n => return Poll::Ready(Ok(n)),
            }
        }
    }

    fn put(&mut self, from: &mut dyn Source, n: usize) -> Result<(), Broken> {
        let data = from.take(n);
        match &mut self.send {
            Some(send) => Ok(send.send_data(data, false)?),
            None => Ok(()),
        }
    }

    fn end(&mut self, trailers: Option<Box<Fields>>) -> Result<(), Broken> {
        let Some(mut send) = self.send.take() else {
            return Ok(());
        };
        let trailers = trailers.map(|mut t| {
            rules::strip_trailers(&mut t);
            translate::map(&t)
        });
        match trailers.filter(|t| !t.is_empty()) {
            Some(map) => send.send_trailers(map)?,
            None => send.send_data(Bytes::new(), true)?,
        }
        Ok(())
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        Poll::Ready(Ok(()))
    }
}

/// A body that is kept to be sent again.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    /// What was taken from the client so far.
    pub(crate) data: Vec<u8>,
    /// How much of it the present attempt has sent.
    pub(crate) sent: usize,
    /// The end has come.
    pub(crate) ended: bool,
    /// More came than is kept.
    pub(crate) overflowed: bool,
    trailers: Option<Box<Fields>>,
}

impl Replay {
    /// Whether another attempt can send everything again.
    pub(crate) fn is_possible(&self) -> bool {
        !self.overflowed
    }

    /// The end has come.
    pub(crate) fn end(&mut self, trailers: Option<Box<Fields>>) {
        self.ended = true;
        self.trailers = trailers;
    }

    /// Another body instead, which is whole.
    pub(crate) fn replace(&mut self, data: Vec<u8>) {
        *self = Replay {
            data,
            ended: true,
            ..Replay::default()
        };
    }

    /// Whether all of the body is here.
    pub(crate) fn is_whole(&self) -> bool {
        self.ended && !self.overflowed
    }

    /// Begins again.
    pub(crate) fn rewind(&mut self) {
        self.sent = 0;
    }

    pub(crate) fn clear(&mut self) {
        self.data.clear();
        *self = Replay {
            data: std::mem::take(&mut self.data),
            ..Replay::default()
        };
    }
}

/// A source that keeps what it gives, up to a size, and gives it again when asked to.
pub(crate) struct Replayed<'a, S> {
    pub(crate) from: &'a mut S,
    pub(crate) kept: &'a mut Replay,
    pub(crate) most: usize,
}

impl<S: Source> Source for Replayed<'_, S> {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Filled, Broken>> {
        let again = self.kept.data.len().saturating_sub(self.kept.sent);
        if again > 0 && !self.kept.overflowed {
            return Poll::Ready(Ok(Filled::Data(again)));
        }
        if self.kept.ended {
            return Poll::Ready(Ok(Filled::End(self.kept.trailers.clone())));
        }
        let filled = ready!(self.from.poll_fill(cx))?;
        if let Filled::End(trailers) = &filled {
            self.kept.ended = true;
            self.kept.trailers = trailers.clone();
        }
        Poll::Ready(Ok(filled))
    }

    fn front(&self) -> &[u8] {
        match self.kept.data.get(self.kept.sent..) {
            Some(again) if !again.is_empty() && !self.kept.overflowed => again,
            _ => self.from.front(),
        }
    }

    fn consume(&mut self, n: usize) {
        if !self.kept.overflowed {
            if self.kept.sent < self.kept.data.len() {
                self.kept.sent += n;
                return;
            }
            if self.kept.data.len() + n > self.most {
                self.kept.overflowed = true;
                self.kept.data = Vec::new();
            } else {
                let data = self.from.front().get(..n).unwrap_or_default();
                self.kept.data.extend_from_slice(data);
                self.kept.sent = self.kept.data.len();
            }
        }
        self.from.consume(n);
    }

    fn take(&mut self, n: usize) -> Bytes {
        let data = Bytes::copy_from_slice(self.front().get(..n).unwrap_or_default());
        self.consume(n);
        data
    }
}

/// How far a body has gone.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Pumped {
    /// Bytes of data.
    pub(crate) bytes: u64,
    /// The end was put.
    pub(crate) ended: bool,
    /// Something moved since this was last cleared.
    pub(crate) moved: bool,
}

/// Which end of a pump broke.
#[derive(Debug)]
pub(crate) enum PumpError {
    Source(Broken),
    Sink(Broken),
}

/// Sees what passes.
pub(crate) trait Watch: Send {
    fn data(&mut self, data: &[u8]);
    fn trailers(&mut self, trailers: Option<&Fields>);
}

/// Moves what can be moved. Ready when the end has been put and everything has left.
pub(crate) fn poll_pump(
    cx: &mut Context<'_>,
    from: &mut impl Source,
    to: &mut impl Sink,
    state: &mut Pumped,
    mut watch: Option<&mut dyn Watch>,
) -> Poll<Result<(), PumpError>> {
    while !state.ended {
        let Poll::Ready(room) = to.poll_room(cx).map_err(PumpError::Sink)? else {
            return Poll::Pending;
        };
        match from.poll_fill(cx) {
            Poll::Pending => {
                let _ = to.poll_flush(cx).map_err(PumpError::Sink)?;
                return Poll::Pending;
            }
            Poll::Ready(Err(e)) => return Poll::Ready(Err(PumpError::Source(e))),
            Poll::Ready(Ok(Filled::Data(n))) => {
                let n = n.min(room);
                if let Some(watch) = watch.as_deref_mut() {
                    watch.data(from.front().get(..n).unwrap_or_default());
                }
                to.put(from, n).map_err(PumpError::Sink)?;
                state.bytes += n as u64;
                state.moved = true;
            }
            Poll::Ready(Ok(Filled::End(trailers))) => {
                if let Some(watch) = watch.as_deref_mut() {
                    watch.trailers(trailers.as_deref());
                }
                to.end(trailers).map_err(PumpError::Sink)?;
                state.ended = true;
                state.moved = true;
            }
        }
    }
    to.poll_flush(cx).map_err(PumpError::Sink)
}
