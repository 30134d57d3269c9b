//! A flow as filters, exports and panes know it.

use std::time::UNIX_EPOCH;

use qd_core::Timestamp;
use qd_proxy_policy::class;
use qd_proxy_telemetry::{
    Flow as Told, Message,
    flow::{Notes, Spoken},
};
use qd_proxy_wire::{Fields, Known};

use crate::tap::{Body, Flow};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn lines(fields: &Fields) -> Vec<(String, Vec<u8>)> {
    fields.iter().map(|(n, v)| (text(n), v.to_vec())).collect()
}

fn message(fields: &Fields, body: &Body) -> Message {
    Message {
        headers: lines(fields),
        trailers: body.trailers.as_deref().map(lines).unwrap_or_default(),
        body: body.data.clone(),
        size: body.length,
    }
}

impl Flow {
    /// The flow with owned texts, that filters and exports take.
    pub fn told(&self) -> Told {
        let at = self.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let is_grpc = self
            .request
            .fields
            .first(Known::ContentType)
            .is_some_and(class::is_grpc);
        let grpc = self.grpc_status().map(qd_proxy_policy::GrpcCode);
        let failed = match grpc {
            Some(code) if is_grpc => code.class(),
            _ if self.fault.is_some() && self.status == 0 => class::Class::Failure,
            _ => class::of_http(self.status),
        };
        Told {
            id: self.id,
            started: Timestamp(i64::try_from(at.as_nanos()).unwrap_or(i64::MAX)),
            spoken: match (self.status, self.version) {
                (101, _) => Spoken::WebSocket,
                (_, "HTTP/2.0") => Spoken::Http2,
                _ => Spoken::Http1,
            },
            method: text(self.request.method()),
            scheme: if self.tls { "https" } else { "http" }.to_owned(),
            host: self.request.host().map(text).unwrap_or_default(),
            path: text(self.request.target()),
            request: message(&self.request.fields, &self.request_body),
            status: (self.status > 0).then_some(self.status),
            response: message(&self.response.fields, &self.response_body),
            duration: Some(self.timings.end),
            route: self.route.as_deref().unwrap_or_default().to_owned(),
            endpoint: self.endpoint.as_deref().unwrap_or_default().to_owned(),
            grpc,
            class: Some(failed),
            retries: self.attempts.saturating_sub(1),
            tls: self.tls.then(|| "yes".to_owned()),
            src: self.client,
            error: self
                .fault
                .as_ref()
                .map(|(word, _)| (*word).to_owned())
                .unwrap_or_default(),
            notes: Notes::default(),
            texts: Default::default(),
        }
    }
}
