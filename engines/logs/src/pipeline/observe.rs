//! Snapshots and taps of a running pipeline.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use qd_logs_model::{Labels, telemetry::Reading};

use super::{Core, RunningSink, Status};
use crate::{
    Snapshot,
    graph::Port,
    snapshot::{BufferFill, ComponentSnapshot, EdgeSnapshot, Kind, State},
};

/// Counters of one component that it keeps itself.
#[derive(Default)]
struct Own {
    received: u64,
    received_bytes: u64,
    sent: u64,
    sent_bytes: u64,
    errors: u64,
    discarded: u64,
    lost: u64,
}

fn own_counters(all: Vec<(&'static str, Labels, Reading)>) -> HashMap<String, Own> {
    let mut by_id: HashMap<String, Own> = HashMap::new();
    for (name, labels, reading) in all {
        let (Reading::Counter(n), Some(id)) = (reading, labels.get("component_id")) else {
            continue;
        };
        if n == 0 {
            continue;
        }
        if !by_id.contains_key(id) {
            by_id.insert(id.clone(), Own::default());
        }
        let Some(own) = by_id.get_mut(id) else { continue };
        let slot = match name {
            "component_received_events_total" => &mut own.received,
            "component_received_event_bytes_total" => &mut own.received_bytes,
            "component_sent_events_total" => &mut own.sent,
            "component_sent_event_bytes_total" => &mut own.sent_bytes,
            "component_errors_total" => &mut own.errors,
            "component_discarded_events_total" if labels.get("intentional").is_some_and(|i| i == "true") => {
                &mut own.discarded
            }
            "component_discarded_events_total" => &mut own.lost,
            _ => continue,
        };
        *slot += n;
    }
    by_id
}

impl Core {
    /// Takes a snapshot and publishes it.
    pub(crate) fn observe(&self) {
        let own = own_counters(self.options.telemetry.read());
        let mut troubles = self.options.telemetry.troubles();
        let plan = self.plan.lock().clone();
        let now = Instant::now();
        let mut before = self.before.lock();
        let mut before_at = self.before_at.lock();
        let span = now.duration_since(*before_at).as_secs_f64();
        // Rates over less than a tenth of a second are noise; then the old ones stay.
        let old = self.snapshot.load();
        let fresh = span >= 0.1;
        let mut seen = HashMap::new();
        let nothing = Own::default();
        let mut component = |id: &Arc<str>, kind: Kind, ty: &str, state: State| {
            let own = own.get(&**id).unwrap_or(&nothing);
            let events_in = match kind {
                Kind::Source if own.received == 0 => own.sent,
                _ => own.received,
            };
            let (mut rate_in, mut rate_out) = (0.0, 0.0);
            if fresh {
                if let Some((i, o)) = before.get(id) {
                    rate_in = events_in.saturating_sub(*i) as f64 / span;
                    rate_out = own.sent.saturating_sub(*o) as f64 / span;
                }
                seen.insert(id.clone(), (events_in, own.sent));
            } else if let Some(c) = old.component(id) {
                (rate_in, rate_out) = (c.rate_in, c.rate_out);
            }
            ComponentSnapshot {
                id: id.clone(),
                kind,
                ty: ty.to_owned(),
                state,
                events_in,
                events_out: own.sent,
                bytes_in: own.received_bytes,
                bytes_out: own.sent_bytes,
                rate_in,
                rate_out,
                errors: own.errors,
                discarded: own.discarded,
                lost: own.lost,
                utilization: None,
                buffer: None,
                trouble: troubles.remove(&**id),
                outputs: Vec::new(),
            }
        };
        let mut components = Vec::new();
        let running = self.running.lock();
        for (id, s) in &running.sources {
            let ty = plan.sources.get(id).map_or("", |p| &p.common.kind);
            let mut c = component(id, Kind::Source, ty, *s.state.lock());
            c.outputs = s.ports.iter().map(|p| (p.id.port.clone(), p.events.get())).collect();
            components.push(c);
        }
        for id in plan.transforms.keys() {
            let Some(node) = running.transforms.get(id) else {
                continue;
            };
            let ty = plan.transforms.get(id).map_or("", |p| &p.common.kind);
            let state = if node.has_finished() {
                State::Ended
            } else {
                State::Running
            };
            let mut c = component(id, Kind::Transform, ty, state);
            c.utilization = Some(node.busy.utilization());
            c.outputs = node.ports.iter().map(|p| (p.id.port.clone(), p.events.get())).collect();
            components.push(c);
        }
        for (id, s) in &running.sinks {
            let ty = plan.sinks.get(id).map_or("", |p| &p.common.kind);
            let mut c = component(id, Kind::Sink, ty, sink_state(s));
            c.utilization = Some(s.control.busy.utilization());
            let mut buffer = BufferFill {
                unfinished: s.control.unfinished.load(Ordering::Relaxed),
                ..BufferFill::default()
            };
            let fill = s.probe.fill();
            buffer.events = fill.events;
            buffer.bytes = fill.bytes;
            buffer.on_disk = fill.on_disk;
            buffer.dropped = s.probe.dropped();
            c.buffer = Some(buffer);
            components.push(c);
        }
        drop(running);
        if fresh {
            *before = seen;
            *before_at = now;
        }
        let edges = plan
            .transforms
            .iter()
            .map(|(id, t)| (id, &t.inputs))
            .chain(plan.sinks.iter().map(|(id, s)| (id, &s.inputs)))
            .flat_map(|(id, inputs)| {
                inputs.iter().map(move |i| EdgeSnapshot {
                    from: i.component.clone(),
                    output: i.port.clone(),
                    to: id.clone(),
                })
            })
            .collect();
        drop((before, before_at));
        self.snapshot.publish(Snapshot {
            components,
            edges,
            reloads: self.reloads.load(Ordering::Relaxed),
            taps: self.tap_count.load(Ordering::Relaxed),
            stopping: self.is_stopping(),
            at: now,
        });
    }

    /// Tells every output which taps look at it.
    pub(crate) fn attach_taps(&self) {
        let rings: Vec<_> = self.taps.lock().iter().filter_map(std::sync::Weak::upgrade).collect();
        let graph = self.graph.read();
        let attach = |port: &Port| {
            let feeds = graph.feeds(port);
            let wanted: Vec<_> = rings
                .iter()
                .filter(|r| r.wants(&port.meter.id, &feeds))
                .cloned()
                .collect();
            port.meter.taps.store((!wanted.is_empty()).then(|| Arc::new(wanted)));
        };
        graph.ports().for_each(attach);
    }

    /// Takes snapshots now and then, and notices the end.
    pub(super) async fn watch(self: Arc<Core>) {
        let mut live = self.live.subscribe();
        let mut every = tokio::time::interval(self.options.snapshot_every.max(std::time::Duration::from_millis(10)));
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                ended = live.wait_for(|n| *n == 0) => {
                    let _gone = ended;
                    break;
                }
                _ = every.tick() => {}
                () = self.changed.notified() => {}
            }
            self.observe();
        }
        self.observe();
        for ring in self.taps.lock().iter().filter_map(std::sync::Weak::upgrade) {
            ring.close();
        }
        let report = self.report.lock().clone();
        self.status.send_modify(|status| {
            let error = match status {
                Status::Failing(error) => Some(error.clone()),
                _ => None,
            };
            *status = Status::Ended(error, report);
        });
    }
}

fn sink_state(sink: &RunningSink) -> State {
    let state = *sink.state.lock();
    // Without a way in, what is left is being read.
    if state == State::Running && sink.entry.strong_count() == 0 {
        State::Draining
    } else {
        state
    }
}
