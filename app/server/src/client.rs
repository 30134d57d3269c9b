//! One attached client: its socket, what its terminal can do, the frame it was last sent, and its pace. A client never
//! holds the session up: at most two frames are on their way to it (one, where we write to its terminal ourselves), and
//! what changes meanwhile becomes one later difference against the last frame sent.

use std::{
    collections::{HashMap, VecDeque},
    io::{ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use qd_frame::{Frame, Painter};
use qd_mux::PaneId;
use qd_proto::{AttachMode, Capabilities, FrameBuf, ServerMsg, Tty};
use qd_tty::Size;
use qd_ui::{Glyphs, Look, Theme};
use tracing::debug;

use crate::direct::{Direct, runs};

/// Frames on their way to a client, at the most.
const MAX_UNACKED: u64 = 2;
/// One more is let through for the echo of a key.
const MAX_UNACKED_BOOSTED: u64 = 3;
/// Bytes read from a client in one turn, at the most.
const READ_TURN: usize = 256 * 1024;
/// Bytes that wait to go before the next frame, at the most.
const MAX_EXTRA: usize = 16 << 20;
/// Bytes that wait for a client's socket, at the most; a client beyond it is not reading at all.
const MAX_OUT: usize = 64 << 20;
/// A client that was heard so recently is not stopped.
const FRESH: Duration = Duration::from_millis(50);

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its greeting is awaited.
    Greeting,
    /// Its first message is awaited.
    Opening,
    /// It shows the session.
    Attached(AttachMode),
    /// What is queued is written, then it is closed.
    Closing,
}

/// Spends frames at a steady rate, but lets the first ones after a rest through at once.
#[derive(Debug)]
pub(crate) struct Pace {
    tokens: f64,
    rate: f64,
    last: Instant,
}

impl Pace {
    const BURST: f64 = 4.0;

    /// A full bucket that refills `rate` times a second.
    pub(crate) fn new(rate: f64, now: Instant) -> Self {
        Self {
            tokens: Self::BURST,
            rate: rate.max(1.0),
            last: now,
        }
    }

    /// Takes a token if there is one, else says how long until there is.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let gained = now.saturating_duration_since(self.last).as_secs_f64() * self.rate;
        self.tokens = (self.tokens + gained).min(Self::BURST);
        self.last = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.tokens) / self.rate))
    }
}

/// A connection and, once attached, its screen.
pub(crate) struct Client {
    pub(crate) id: u32,
    pub(crate) stream: UnixStream,
    pub(crate) stage: Stage,
    pub(crate) size: Size,
    pub(crate) caps: Capabilities,
    pub(crate) tty: Option<String>,
    pub(crate) pid: Option<i32>,
    /// Its terminal, while it is lent to us.
    pub(crate) direct: Option<Direct>,
    /// When it was last known not to be stopped.
    alive: Instant,
    pub(crate) input: FrameBuf,
    pub(crate) frame: Frame,
    pub(crate) painter: Painter,
    pub(crate) look: Look,
    /// The generation of each pane as it stands in `frame`.
    pub(crate) drawn: HashMap<PaneId, u64>,
    /// The generation of the chrome in `frame`.
    pub(crate) drawn_chrome: u64,
    /// The title that its terminal was given.
    pub(crate) title: String,
    /// Bytes to send before the next frame: clipboard, bell, title.
    extra: Vec<u8>,
    pub(crate) pace: Pace,
    pub(crate) writing: bool,
    out: Vec<u8>,
    out_at: usize,
    next_frame: u64,
    acked: u64,
    /// When frames went out that are not acknowledged yet.
    sent: VecDeque<(u64, Instant)>,
    /// The time from a frame to its acknowledgement, smoothed.
    pub(crate) round_trip: Option<Duration>,
    paint_buf: Vec<u8>,
}

/// What became of a read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Got {
    /// Bytes, or none for now.
    Data,
    /// The connection is gone.
    Gone,
}

impl Client {
    /// A fresh connection.
    pub(crate) fn new(id: u32, stream: UnixStream, theme: &Theme, rate: f64, now: Instant) -> Self {
        let pid = rustix::net::sockopt::socket_peercred(&stream)
            .ok()
            .map(|c| c.pid.as_raw_nonzero().get());
        Self {
            id,
            stream,
            stage: Stage::Greeting,
            size: Size::new(80, 24),
            caps: Capabilities::default(),
            tty: None,
            pid,
            direct: None,
            alive: now,
            input: FrameBuf::new(),
            frame: Frame::new(Size::default()),
            painter: Painter::new(Capabilities::default().paint),
            look: Look::new(theme, Capabilities::default().paint.depth, Glyphs::Unicode),
            drawn: HashMap::new(),
            drawn_chrome: 0,
            title: String::new(),
            extra: Vec::new(),
            pace: Pace::new(rate, now),
            writing: false,
            out: Vec::new(),
            out_at: 0,
            next_frame: 1,
            acked: 0,
            sent: VecDeque::new(),
            round_trip: None,
            paint_buf: Vec::new(),
        }
    }

