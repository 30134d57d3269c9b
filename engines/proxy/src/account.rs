//! What is written down of a request when it is over.

use std::sync::Arc;

use qd_proxy_wire::RequestHead;
use tokio::time::Instant;

use crate::{
    access::Line,
    cluster::Endpoint,
    fault::Fault,
    forward::{ConnCx, Sum},
    meter::Measured,
    shared::Stand,
    stats::Ended,
};

/// An attempt that is not the last: another one follows.
pub(crate) fn again(sum: &mut Sum, endpoint: &Arc<Endpoint>, fault: Option<&Fault>) {
    let ended = Ended {
        status: fault.map_or(sum.status, Fault::status),
        grpc: sum.grpc.take(),
        faulty: fault.is_some(),
        took: sum.sent_at.map(|at| at.elapsed()).unwrap_or_default(),
    };
    endpoint.stats.begin();
    endpoint.stats.over(&ended);
    if let Some(way) = &sum.way {
        way.stats.again(&ended);
    }
}

/// A request is over.
pub(crate) fn over(cx: &ConnCx, stand: &Stand, sum: &mut Sum, fault: Option<&Fault>, begun: Instant, end: Instant) {
    let ended = Ended {
        status: sum.status,
        grpc: sum.grpc,
        faulty: fault.is_some(),
        took: end - begun,
    };
    let stats = sum.way.as_ref().map_or(&cx.slot.unrouted, |way| &way.stats);
    stats.over(&ended, sum.attempts);
    match &sum.counted {
        Some(counted) => ended.tell(counted),
        None => {
            // No name of a host is believed that led nowhere.
            let counted = stats.counted(&cx.shared.metrics, b"", cx.tls);
            counted.begin();
            ended.tell(&counted);
        }
    }
    if let Some(endpoint) = &sum.endpoint {
        let since = sum.sent_at.unwrap_or(begun);
        endpoint.stats.begin();
        endpoint.stats.over(&Ended {
            took: end - since,
            ..ended
        });
    }
    if let Some(fault) = fault {
        if matches!(fault, Fault::Timeout | Fault::AttemptTimeout | Fault::Idle) {
            stats.timed_out();
        }
        let endpoint = sum.endpoint.as_ref().map(|e| &e.name);
        let at = cx.shared.clock.now().wall;
        cx.shared.errors.add(fault, at, Some(&stats.name), endpoint);
    }
    if let Some(told) = sum.told.take() {
        let at = cx.shared.clock.now().wall.before(end - begun);
        stand.tellers.end(
            &told,
            &Line {
                at,
                took: end - begun,
                client: cx.peer.map(|p| p.ip()),
                tls: cx.tls,
                cause: fault.map(Fault::word),
                failed: ended.class() == qd_proxy_policy::Class::Failure,
                sum,
            },
        );
    }
    cx.shared.meter.request(
        cx.worker,
        &Measured {
            status: sum.status,
            faulty: fault.is_some(),
            attempts: sum.attempts,
            reused: sum.reused,
            request_bytes: sum.request_bytes,
            response_bytes: sum.response_bytes,
            took: end - begun,
        },
    );
}

/// A request was refused before it was understood.
pub(crate) fn refused(cx: &ConnCx, fault: &Fault, begun: Instant) {
    let stand = cx.slot.stand.load_full();
    let mut sum = Sum {
        status: fault.status(),
        // Nothing of it can be believed, but that it came.
        told: stand.tellers.begin(&RequestHead::default()),
        ..Sum::default()
    };
    over(cx, &stand, &mut sum, Some(fault), begun, Instant::now());
}
