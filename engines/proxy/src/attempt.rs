//! One attempt of a request at one endpoint.

use std::{future::poll_fn, sync::Arc, time::Duration};

use qd_proxy_policy::{GrpcCode, class, retry::Ended};
use qd_proxy_wire::{Fields, Framing, Known, Scan, Version, rules};
use tokio::time::Instant;

use crate::{
    cluster::{Cluster, Endpoint},
    connect::Want,
    exchange::{Down, Exchange, Heard, Outgoing, Times, Up, Watches, keeps},
    fault::Fault,
    flow::Stage,
    forward::{After, Asked, ConnCx, Desk, Sum, acquire},
    grpc_web, hold,
    plan::UpstreamProtocol,
    retries::{Chance, Going},
    shared::Stand,
    side::{Encoder, Pumped, Source, Watch},
    switch,
    way::{Lane, Way},
};

/// How long the rest of a request may take that has been answered.
const LATE: Duration = Duration::from_secs(5);

/// How an attempt ended without an error.
pub(crate) enum End {
    Done(After),
    /// The upstream's answer asks for another attempt, after this time.
    Again(Duration),
}

/// One attempt.
pub(crate) struct Once<'a> {
    pub(crate) cx: &'a ConnCx,
    pub(crate) stand: &'a Stand,
    pub(crate) way: &'a Way,
    pub(crate) cluster: &'a Cluster,
    pub(crate) endpoint: &'a Arc<Endpoint>,
    pub(crate) framing: Framing,
    pub(crate) asked: &'a Asked,
    pub(crate) times: Times,
    pub(crate) lane: &'a Lane,
    /// Attempts so far, this one included.
    pub(crate) tries: u32,
}

