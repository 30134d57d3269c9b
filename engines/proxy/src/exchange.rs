//! One request and its answer between two ends.
//!
//! [`Down`] is the client's end and [`Up`] the upstream's, each of either protocol. An [`Exchange`] polls both directions
//! in one place: the request goes on while the answer comes, a client that leaves ends it, and so does silence. It holds
//! no bytes of its own; what waits is in the bounded buffers of the two ends.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, client::ResponseFuture, server::SendResponse};
use qd_proxy_wire::{Framing, Known, RequestHead, ResponseHead, Scan, Scheme, Version, body, fields, rules};
use tokio::time::Instant;

use crate::{
    alarm::Alarm,
    cluster::{Link, UpConn},
    fault::Fault,
    forward::After,
    grpc_web::{Told, Web},
    side::{Broken, Encoder, Filled, H1, H2, PumpError, Pumped, Replay, Replayed, Sink, Source, Watch, poll_pump},
    switch, translate,
};

/// A client's stream of HTTP/2.
#[derive(Debug)]
pub(crate) struct DownH2 {
    pub(crate) body: H2,
    pub(crate) respond: SendResponse<Bytes>,
    /// What comes after protocols are switched.
    pub(crate) later: Option<RecvStream>,
}

/// The client's end.
#[derive(Debug)]
pub(crate) enum Down<'a> {
    H1(&'a mut H1),
    H2(&'a mut DownH2),
}

/// A stream of HTTP/2 to an upstream.
#[derive(Debug)]
pub(crate) struct UpStream {
    pub(crate) body: H2,
    pub(crate) response: Option<ResponseFuture>,
    pub(crate) link: Arc<Link>,
    /// Where what comes after a switch of protocols goes.
    pub(crate) later: Option<SendStream<Bytes>>,
}

impl Drop for UpStream {
    fn drop(&mut self) {
        if self.link.active.fetch_sub(1, Ordering::Relaxed) == 1 {
            *self.link.idle_since.lock() = Instant::now();
        }
    }
}

/// The upstream's end.
#[derive(Debug)]
pub(crate) enum Up {
    H1(Box<UpConn>),
    H2(Box<UpStream>),
}

macro_rules! either {
    ($self:ident, $one:ident => $first:expr, $two:ident => $second:expr) => {
        match $self {
            Self::H1($one) => $first,
            Self::H2($two) => $second,
        }
    };
}

impl Source for Down<'_> {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Filled, Broken>> {
        either!(self, a => a.poll_fill(cx), b => b.body.poll_fill(cx))
    }
    fn front(&self) -> &[u8] {
        either!(self, a => a.front(), b => b.body.front())
    }
    fn consume(&mut self, n: usize) {
        either!(self, a => a.consume(n), b => b.body.consume(n))
    }
    fn take(&mut self, n: usize) -> Bytes {
        either!(self, a => a.take(n), b => b.body.take(n))
    }
}

impl Sink for Down<'_> {
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Broken>> {
        either!(self, a => a.poll_room(cx), b => b.body.poll_room(cx))
    }
    fn put(&mut self, from: &mut dyn Source, n: usize) -> Result<(), Broken> {
        either!(self, a => a.put(from, n), b => b.body.put(from, n))
    }
    fn end(&mut self, trailers: Option<Box<qd_proxy_wire::Fields>>) -> Result<(), Broken> {
        either!(self, a => a.end(trailers), b => b.body.end(trailers))
    }
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        either!(self, a => a.poll_flush(cx), b => b.body.poll_flush(cx))
    }
}

impl Source for Up {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Filled, Broken>> {
        either!(self, a => a.side.poll_fill(cx), b => b.body.poll_fill(cx))
    }
    fn front(&self) -> &[u8] {
        either!(self, a => a.side.front(), b => b.body.front())
    }
    fn consume(&mut self, n: usize) {
        either!(self, a => a.side.consume(n), b => b.body.consume(n))
    }
    fn take(&mut self, n: usize) -> Bytes {
        either!(self, a => a.side.take(n), b => b.body.take(n))
    }
}

impl Sink for Up {
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Broken>> {
        either!(self, a => a.side.poll_room(cx), b => b.body.poll_room(cx))
    }
    fn put(&mut self, from: &mut dyn Source, n: usize) -> Result<(), Broken> {
        either!(self, a => a.side.put(from, n), b => b.body.put(from, n))
    }
    fn end(&mut self, trailers: Option<Box<qd_proxy_wire::Fields>>) -> Result<(), Broken> {
        either!(self, a => a.side.end(trailers), b => b.body.end(trailers))
    }
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        either!(self, a => a.side.poll_flush(cx), b => b.body.poll_flush(cx))
    }
}

