//! Byte streams of every kind a connection can be made of, and the buffers around one.
//!
//! [`Io`] is what bytes come from and go to: TCP, a unix socket, TLS over either. [`Conn`] adds the two buffers that HTTP/1
//! and tunnels work on. Neither knows what the bytes mean.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::TlsStream;

/// How much is read at once at first, and at most.
const READ: usize = 8 * 1024;
const READ_MOST: usize = 64 * 1024;
/// How much may wait to be written before no more is taken.
pub(crate) const HIGH: usize = 64 * 1024;
/// What an idle connection keeps of its write buffer.
const KEEP: usize = 4 * 1024;

/// A byte stream.
#[derive(Debug)]
pub(crate) enum Io {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<Rewound>>),
    /// Nobody: what is written is gone, and nothing comes. The client of a request that is sent again.
    Nobody,
}

/// A stream whose first bytes were read already.
#[derive(Debug)]
pub(crate) struct Rewound {
    pub(crate) prefix: Bytes,
    pub(crate) io: Io,
}

impl AsyncRead for Rewound {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.prefix.is_empty() {
            let n = self.prefix.len().min(buf.remaining());
            buf.put_slice(&self.prefix.split_to(n));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Io::Tcp(s) => Pin::new(s).poll_read(cx, buf),
            Io::Unix(s) => Pin::new(s).poll_read(cx, buf),
            Io::Tls(s) => Pin::new(s).poll_read(cx, buf),
            Io::Nobody => Poll::Pending,
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Io::Tcp(s) => Pin::new(s).poll_write(cx, buf),
            Io::Unix(s) => Pin::new(s).poll_write(cx, buf),
            Io::Tls(s) => Pin::new(s).poll_write(cx, buf),
            Io::Nobody => Poll::Ready(Ok(buf.len())),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Io::Tcp(s) => Pin::new(s).poll_write_vectored(cx, bufs),
            Io::Unix(s) => Pin::new(s).poll_write_vectored(cx, bufs),
            Io::Tls(s) => Pin::new(s).poll_write_vectored(cx, bufs),
            Io::Nobody => Poll::Ready(Ok(bufs.iter().map(|b| b.len()).sum())),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Io::Tcp(s) => s.is_write_vectored(),
            Io::Unix(s) => s.is_write_vectored(),
            Io::Tls(s) => s.is_write_vectored(),
            Io::Nobody => false,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Io::Tcp(s) => Pin::new(s).poll_flush(cx),
            Io::Unix(s) => Pin::new(s).poll_flush(cx),
            Io::Tls(s) => Pin::new(s).poll_flush(cx),
            Io::Nobody => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Io::Tcp(s) => Pin::new(s).poll_shutdown(cx),
            Io::Unix(s) => Pin::new(s).poll_shutdown(cx),
            Io::Tls(s) => Pin::new(s).poll_shutdown(cx),
            Io::Nobody => Poll::Ready(Ok(())),
        }
    }
}

impl Io {
    /// Makes the end of the connection an error for the peer, so that what it got so far does not look complete.
    pub(crate) fn reset_on_close(&self) {
        match self {
            Io::Tcp(s) => {
                let _ = s.set_zero_linger();
            }
            Io::Unix(_) | Io::Nobody => {}
            Io::Tls(s) => s.get_ref().0.io.reset_on_close(),
        }
    }
}

/// A stream with what was read and not used, and what was said and not written.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) io: Io,
    pub(crate) rbuf: BytesMut,
    pub(crate) wbuf: Vec<u8>,
    written: usize,
    next_read: usize,
    eof: bool,
    /// Bytes that came and went.
    pub(crate) received: u64,
    pub(crate) sent: u64,
}

impl Conn {
    pub(crate) fn new(io: Io, rbuf: BytesMut) -> Conn {
        Conn {
            io,
            received: rbuf.len() as u64,
            rbuf,
            wbuf: Vec::new(),
            written: 0,
            next_read: READ,
            eof: false,
            sent: 0,
        }
    }

    /// Reads once into the buffer; 0 at the end of the stream, also when asked again.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.eof {
            return Poll::Ready(Ok(0));
        }
        if self.rbuf.capacity() - self.rbuf.len() < self.next_read / 2 {
            self.rbuf.reserve(self.next_read);
        }
        let room = self.rbuf.capacity() - self.rbuf.len();
        let n = ready!(tokio_util::io::poll_read_buf(
            Pin::new(&mut self.io),
            cx,
            &mut self.rbuf
        ))?;
        self.received += n as u64;
        if n == 0 {
            self.eof = true;
        } else if n == room && self.next_read < READ_MOST {
            self.next_read *= 2;
        }
        Poll::Ready(Ok(n))
    }

    /// Bytes that wait to be written.
    pub(crate) fn unwritten(&self) -> usize {
        self.wbuf.len() - self.written
    }

    /// Writes until nothing waits.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.wbuf.get(self.written..).filter(|r| !r.is_empty()) {
            let n = ready!(Pin::new(&mut self.io).poll_write(cx, rest))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += n;
            self.sent += n as u64;
        }
        self.wbuf.clear();
        self.written = 0;
        match &mut self.io {
            Io::Tls(s) => Pin::new(s).poll_flush(cx),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Writes, then says that no more comes.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    /// How many more bytes may be put into the write buffer now; waits until there is room.
    pub(crate) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.unwritten() >= HIGH {
            match self.poll_flush(cx)? {
                Poll::Pending if self.unwritten() >= HIGH / 2 => return Poll::Pending,
                _ => {}
            }
        }
        if self.written > HIGH {
            self.wbuf.drain(..self.written);
            self.written = 0;
        }
        Poll::Ready(Ok(HIGH.saturating_sub(self.unwritten()).max(1)))
    }

    /// Whether the peer has closed or said something unasked; asks the system only when it has news.
    pub(crate) fn is_stale(&mut self) -> bool {
        if self.eof || !self.rbuf.is_empty() {
            return true;
        }
        let mut cx = Context::from_waker(Waker::noop());
        self.poll_read(&mut cx).is_ready()
    }

    /// Lets go of memory that only a busy connection needs.
    pub(crate) fn rest(&mut self) {
        self.next_read = READ;
        if self.wbuf.is_empty() && self.wbuf.capacity() > KEEP {
            self.wbuf = Vec::new();
        }
        if self.rbuf.is_empty() && self.rbuf.capacity() > 2 * READ {
            self.rbuf = BytesMut::new();
        }
    }

    /// Takes `n` bytes off the front.
    pub(crate) fn consume(&mut self, n: usize) {
        self.rbuf.advance(n.min(self.rbuf.len()));
    }

    /// The stream with what was read ahead.
    pub(crate) fn into_rewound(self) -> Rewound {
        Rewound {
            prefix: self.rbuf.freeze(),
            io: self.io,
        }
    }
}
