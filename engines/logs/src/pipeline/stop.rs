//! The orderly end of a pipeline, and the forced one.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use qd_core::Severity;
use tokio::time::{Instant as Deadline, timeout_at};

use super::{Core, Status};
use crate::{StopReport, snapshot::State};

/// Stops all sources, lets everything behind them drain, and cuts off what is left at the deadline. Sources have half of
/// that time, so that one which does not end leaves the sinks theirs.
pub(super) async fn stop(core: &Arc<Core>, deadline: Duration) -> StopReport {
    let begun = Instant::now();
    if !core.stopping.swap(true, Ordering::AcqRel) {
        core.changed.notify_one();
        // A reload under way comes to its end first, or it would start what nobody stops.
        let reload = tokio::time::timeout(deadline / 2, core.reloading.lock()).await;
        let end = Deadline::now() + deadline;
        let half = Deadline::now() + deadline / 2;
        let mut sources = Vec::new();
        for source in core.running.lock().sources.values() {
            let _ended_already = source.shutdown.send(true);
            sources.push((source.ended.clone(), source.abort.clone()));
        }
        for (mut ended, abort) in sources {
            if timeout_at(half, ended.wait_for(|e| *e)).await.is_err() {
                abort.abort();
            }
        }
        let mut live = core.live.subscribe();
        if timeout_at(end, live.wait_for(|n| *n == 0)).await.is_err() {
            cut_off(core);
        }
        drop(reload);
        core.report.lock().took = begun.elapsed();
        core.live.send_modify(|_| {});
    }
    let mut status = core.status.subscribe();
    match status.wait_for(|s| matches!(s, Status::Ended(..))).await.as_deref() {
        Ok(Status::Ended(_, report)) => report.clone(),
        _ => core.report.lock().clone(),
    }
}

fn cut_off(core: &Arc<Core>) {
    // Before anything is dropped: what is dropped from now on is not delivered.
    qd_logs_model::component::abort(&core.aborted);
    let mut report = StopReport::default();
    let running = core.running.lock();
    for (id, source) in &running.sources {
        if !*source.ended.borrow() {
            report.late.push(id.to_string());
        }
    }
    let draining = running.draining.iter().map(|(id, s)| (id, s));
    for (id, sink) in running.sinks.iter().chain(draining) {
        qd_logs_model::component::abort(&sink.control.aborted);
        if *sink.ended.borrow() {
            continue;
        }
        *sink.state.lock() = State::Failed;
        report.late.push(id.to_string());
        let fill = sink.probe.fill();
        let held = sink.control.unfinished.load(Ordering::Acquire);
        // What came from a disk stage is on disk until it is finished.
        let held = if fill.has_disk { 0 } else { held };
        let lost = held + fill.events.saturating_sub(fill.on_disk);
        if lost > 0 {
            report.lost.push((id.to_string(), lost));
            sink.telemetry
                .discarded(lost, qd_logs_model::telemetry::Intent::Unintended);
        }
        if fill.on_disk > 0 {
            report.kept.push((id.to_string(), fill.on_disk));
        }
    }
    let message = format!(
        "the deadline of the shutdown has passed with {} still at work: {} events are not delivered",
        report.late.join(", "),
        report.lost_events()
    );
    *core.report.lock() = report;
    core.say(Severity::Error, "", message);
    for source in running.sources.values() {
        source.abort.abort();
    }
    for sink in running.sinks.values().chain(running.draining.iter().map(|(_, s)| s)) {
        sink.abort.abort();
    }
}