/// How an answer is written to the client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outgoing<'a> {
    /// How its body comes.
    pub(crate) framing: Framing,
    /// What the client speaks.
    pub(crate) version: Version,
    /// Whether the connection stays.
    pub(crate) keep: bool,
    /// The request's method.
    pub(crate) is_head: bool,
    /// The protocol that is switched to.
    pub(crate) upgrade: Option<&'a [u8]>,
}

/// How much a client may send ahead while its request is answered.
const AHEAD: usize = 64 * 1024;

impl Down<'_> {
    /// Ready when the client has gone. Only for clients that have said all of their request.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Down::H1(side) => loop {
                if side.conn.rbuf.len() >= AHEAD {
                    return Poll::Pending;
                }
                match ready!(side.conn.poll_read(cx)) {
                    Ok(n) if n > 0 => {}
                    _ => return Poll::Ready(()),
                }
            },
            Down::H2(stream) => match stream.body.send.is_some() {
                true => stream.body.poll_reset(cx).map(|_| ()),
                false => stream.respond.poll_reset(cx).map(|_| ()),
            },
        }
    }

    /// Passes on an answer that is not the last (1xx).
    pub(crate) fn send_interim(&mut self, head: &ResponseHead, version: Version) {
        match self {
            Down::H1(side) if version == Version::Http11 => {
                head.write_line(&mut side.conn.wbuf);
                head.fields.write(&mut side.conn.wbuf);
                side.conn.wbuf.extend_from_slice(b"\r\n");
            }
            Down::H1(_) => {}
            Down::H2(stream) => {
                if let Some(response) = translate::response_to_h2(head) {
                    let _ = stream.respond.send_informational(response);
                }
            }
        }
    }

    /// Writes the head of the answer and gets ready for its body.
    pub(crate) fn send_head(&mut self, head: &ResponseHead, out: Outgoing<'_>) -> Result<(), Fault> {
        let bodiless = head.status < 200 || matches!(head.status, 204 | 304);
        match self {
            Down::H1(side) => {
                let buf = &mut side.conn.wbuf;
                head.write_line(buf);
                for (known, name, value) in head.fields.iter_known() {
                    // A length beside chunks would let two readers disagree.
                    let clash = known == Known::ContentLength
                        && (matches!(out.framing, Framing::Chunked | Framing::UntilClose) && !out.is_head
                            || head.status < 200
                            || head.status == 204);
                    if !clash {
                        fields::line(buf, name, value);
                    }
                }
                let mut keep = out.keep;
                side.encoder = match out.framing {
                    Framing::None => {
                        if !bodiless && !out.is_head && !head.fields.has(Known::ContentLength) {
                            buf.extend_from_slice(b"Content-Length: 0\r\n");
                        }
                        Encoder::None
                    }
                    Framing::Length(n) => {
                        if !head.fields.has(Known::ContentLength) {
                            fields::line(buf, b"Content-Length", n.to_string().as_bytes());
                        }
                        Encoder::Length(n)
                    }
                    _ if out.version == Version::Http11 => {
                        buf.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
                        Encoder::Chunked
                    }
                    _ => {
                        keep = false;
                        Encoder::Raw
                    }
                };
                match (out.upgrade, keep, out.version) {
                    (Some(protocol), _, _) => {
                        fields::line(buf, b"Connection", b"Upgrade");
                        fields::line(buf, b"Upgrade", protocol);
                    }
                    (None, false, _) => buf.extend_from_slice(b"Connection: close\r\n"),
                    (None, true, Version::Http10) => buf.extend_from_slice(b"Connection: keep-alive\r\n"),
                    _ => {}
                }
                buf.extend_from_slice(b"\r\n");
                Ok(())
            }
            Down::H2(stream) => {
                let response = translate::response_to_h2(head).ok_or(Fault::Protocol)?;
                let end = out.framing == Framing::None;
                let send = stream.respond.send_response(response, end);
                let send = send.map_err(|_| Fault::ClientGone)?;
                stream.body.send = (!end).then_some(send);
                Ok(())
            }
        }
    }

    /// Ends an answer that has begun so that it does not look complete.
    pub(crate) fn cut(&mut self) -> After {
        match self {
            Down::H1(side) if side.encoder == Encoder::Raw => {
                side.conn.io.reset_on_close();
                After::Cut
            }
            Down::H1(_) => After::Close,
            Down::H2(stream) => {
                stream.body.reset(Reason::INTERNAL_ERROR);
                stream.respond.send_reset(Reason::INTERNAL_ERROR);
                After::Cut
            }
        }
    }
}