    /// Whether it shows the session.
    pub(crate) fn is_attached(&self) -> bool {
        matches!(self.stage, Stage::Attached(_))
    }

    /// Whether its size and its keys count.
    pub(crate) fn is_interactive(&self) -> bool {
        self.stage == Stage::Attached(AttachMode::Interactive)
    }

    /// Takes its size, and starts with an empty screen.
    pub(crate) fn set_size(&mut self, size: Size) {
        self.size = Size::new(size.cols.clamp(1, 2000), size.rows.clamp(1, 1000));
        self.frame.resize(self.size);
        self.redraw();
    }

    /// Takes what its terminal can do.
    pub(crate) fn set_caps(&mut self, caps: Capabilities, theme: &Theme) {
        self.caps = caps;
        self.painter.set_caps(caps.paint);
        self.set_theme(theme);
        self.painter.invalidate();
    }

    /// Draws with this theme from now on.
    pub(crate) fn set_theme(&mut self, theme: &Theme) {
        let glyphs = if self.caps.ascii {
            Glyphs::Ascii
        } else {
            Glyphs::Unicode
        };
        self.look = Look::new(theme, self.caps.paint.depth, glyphs);
        self.redraw();
    }

    /// Everything is composed anew at the next frame.
    pub(crate) fn redraw(&mut self) {
        self.drawn.clear();
        self.drawn_chrome = 0;
    }

    /// The terminal's own content is lost: everything is sent anew.
    pub(crate) fn repaint(&mut self) {
        self.painter.invalidate();
        self.redraw();
    }

    /// Puts bytes before the next frame: a bell, a title, the clipboard. A client that takes no frames keeps the newest of
    /// them only.
    pub(crate) fn push_extra(&mut self, bytes: &[u8]) {
        if self.extra.len() + bytes.len() > MAX_EXTRA {
            self.extra.clear();
        }
        if self.extra != bytes {
            self.extra.extend_from_slice(bytes);
        }
    }

