//! Who is told of each request beside the counters: an access log, a collector of spans.
//!
//! Both are bounded queues: what does not fit is dropped and counted, and no request waits for a disk or a collector. Where
//! nobody is told, nothing of a request is kept for them.

use std::sync::Arc;

use qd_proxy_telemetry::TraceContext;
use qd_proxy_wire::{Known, RequestHead};

use serde_json::Value;

use crate::{
    access::{self, AccessFile, Line},
    plan::Plan,
    spans::{Span, Tracer},
};

/// The longest text of a client that goes into a span, in characters.
const LONGEST: usize = 1_024;

/// Nobody, or those of the plan.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tellers {
    pub(crate) log: Option<Arc<AccessFile>>,
    pub(crate) tracer: Option<Arc<Tracer>>,
}

/// What is told of a request's head, as it came.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) host: String,
    pub(crate) version: &'static str,
    pub(crate) agent: Option<String>,
    pub(crate) referrer: Option<String>,
    /// The span of this request, and its parent's.
    pub(crate) span: Option<(TraceContext, Option<[u8; 8]>)>,
}

impl Tellers {
    /// Those of a plan; what is as before goes on.
    pub(crate) fn new(plan: &Plan, before: &Tellers) -> Result<Tellers, crate::access::AccessError> {
        let log = match (&plan.access_log, &before.log) {
            (None, _) => None,
            (Some(plan), Some(log)) if log.plan == *plan => Some(Arc::clone(log)),
            (Some(plan), _) => Some(AccessFile::open(plan)?),
        };
        let tracer = match (&plan.tracing, &before.tracer) {
            (None, _) => None,
            (Some(plan), Some(tracer)) if tracer.plan == *plan => Some(Arc::clone(tracer)),
            (Some(plan), _) => Some(Arc::new(Tracer::new(plan))),
        };
        Ok(Tellers { log, tracer })
    }

    /// Tells of a request that is over.
    pub(crate) fn end(&self, told: &Told, line: &Line<'_>) {
        if let Some(log) = &self.log {
            log.offer(access::line(log.plan.format, told, line));
        }
        if let (Some(tracer), Some((context, parent))) = (&self.tracer, &told.span)
            && context.sampled
        {
            let sum = line.sum;
            let text = |t: &str| Value::from(t.chars().take(LONGEST).collect::<String>());
            let mut attributes = vec![
                ("http.request.method", text(&told.method)),
                ("url.path", text(told.target.split('?').next().unwrap_or_default())),
                ("server.address", text(&told.host)),
                ("http.response.status_code", Value::from(sum.status)),
                ("http.request.body.size", Value::from(sum.request_bytes)),
                ("http.response.body.size", Value::from(sum.response_bytes)),
                ("http.request.resend_count", Value::from(sum.attempts.saturating_sub(1))),
            ];
            let more = [
                ("http.route", sum.way.as_ref().map(|w| Value::from(&*w.route.name))),
                ("upstream.address", sum.endpoint.as_ref().map(|e| Value::from(&*e.name))),
                (
                    "client.address",
                    line.client.map(|c| Value::from(c.to_canonical().to_string())),
                ),
                ("rpc.grpc.status_code", sum.grpc.map(Value::from)),
                ("error.type", line.cause.map(Value::from)),
                ("user_agent.original", told.agent.as_deref().map(text)),
            ];
            attributes.extend(more.into_iter().filter_map(|(key, value)| Some((key, value?))));
            let route = sum.way.as_ref().map_or("-", |w| &w.route.name);
            tracer.offer(Span {
                context: context.clone(),
                parent: *parent,
                name: format!("{} {route}", told.method.chars().take(32).collect::<String>()),
                begun: line.at,
                took: line.took,
                failed: line.failed,
                attributes,
            });
        }
    }

    /// What will be told of a request, if anybody is.
    pub(crate) fn begin(&self, head: &RequestHead) -> Option<Box<Told>> {
        if self.log.is_none() && self.tracer.is_none() {
            return None;
        }
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        let field = |name: &[u8]| head.fields.get(name).map(text);
        Some(Box::new(Told {
            method: text(head.method()),
            target: text(head.target()),
            host: head.fields.first(Known::Host).map(text).unwrap_or_default(),
            version: head.version.name(),
            agent: field(b"user-agent"),
            referrer: field(b"referer"),
            span: None,
        }))
    }
}
