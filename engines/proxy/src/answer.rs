//! Answers that are made here: errors with their cause, redirects, short texts.

use std::future::poll_fn;

use bytes::Bytes;
use qd_proxy_wire::{Framing, Known, RequestHead, ResponseHead, Version, head::reason};

use crate::{
    exchange::{Down, Outgoing},
    fault::{CAUSE, Fault},
    forward::{After, is_value},
    plan::Action,
    router,
    side::{Broken, Filled, Sink, Source},
};

/// What the client asked and speaks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) is_grpc: bool,
    pub(crate) is_head: bool,
    pub(crate) version: Version,
    pub(crate) keep: bool,
}

impl Kind {
    pub(crate) fn of(head: &RequestHead, keep: bool) -> Kind {
        Kind {
            is_grpc: false,
            is_head: head.method() == b"HEAD",
            version: head.version,
            keep,
        }
    }
}

/// A text as a source.
struct Text(Bytes);

impl Source for Text {
    fn poll_fill(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<Filled, Broken>> {
        std::task::Poll::Ready(Ok(match self.0.len() {
            0 => Filled::End(None),
            n => Filled::Data(n),
        }))
    }
    fn front(&self) -> &[u8] {
        &self.0
    }
    fn consume(&mut self, n: usize) {
        let _ = self.take(n);
    }
    fn take(&mut self, n: usize) -> Bytes {
        self.0.split_to(n.min(self.0.len()))
    }
}

async fn send(down: &mut Down<'_>, head: &mut ResponseHead, body: Bytes, kind: Kind) -> After {
    // A body that was not read stands before the next request.
    let unread = match down {
        Down::H1(side) => !side.decoder.is_over(),
        Down::H2(_) => false,
    };
    let keep = kind.keep && !unread;
    let bodiless = matches!(head.status, 204 | 304);
    let framing = match body.len() {
        0 => Framing::None,
        _ if bodiless => Framing::None,
        n => Framing::Length(n as u64),
    };
    if let Framing::Length(n) = framing {
        head.fields.push(b"content-length", n.to_string().as_bytes());
    }
    let out = Outgoing {
        framing: if kind.is_head { Framing::None } else { framing },
        version: kind.version,
        keep,
        is_head: kind.is_head,
        upgrade: None,
    };
    if down.send_head(head, out).is_err() {
        return After::Close;
    }
    let mut text = Text(if out.framing == Framing::None {
        Bytes::new()
    } else {
        body
    });
    let mut pumped = crate::side::Pumped::default();
    let sent = poll_fn(|cx| match out.framing {
        Framing::None => down.poll_flush(cx).map(|r| r.is_ok()),
        _ => crate::side::poll_pump(cx, &mut text, down, &mut pumped, None).map(|r| r.is_ok()),
    })
    .await;
    match (sent, keep, &down) {
        (true, true, _) | (true, _, Down::H2(_)) => After::Keep,
        _ => After::Close,
    }
}

/// Tells the client what kept its request from an answer.
pub(crate) async fn fault(down: &mut Down<'_>, fault: &Fault, kind: Kind) -> After {
    let text = fault.to_string();
    if kind.is_grpc {
        let mut head = ResponseHead::new(200);
        head.fields.push(b"content-type", b"application/grpc");
        head.fields.push(b"grpc-status", fault.grpc().to_string().as_bytes());
        head.fields.push(b"grpc-message", percent(&text).as_bytes());
        head.fields.push(CAUSE, fault.word().as_bytes());
        return send(down, &mut head, Bytes::new(), kind).await;
    }
    let mut head = ResponseHead::new(fault.status());
    head.fields.push(b"content-type", b"text/plain; charset=utf-8");
    head.fields.push(CAUSE, fault.word().as_bytes());
    if let Fault::RateLimited(_, wait) = fault {
        let seconds = wait.as_secs_f64().ceil().max(1.0);
        head.fields.push(b"retry-after", format!("{seconds:.0}").as_bytes());
    }
    // Where the upstream is is nobody's business but the operator's, who has the records.
    let body = match fault {
        Fault::Head(_) | Fault::Body(_) | Fault::Request(_) | Fault::Translate(_) | Fault::Untrusted(_) => {
            format!("{text}\n")
        }
        other => format!("{}: {}\n", reason(other.status()), other.word()),
    };
    send(down, &mut head, Bytes::from(body), kind).await
}

/// As gRPC wants its messages.
fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        match b {
            b'%' | 0..=0x1f | 0x7f.. => out.push_str(&format!("%{b:02X}")),
            b => out.push(char::from(b)),
        }
    }
    out
}

/// Answers with a text.
pub(crate) async fn text(down: &mut Down<'_>, status: u16, body: &str, kind: Kind) -> After {
    let mut head = ResponseHead::new(status);
    if !body.is_empty() {
        head.fields.push(b"content-type", b"text/plain; charset=utf-8");
    }
    send(down, &mut head, Bytes::copy_from_slice(body.as_bytes()), kind).await
}

/// Tells the client to go elsewhere.
pub(crate) async fn redirect(down: &mut Down<'_>, status: u16, location: &str, kind: Kind) -> After {
    let mut head = ResponseHead::new(status);
    if is_value(location) {
        head.fields.push(b"location", location.as_bytes());
    }
    send(down, &mut head, Bytes::new(), kind).await
}

/// Where a redirect leads.
pub(crate) fn location(action: &Action, prefix: usize, head: &RequestHead, tls: bool) -> (u16, String) {
    let Action::Redirect {
        status,
        scheme,
        host,
        port,
        path,
    } = action
    else {
        return (500, String::new());
    };
    let scheme = scheme.as_deref().unwrap_or(if tls { "https" } else { "http" });
    let own = head.fields.first(Known::Host).unwrap_or_default();
    let own = String::from_utf8_lossy(match (host, port) {
        (None, None) => own,
        _ => router::bare_host(own),
    });
    let host = host.as_deref().unwrap_or(&own);
    let port = port.map(|p| format!(":{p}")).unwrap_or_default();
    let target = match path {
        Some(edit) => router::edit_path(edit, prefix, head),
        None => head.target().to_vec(),
    };
    (
        *status,
        format!("{scheme}://{host}{port}{}", String::from_utf8_lossy(&target)),
    )
}