    /// Reads what it sent.
    pub(crate) fn read(&mut self) -> Got {
        let mut buf = [0u8; 16 * 1024];
        let mut total = 0;
        while total < READ_TURN {
            match self.stream.read(&mut buf) {
                Ok(0) => return Got::Gone,
                Ok(n) => {
                    self.input.push(&buf[..n]);
                    self.alive = Instant::now();
                    total += n;
                    if n < buf.len() {
                        break;
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Got::Gone,
            }
        }
        Got::Data
    }

    /// A frame was written to its terminal.
    pub(crate) fn ack(&mut self, number: u64, now: Instant) {
        self.acked = self.acked.max(number.min(self.next_frame - 1));
        while let Some((n, at)) = self.sent.front().copied()
            && n <= self.acked
        {
            self.sent.pop_front();
            self.took(now.saturating_duration_since(at));
        }
    }

    fn took(&mut self, time: Duration) {
        self.round_trip = Some(self.round_trip.map_or(time, |old| (old * 7 + time) / 8));
    }

    /// Takes the client's offer of its terminal, where that can be.
    pub(crate) fn borrow_tty(&mut self, tty: &Tty) {
        if self.direct.is_some() || !self.pid.is_some_and(runs) {
            return;
        }
        match Direct::open(tty) {
            Ok(d) => self.direct = Some(d),
            Err(e) => debug!(client = self.id, "its terminal is not ours to write to: {e}"),
        }
    }

    /// Whether frames go to its terminal without it; those that were sent to it before come first.
    pub(crate) fn is_direct(&self) -> bool {
        self.direct.is_some() && self.out.is_empty() && self.acked + 1 == self.next_frame
    }

    /// Lets go of its terminal; what was to be written there is sent to it.
    pub(crate) fn let_go(&mut self) -> Got {
        match self.direct.take().map(Direct::into_rest) {
            Some(rest) if !rest.is_empty() => self.send_bytes(rest),
            _ => Got::Data,
        }
    }

    /// Says good-bye: nothing is written to its terminal after that.
    pub(crate) fn farewell(&mut self, msg: &ServerMsg) {
        if self.is_attached() {
            self.let_go();
            if self.has_extra() {
                let bytes = std::mem::take(&mut self.extra);
                self.send_bytes(bytes);
            }
        }
        self.stage = Stage::Closing;
        self.send(msg);
    }

    /// Its terminal has room.
    pub(crate) fn write_on(&mut self) -> Got {
        let Some(d) = &mut self.direct else { return Got::Data };
        let (written, since) = (d.go_on(), d.since);
        match written {
            Err(_) => self.let_go(),
            Ok(()) if d.pending() => Got::Data,
            Ok(()) => {
                self.took(since.elapsed());
                Got::Data
            }
        }
    }

    /// The frame in the buffer goes to its terminal, or to it if that cannot be.
    fn write_frame(&mut self) -> Got {
        let now = Instant::now();
        if now.saturating_duration_since(self.alive) > FRESH {
            if !self.pid.is_some_and(runs) {
                self.let_go();
                return self.send_frame_bytes();
            }
            self.alive = now;
        }
        let Some(d) = &mut self.direct else {
            return self.send_frame_bytes();
        };
        match d.write(&self.paint_buf, now) {
            // The client finds out what is wrong with its terminal.
            Err(_) => self.let_go(),
            Ok(()) if d.pending() => Got::Data,
            Ok(()) => {
                self.took(now.elapsed());
                Got::Data
            }
        }
    }

    /// Whether a frame may be sent now; one more may be on its way when it echoes a key.
    pub(crate) fn may_send(&self, boosted: Boost) -> bool {
        if let Some(d) = &self.direct {
            return self.is_attached() && self.is_direct() && !d.pending();
        }
        let limit = if boosted == Boost::Yes {
            MAX_UNACKED_BOOSTED
        } else {
            MAX_UNACKED
        };
        self.is_attached() && self.out.is_empty() && self.next_frame - 1 - self.acked < limit
    }

    /// Paints the composed frame, and sends what differs.
    pub(crate) fn send_frame(&mut self) -> Got {
        self.paint_buf.clear();
        self.paint_buf.append(&mut self.extra);
        self.painter.paint(&self.frame, &mut self.paint_buf);
        if self.paint_buf.is_empty() {
            return Got::Data;
        }
        let got = if self.direct.is_some() {
            self.write_frame()
        } else {
            self.send_frame_bytes()
        };
        if self.paint_buf.capacity() > 1 << 20 {
            self.paint_buf = Vec::new();
        }
        got
    }

    fn send_frame_bytes(&mut self) -> Got {
        let bytes = std::mem::take(&mut self.paint_buf);
        self.send_bytes(bytes)
    }

    /// Sends bytes that the client is to write to its terminal.
    fn send_bytes(&mut self, bytes: Vec<u8>) -> Got {
        let number = self.next_frame;
        self.next_frame += 1;
        self.sent.push_back((number, Instant::now()));
        let msg = ServerMsg::Frame { number, bytes };
        let got = self.send(&msg);
        if let ServerMsg::Frame { bytes, .. } = msg {
            self.paint_buf = bytes;
        }
        got
    }

    /// Queues a message and writes what the socket takes.
    pub(crate) fn send(&mut self, msg: &ServerMsg) -> Got {
        if qd_proto::encode(msg, &mut self.out).is_err() || self.out.len() > MAX_OUT {
            return Got::Gone;
        }
        self.flush()
    }

    /// Queues raw bytes (the greeting) and writes what the socket takes.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) -> Got {
        self.out.extend_from_slice(bytes);
        self.flush()
    }

    /// Writes what is queued, as far as the socket takes it.
    pub(crate) fn flush(&mut self) -> Got {
        while self.out_at < self.out.len() {
            match self.stream.write(&self.out[self.out_at..]) {
                Ok(0) => return Got::Gone,
                Ok(n) => self.out_at += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Got::Data,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Got::Gone,
            }
        }
        self.out.clear();
        self.out_at = 0;
        if self.out.capacity() > 1 << 20 {
            self.out = Vec::new();
        }
        Got::Data
    }

    /// Whether something is to be sent besides what is drawn.
    pub(crate) fn has_extra(&self) -> bool {
        !self.extra.is_empty()
    }

    /// Whether bytes wait for its socket.
    pub(crate) fn has_output(&self) -> bool {
        !self.out.is_empty()
    }
}

/// Whether a frame echoes a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Boost {
    /// It does: it is sent at once.
    Yes,
    /// It keeps the pace.
    No,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_lets_a_burst_through_and_then_its_rate() {
        let t0 = Instant::now();
        let mut p = Pace::new(60.0, t0);
        let at = |ms: u64| t0 + Duration::from_millis(ms);
        let burst = (0..10).filter(|_| p.take(t0).is_ok()).count();
        assert_eq!(burst, 4);
        let wait = p.take(t0).unwrap_err();
        assert!(wait <= Duration::from_millis(17), "{wait:?}");
        // One second, asked every millisecond: 60 frames and no more.
        let sent = (1..=1000).filter(|ms| p.take(at(*ms)).is_ok()).count();
        assert!((59..=61).contains(&sent), "{sent}");
        // After a rest the next is at once again.
        assert!(p.take(at(5000)).is_ok());
    }
}
