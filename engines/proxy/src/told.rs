//! A flow as filters, exports and panes know it.

use std::time::UNIX_EPOCH;

use qd_core::Timestamp;
use qd_proxy_policy::class;
use qd_proxy_telemetry::{
    Flow as Told, Message,
    flow::{Notes, Spoken},
};
use qd_proxy_wire::{Fields, Known};

use crate::flow::{Body, Flow};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn lines(fields: &Fields) -> Vec<(String, Vec<u8>)> {
    fields.iter().map(|(n, v)| (text(n), v.to_vec())).collect()
}

fn message(head: Option<&Fields>, trailers: Option<&Fields>, body: Option<&Body>) -> Message {
    Message {
        headers: head.map(lines).unwrap_or_default(),
        trailers: trailers.map(lines).unwrap_or_default(),
        body: body.map(|b| b.data.clone()).unwrap_or_default(),
        size: body.map_or(0, |b| b.length),
    }
}

impl Flow {
    /// The flow as far as it is, with owned texts, that filters and exports take. What is secret in heads is covered.
    pub fn told(&self) -> Told {
        let at = self.at().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (request, end) = (self.request(), self.end());
        let is_grpc = request.fields.first(Known::ContentType).is_some_and(class::is_grpc);
        let grpc = self.grpc_status().map(qd_proxy_policy::GrpcCode);
        let fault = end.and_then(|e| e.fault.as_ref());
        let name = |name: Option<&std::sync::Arc<str>>| name.map(|n| n.to_string()).unwrap_or_default();
        let class = end.map(|end| match grpc {
            Some(code) if is_grpc => code.class(),
            _ if fault.is_some() && end.status == 0 => class::Class::Failure,
            _ if end.status == 0 => class::Class::Success,
            _ => class::of_http(end.status),
        });
        Told {
            id: self.id,
            started: Timestamp(i64::try_from(at.as_nanos()).unwrap_or(i64::MAX)),
            spoken: match (self.status(), self.version) {
                (_, "TCP") => Spoken::Tcp,
                (Some(101), _) => Spoken::WebSocket,
                (_, "HTTP/2.0") => Spoken::Http2,
                _ => Spoken::Http1,
            },
            method: text(request.method()),
            scheme: if self.tls { "https" } else { "http" }.to_owned(),
            host: request.host().map(text).unwrap_or_default(),
            path: text(request.target()),
            request: message(
                Some(&request.fields),
                self.request_trailers(),
                end.map(|e| &e.request_body),
            ),
            status: self.status(),
            response: message(
                self.response().map(|r| &r.fields),
                self.response_trailers(),
                end.map(|e| &e.response_body),
            ),
            duration: end.map(|e| e.timings.end),
            route: name(end.and_then(|e| e.route.as_ref())),
            endpoint: name(end.and_then(|e| e.endpoint.as_ref())),
            grpc,
            class,
            retries: end.map_or(0, |e| e.attempts.saturating_sub(1)),
            tls: self.tls.then(|| "yes".to_owned()),
            src: self.client,
            error: fault.map(|(word, _)| (*word).to_owned()).unwrap_or_default(),
            notes: Notes {
                replay: self.replay_of.is_some(),
                ..Notes::default()
            },
            texts: Default::default(),
        }
    }
}