impl Once<'_> {
    fn want(&self, version: Version) -> Want {
        match (self.cluster.plan.protocol, version) {
            (UpstreamProtocol::Http2, _) => Want::Http2,
            _ if self.asked.upgrade.is_some() => Want::Http1,
            (UpstreamProtocol::Http1, _) => Want::Http1,
            (UpstreamProtocol::Same, Version::Http2) if self.cluster.tls.is_some() => Want::Either,
            (UpstreamProtocol::Same, Version::Http2) => Want::Http2,
            (UpstreamProtocol::Same, _) => Want::Http1,
        }
    }

    pub(crate) async fn run(
        &self,
        desk: &mut Desk,
        down: &mut Down<'_>,
        sum: &mut Sum,
        going: &mut Going<'_>,
    ) -> Result<End, Fault> {
        let Desk {
            head,
            answer,
            replay,
            alarm,
            prefilled: _,
            switch: _,
        } = desk;
        let version = head.version;
        let first = match (self.times.total, self.times.attempt) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let mut link = acquire(self.cx, self.cluster, self.endpoint, self.want(version), first).await?;
        if let Some(capture) = &mut sum.capture {
            let opened = match &mut link {
                Ok(conn) => conn.opened.take(),
                Err(link) => link.opened.lock().take(),
            };
            capture.reused = opened.is_none();
            // Looking at the clock costs as much as taking a connection that is there.
            capture.times.connected = match capture.reused {
                true => capture.times.chosen,
                false => Some(capture.since()),
            };
            capture.times.dial = opened.map(|o| o.dial);
            capture.times.upstream_handshake = opened.and_then(|o| o.handshake);
            capture.flow.set_stage(Stage::Waiting);
        }
        let upgrade = self.asked.upgrade.as_deref();
        if let (Some(protocol), Ok(_)) = (upgrade, &link) {
            switch::for_h1(head, protocol);
        }
        let web = self
            .asked
            .web
            .as_ref()
            .filter(|_| self.cluster.plan.protocol == UpstreamProtocol::Http2);
        let framing = match web {
            Some(kind) => grpc_web::request(head, kind, self.framing),
            None => self.framing,
        };
        let wants_trailers = self.asked.hop.trailers || web.is_some();
        let mut up = Up::send_request(link, head, framing, upgrade, wants_trailers).await?;
        sum.reused = up.is_reused();
        let request_watch = sum.capture.as_deref_mut().map(|capture| {
            capture.request.restart();
            &mut capture.request as &mut dyn Watch
        });
        let mut exchange = Exchange {
            down,
            up: &mut up,
            replay,
            replay_most: self.way.route.retry.body,
            alarm,
            times: self.times,
            watches: Watches {
                request: request_watch,
                response: None,
            },
            body_most: self.stand.plan.bounds.body,
            request: Pumped::default(),
            response: Pumped::default(),
            request_done: false,
            write_failed: None,
            scan: Scan::default(),
            interims: 0,
            kept: None,
            web: None,
        };
        exchange.arm(true);
        let framing = loop {
            let heard = poll_fn(|cx| exchange.poll_head(cx, answer, head.method())).await;
            match heard {
                Ok((Heard::Final, framing)) => break framing,
                Ok((Heard::Interim, _)) => {
                    rules::strip_response(&mut answer.fields);
                    exchange.down.send_interim(answer, version);
                }
                Err(fault) => {
                    sum.request_bytes = exchange.request.bytes;
                    up.cancel();
                    return Err(fault);
                }
            }
        };
        let exchange_request = (exchange.request, exchange.request_done);
        let exchange_failed = exchange.write_failed.take();
        let interims = exchange.interims;
        let Exchange { mut times, .. } = exchange;
        if let Some(capture) = &mut sum.capture {
            capture.times.first_byte = Some(capture.since());
            capture.response.is_there = !up.front().is_empty();
        }
        let hop = rules::strip_response(&mut answer.fields);
        let stays = keeps(answer, hop);
        if matches!(answer.status, 429 | 503) {
            let wait = answer.fields.first(Known::RetryAfter).and_then(seconds);
            going.sent.refused(wait);
        }
        let is_grpc = answer.fields.first(Known::ContentType).is_some_and(class::is_grpc);
        if !is_grpc {
            going.answered(answer.status, None);
        }
        if answer.status >= 500 {
            self.endpoint.failed();
        }
        if self.way.route.retry.policy.attempts > 0 {
            // Only an answer without a body says its code of gRPC in the head.
            let code = grpc_status(answer.fields.first(Known::GrpcStatus)).filter(|_| framing == Framing::None);
            let ended = match code {
                Some(code) => Ended::Grpc(GrpcCode(code)),
                None => Ended::Status(answer.status),
            };
            let chance = Chance {
                cx: self.cx,
                way: self.way,
                total: self.times.total,
                tries: self.tries,
                begun: sum.started,
            };
            match chance.another(ended, head.method(), replay) {
                Ok(wait) => {
                    if is_grpc {
                        going.answered(answer.status, code);
                    }
                    sum.status = answer.status;
                    sum.grpc = code;
                    up.cancel();
                    return Ok(End::Again(wait));
                }
                Err(why) => self.way.stats.not_again(why),
            }
        }
        let switches = match switch::switches(head, answer, upgrade, matches!(up, Up::H2(_))) {
            Ok(switches) => switches,
            Err(fault) => {
                up.cancel();
                return Err(fault);
            }
        };
        let framing = match (switches, version) {
            (false, _) => framing,
            (true, Version::Http2) => Framing::UntilClose,
            (true, _) => Framing::None,
        };
        if !self.lane.response_headers.is_empty() {
            self.lane.response_headers.apply(&mut answer.fields);
        }
        if !self.way.route.response_headers.is_empty() {
            self.way.route.response_headers.apply(&mut answer.fields);
        }
        let (mut framing, mut kept) = (framing, None);
        if self.cx.shared.holds.any() && self.cx.again.is_none() && !switches {
            let route = &self.way.route.name;
            let held = hold::answer(self.cx, route, head, answer, (down, &mut up), framing, sum);
            if let Some((then, body, took)) = Box::pin(held).await? {
                framing = then;
                kept = Some(body);
                times.total = times.total.map(|t| t + took);
                times.now = Instant::now();
            }
        }
        let is_web = web.is_some() && grpc_web::answer(answer);
        if is_web && framing != Framing::None {
            framing = Framing::Chunked;
        }
        let keep = self.asked.keep && !self.cx.entry.is_draining();
        let out = Outgoing {
            framing,
            version,
            keep,
            is_head: head.method() == b"HEAD",
            upgrade: upgrade.filter(|_| switches),
        };
        sum.status = answer.status;
        sum.started = true;
        if let Some(capture) = &mut sum.capture {
            capture.answered(answer);
        }
        down.send_head(answer, out)?;
        let in_headers = grpc_status(answer.fields.first(Known::GrpcStatus));
        let status = answer.status;
        let (request_watch, response_watch) = match sum.capture.as_deref_mut() {
            Some(capture) => (
                Some(&mut capture.request as &mut dyn Watch),
                Some(&mut capture.response as &mut dyn Watch),
            ),
            None => (None, None),
        };
        let mut listening = Listening {
            going,
            grpc: in_headers,
            next: response_watch,
        };
        let mut exchange = Exchange {
            down,
            up: &mut up,
            replay,
            replay_most: match self.way.copies.is_empty() {
                true => 0,
                false => self.way.route.retry.body,
            },
            alarm,
            times,
            watches: Watches {
                request: request_watch,
                response: Some(&mut listening),
            },
            body_most: self.stand.plan.bounds.body,
            request: exchange_request.0,
            response: Pumped::default(),
            request_done: exchange_request.1,
            write_failed: exchange_failed,
            scan: Scan::default(),
            interims,
            kept,
            web: is_web.then(grpc_web::Web::default),
        };
        // What was kept to be sent again is not needed any more, but what was not sent yet is.
        exchange.arm(false);
        let result = match switches {
            true => {
                match exchange.down {
                    Down::H1(side) => side.tunnel(),
                    Down::H2(stream) => stream.body.receive(stream.later.take()),
                }
                match exchange.up {
                    Up::H1(conn) => conn.side.tunnel(),
                    Up::H2(stream) => stream.body.send = stream.later.take(),
                }
                exchange.request_done = false;
                exchange.request.ended = false;
                self.cx.shared.meter.tunnel(self.cx.worker);
                poll_fn(|cx| exchange.poll_tunnel(cx)).await
            }
            false => poll_fn(|cx| exchange.poll_bodies(cx)).await,
        };
        if result.is_ok() && !exchange.request_done && keep && stays && matches!(exchange.down, Down::H1(_)) {
            // The upstream has answered early and goes on reading, so both connections can be used again.
            let _ = tokio::time::timeout(LATE, poll_fn(|cx| exchange.poll_rest(cx))).await;
        }
        let of_web = exchange.web.take().and_then(|web| web.status);
        let done = exchange.request_done;
        let failed = exchange.write_failed.is_some();
        sum.request_bytes = exchange.request.bytes;
        sum.response_bytes = exchange.response.bytes;
        listening.grpc = of_web.or(listening.grpc);
        if is_grpc && result.is_ok() {
            let code = listening.grpc.unwrap_or_else(|| GrpcCode::of_http(status).0);
            listening.going.answered(status, Some(code));
            sum.grpc = Some(code);
        }
        if let Err(fault) = result {
            up.cancel();
            return Err(fault);
        }
        if switches {
            return Ok(End::Done(After::Close));
        }
        match up {
            Up::H1(conn) => {
                let side = &conn.side;
                let whole = done && !failed && side.said_all() && side.decoder.is_over();
                if stays && whole && side.conn.rbuf.is_empty() && self.cluster.plan.is_shared() {
                    let most = self.cluster.plan.idle;
                    self.endpoint.checkin(self.cx.worker, conn, most, Instant::now());
                }
            }
            Up::H2(stream) => {
                if !stream.body.is_over() {
                    Up::H2(stream).cancel();
                }
            }
        }
        let after = match (&*down, keep && done) {
            (Down::H1(side), true) if side.decoder.is_over() && side.encoder != Encoder::Raw => After::Keep,
            (Down::H2(_), _) => After::Keep,
            _ => After::Close,
        };
        Ok(End::Done(after))
    }
}

/// Hears an answer's body: the first of it, and the status of gRPC in the end.
struct Listening<'a, 'g> {
    going: &'a mut Going<'g>,
    grpc: Option<u16>,
    next: Option<&'a mut dyn Watch>,
}

impl Watch for Listening<'_, '_> {
    fn data(&mut self, data: &[u8]) {
        self.going.sent.settle();
        if let Some(next) = &mut self.next {
            next.data(data);
        }
    }

    fn trailers(&mut self, trailers: Option<&Fields>) {
        self.going.sent.settle();
        if let Some(status) = trailers.and_then(|t| grpc_status(t.first(Known::GrpcStatus))) {
            self.grpc = Some(status);
        }
        if let Some(next) = &mut self.next {
            next.trailers(trailers);
        }
    }
}

fn grpc_status(value: Option<&[u8]>) -> Option<u16> {
    GrpcCode::parse(value?).map(|code| code.0)
}

/// `Retry-After` in seconds; dates are not read.
fn seconds(value: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?;
    text.parse::<u32>().ok().map(|s| Duration::from_secs(u64::from(s)))
}