/// What came of reading a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// 1xx; another one follows.
    Interim,
    /// The answer.
    Final,
}

impl Up {
    /// What kind of connection it is.
    pub(crate) fn is_reused(&self) -> bool {
        match self {
            Up::H1(conn) => conn.reused,
            Up::H2(_) => false,
        }
    }

    /// Writes the head of a request; it leaves with the first of the body.
    pub(crate) async fn send_request(
        link: Result<Box<UpConn>, Arc<Link>>,
        head: &RequestHead,
        framing: Framing,
        upgrade: Option<&[u8]>,
        trailers: bool,
    ) -> Result<Up, Fault> {
        match link {
            Ok(mut conn) => {
                let buf = &mut conn.side.conn.wbuf;
                head.write_line(buf);
                head.fields.write(buf);
                conn.side.encoder = match framing {
                    Framing::None => {
                        let expects = matches!(head.method(), b"POST" | b"PUT" | b"PATCH");
                        if expects && !head.fields.has(Known::ContentLength) {
                            buf.extend_from_slice(b"Content-Length: 0\r\n");
                        }
                        Encoder::None
                    }
                    Framing::Length(n) => Encoder::Length(n),
                    Framing::Chunked | Framing::UntilClose => {
                        buf.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
                        Encoder::Chunked
                    }
                };
                match (upgrade, trailers) {
                    (Some(protocol), _) => {
                        fields::line(buf, b"Connection", b"Upgrade");
                        fields::line(buf, b"Upgrade", protocol);
                    }
                    (None, true) => buf.extend_from_slice(b"TE: trailers\r\nConnection: TE\r\n"),
                    (None, false) => {}
                }
                buf.extend_from_slice(b"\r\n");
                Ok(Up::H1(conn))
            }
            Err(link) => {
                let scheme = if link.tls { Scheme::Https } else { Scheme::Http };
                let mut request = match upgrade {
                    Some(protocol) => {
                        link.takes_switches().await?;
                        switch::to_h2(head, scheme, protocol)?
                    }
                    None => translate::request_to_h2(head, scheme)?,
                };
                if trailers {
                    let te = http::HeaderValue::from_static("trailers");
                    request.headers_mut().insert(http::header::TE, te);
                }
                let ready = link.send.clone().ready().await;
                let mut send = ready.map_err(|_| Fault::RefusedStream)?;
                let end = framing == Framing::None && upgrade.is_none();
                let (response, stream) = send.send_request(request, end).map_err(|e| Fault::h2(&e))?;
                link.active.fetch_add(1, Ordering::Relaxed);
                let (now, later) = match upgrade {
                    Some(_) => (None, Some(stream)),
                    None => ((!end).then_some(stream), None),
                };
                Ok(Up::H2(Box::new(UpStream {
                    body: H2::new(now, None),
                    response: Some(response),
                    link,
                    later,
                })))
            }
        }
    }

    /// Waits for a head; gives how the body comes with the last one.
    pub(crate) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        scan: &mut Scan,
        head: &mut ResponseHead,
        method: &[u8],
    ) -> Poll<Result<(Heard, Framing), Fault>> {
        match self {
            Up::H1(conn) => {
                let side = &mut conn.side;
                loop {
                    let found = scan.find(&side.conn.rbuf, &side.limits).map_err(Fault::BadHead)?;
                    if let Some(end) = found {
                        let text = side.conn.rbuf.get(..end).unwrap_or_default();
                        head.parse(text, &side.limits).map_err(Fault::BadHead)?;
                        side.conn.consume(end);
                        *scan = Scan::default();
                        if head.status < 200 && head.status != 101 {
                            return Poll::Ready(Ok((Heard::Interim, Framing::None)));
                        }
                        let framing = body::response_framing(head, method).map_err(Fault::BadBody)?;
                        side.decoder = body::Decoder::new(framing);
                        return Poll::Ready(Ok((Heard::Final, framing)));
                    }
                    match ready!(side.conn.poll_read(cx)) {
                        Ok(0) if side.conn.rbuf.is_empty() => return Poll::Ready(Err(Fault::Closed)),
                        Ok(0) => return Poll::Ready(Err(Fault::Io(io::ErrorKind::UnexpectedEof))),
                        Ok(_) => {}
                        Err(_) if side.conn.rbuf.is_empty() => return Poll::Ready(Err(Fault::Closed)),
                        Err(e) => return Poll::Ready(Err(Fault::Io(e.kind()))),
                    }
                }
            }
            Up::H2(stream) => {
                let Some(response) = &mut stream.response else {
                    return Poll::Ready(Err(Fault::Protocol));
                };
                if let Poll::Ready(Some(interim)) = response.poll_informational(cx) {
                    let interim = interim.map_err(|e| Fault::h2(&e))?;
                    translate::response_from_h2(interim.status(), interim.headers(), head);
                    return Poll::Ready(Ok((Heard::Interim, Framing::None)));
                }
                let response = ready!(Pin::new(response).poll(cx)).map_err(|e| Fault::h2(&e))?;
                stream.response = None;
                let (parts, recv) = response.into_parts();
                translate::response_from_h2(parts.status, &parts.headers, head);
                let framing = match recv.is_end_stream() {
                    true => Framing::None,
                    false => match body::response_framing(head, method) {
                        Ok(Framing::Length(n)) => Framing::Length(n),
                        _ => Framing::Chunked,
                    },
                };
                stream.body.recv = Some(recv);
                Poll::Ready(Ok((Heard::Final, framing)))
            }
        }
    }

    /// Gives the stream up.
    pub(crate) fn cancel(self) {
        if let Up::H2(mut stream) = self {
            stream.response = None;
            stream.body.reset(Reason::CANCEL);
        }
    }
}

