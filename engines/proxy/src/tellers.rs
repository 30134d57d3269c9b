//! Who is told of each request beside the counters: a collector of spans, an access log.

/// Nobody, or those of the plan.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tellers {}