/// By when things must have happened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// The end of the answer.
    pub(crate) total: Option<Instant>,
    /// The head of the answer.
    pub(crate) attempt: Option<Instant>,
    /// How long nothing may move.
    pub(crate) idle: Duration,
    /// When it began.
    pub(crate) now: Instant,
}

/// Who looks at the two bodies.
#[derive(Default)]
pub(crate) struct Watches<'a> {
    pub(crate) request: Option<&'a mut dyn Watch>,
    pub(crate) response: Option<&'a mut dyn Watch>,
}

fn narrowed<'b>(watch: &'b mut Option<&mut dyn Watch>) -> Option<&'b mut dyn Watch> {
    match watch {
        Some(w) => Some(&mut **w),
        None => None,
    }
}

/// A request and its answer.
pub(crate) struct Exchange<'x, 'd> {
    pub(crate) down: &'x mut Down<'d>,
    pub(crate) up: &'x mut Up,
    pub(crate) replay: &'x mut Replay,
    pub(crate) replay_most: usize,
    pub(crate) alarm: &'x mut Alarm,
    pub(crate) times: Times,
    pub(crate) watches: Watches<'x>,
    pub(crate) body_most: Option<u64>,
    pub(crate) request: Pumped,
    pub(crate) response: Pumped,
    pub(crate) request_done: bool,
    pub(crate) write_failed: Option<Fault>,
    pub(crate) scan: Scan,
    pub(crate) interims: u32,
    /// What was taken of the answer's body while it was held.
    pub(crate) kept: Option<Replay>,
    /// The answer's trailers become the last of its body.
    pub(crate) web: Option<Web>,
}

/// How many answers may come before the last one.
const INTERIMS: u32 = 32;

impl Exchange<'_, '_> {
    /// Sets the alarm to the first of what may be due.
    pub(crate) fn arm(&mut self, with_attempt: bool) {
        let attempt = self.times.attempt.filter(|_| with_attempt);
        let idle = self.times.now + self.times.idle;
        let first = [self.times.total, attempt]
            .into_iter()
            .flatten()
            .fold(idle, Instant::min);
        self.alarm.set(first);
        if !with_attempt {
            self.times.attempt = None;
        }
    }

    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<Fault> {
        loop {
            ready!(self.alarm.poll(cx));
            let now = Instant::now();
            if self.times.total.is_some_and(|t| t <= now) {
                return Poll::Ready(Fault::Timeout);
            }
            if self.times.attempt.is_some_and(|t| t <= now) {
                return Poll::Ready(Fault::AttemptTimeout);
            }
            if !self.request.moved && !self.response.moved && now >= self.times.now + self.times.idle {
                return Poll::Ready(Fault::Idle);
            }
            if self.request.moved || self.response.moved {
                self.times.now = now;
                self.request.moved = false;
                self.response.moved = false;
            }
            self.arm(true);
        }
    }

    /// Moves what there is of the request.
    fn push_request(&mut self, cx: &mut Context<'_>) -> Result<(), Fault> {
        if self.request_done || self.write_failed.is_some() {
            return Ok(());
        }
        let mut source = Replayed {
            from: self.down,
            kept: self.replay,
            most: self.replay_most,
        };
        let watch = narrowed(&mut self.watches.request);
        match poll_pump(cx, &mut source, self.up, &mut self.request, watch) {
            Poll::Ready(Ok(())) => self.request_done = true,
            Poll::Pending => {}
            Poll::Ready(Err(PumpError::Source(e))) => return Err(Fault::client(e)),
            // The upstream may have answered before it stopped listening.
            Poll::Ready(Err(PumpError::Sink(e))) => self.write_failed = Some(Fault::upstream(e)),
        }
        match self.body_most {
            Some(most) if self.request.bytes > most => Err(Fault::BodyTooLarge),
            _ => Ok(()),
        }
    }

    /// Sends the request and waits for a head.
    pub(crate) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut ResponseHead,
        method: &[u8],
    ) -> Poll<Result<(Heard, Framing), Fault>> {
        self.push_request(cx)?;
        // An answer that is not the last may wait to be written.
        if self.interims > 0 && self.down.poll_flush(cx).map_err(Fault::client)?.is_pending() {
            return self.poll_alarm(cx).map(Err);
        }
        match self.up.poll_head(cx, &mut self.scan, head, method) {
            Poll::Ready(Ok((Heard::Interim, framing))) => {
                self.interims += 1;
                return Poll::Ready(match self.interims > INTERIMS {
                    true => Err(Fault::Protocol),
                    false => Ok((Heard::Interim, framing)),
                });
            }
            Poll::Ready(Err(fault)) => return Poll::Ready(Err(self.write_failed.take().unwrap_or(fault))),
            Poll::Ready(ok) => return Poll::Ready(ok),
            Poll::Pending => {}
        }
        if self.request_done && self.down.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(Fault::ClientGone));
        }
        self.poll_alarm(cx).map(Err)
    }

    /// Moves both bodies until the answer has left whole.
    pub(crate) fn poll_bodies(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.push_request(cx)?;
        let watch = narrowed(&mut self.watches.response);
        let pumped = match (&mut self.kept, &mut self.web) {
            (None, None) => poll_pump(cx, self.up, self.down, &mut self.response, watch),
            (None, Some(web)) => {
                let mut source = Told { from: self.up, web };
                poll_pump(cx, &mut source, self.down, &mut self.response, watch)
            }
            (Some(kept), web) => {
                let mut source = Replayed {
                    from: self.up,
                    kept,
                    most: 0,
                };
                match web {
                    None => poll_pump(cx, &mut source, self.down, &mut self.response, watch),
                    Some(web) => {
                        let mut source = Told { from: &mut source, web };
                        poll_pump(cx, &mut source, self.down, &mut self.response, watch)
                    }
                }
            }
        };
        match pumped {
            Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
            Poll::Pending => {}
            Poll::Ready(Err(PumpError::Source(e))) => return Poll::Ready(Err(Fault::upstream(e))),
            Poll::Ready(Err(PumpError::Sink(_))) => return Poll::Ready(Err(Fault::ClientGone)),
        }
        if self.request_done && self.down.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(Fault::ClientGone));
        }
        self.poll_alarm(cx).map(Err)
    }

    /// Moves what is left of the request when the answer is there already; ready when nothing is, or nothing can be done.
    pub(crate) fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let failed = self.push_request(cx).is_err() || self.write_failed.is_some();
        match failed || self.request_done {
            true => Poll::Ready(()),
            false => self.poll_alarm(cx).map(|_| ()),
        }
    }

    /// Moves bytes both ways until both ends have said all.
    pub(crate) fn poll_tunnel(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        if !self.request_done {
            let watch = narrowed(&mut self.watches.request);
            match poll_pump(cx, self.down, self.up, &mut self.request, watch) {
                Poll::Ready(Ok(())) => self.request_done = true,
                Poll::Pending => {}
                Poll::Ready(Err(PumpError::Source(_))) => return Poll::Ready(Err(Fault::ClientGone)),
                Poll::Ready(Err(PumpError::Sink(e))) => return Poll::Ready(Err(Fault::upstream(e))),
            }
        }
        let watch = narrowed(&mut self.watches.response);
        let done = match poll_pump(cx, self.up, self.down, &mut self.response, watch) {
            Poll::Ready(Ok(())) => true,
            Poll::Pending => false,
            Poll::Ready(Err(PumpError::Source(e))) => return Poll::Ready(Err(Fault::upstream(e))),
            Poll::Ready(Err(PumpError::Sink(_))) => return Poll::Ready(Err(Fault::ClientGone)),
        };
        match done && self.request_done {
            true => Poll::Ready(Ok(())),
            false => self.poll_alarm(cx).map(Err),
        }
    }
}

/// What the hop says about the connection of an answer.
pub(crate) fn keeps(head: &ResponseHead, hop: rules::Hop) -> bool {
    rules::keeps_alive(head.version, hop)
}
