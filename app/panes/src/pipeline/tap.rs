//! Looking at events as they pass: where, the last of them, and what could not be kept.

use std::collections::VecDeque;

use qd_core::{Record, Severity, Timestamp, supervise::Pending};
use qd_logs::{
    EventKind, Kind, OutputId, Snapshot, Tap, TapRequest,
    engine::{Command, Reply, record_of},
};

use super::{Above, PipelinePane, tree};

/// Events that are kept for the screen.
const KEPT: usize = 2000;

/// Where is looked: an output, or everything that goes into a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) outputs_of: Option<String>,
    pub(super) inputs_of: Option<String>,
}

impl Place {
    /// What is looked at, in words.
    pub(super) fn words(&self) -> String {
        match (&self.outputs_of, &self.inputs_of) {
            (Some(o), _) => format!("out of {o}"),
            (None, Some(i)) => format!("into {i}"),
            (None, None) => String::new(),
        }
    }

    fn request(&self) -> TapRequest {
        TapRequest {
            outputs_of: self.outputs_of.iter().cloned().collect(),
            inputs_of: self.inputs_of.iter().cloned().collect(),
            ..TapRequest::default()
        }
    }
}

/// An event that passed.
pub(super) struct Seen {
    pub(super) output: OutputId,
    pub(super) time: Timestamp,
    pub(super) severity: Option<Severity>,
    /// As JSON, one line.
    pub(super) line: String,
    pub(super) record: Record,
    /// Whether it is a metric, which has no text.
    pub(super) metric: bool,
}

/// A look that goes on.
pub(super) struct Watched {
    pub(super) place: Place,
    tap: Tap,
    pub(super) seen: VecDeque<Seen>,
    pub(super) came: u64,
}

impl Watched {
    /// Events that passed and were not kept.
    pub(super) fn missed(&self) -> u64 {
        self.tap.missed()
    }
}

impl PipelinePane {
    /// Where the cursor says that shall be looked.
    fn wanted(&self, s: &Snapshot) -> Option<Place> {
        if self.above == Above::Wiring {
            let twigs = tree::draw(s);
            let twig = twigs.get(self.twig.min(twigs.len().saturating_sub(1)))?;
            if let Some(e) = &twig.edge {
                let output = match &e.output {
                    Some(port) => format!("{}.{port}", e.from),
                    None => e.from.to_string(),
                };
                return Some(Place {
                    outputs_of: Some(output),
                    inputs_of: None,
                });
            }
        }
        let c = s.components.get(self.selected(s)?)?;
        let id = Some(c.id.to_string());
        Some(match c.kind {
            Kind::Sink => Place {
                outputs_of: None,
                inputs_of: id,
            },
            Kind::Source | Kind::Transform => Place {
                outputs_of: id,
                inputs_of: None,
            },
        })
    }

    /// Asks for the look that is wanted, and takes what has come.
    pub(super) fn poll_tap(&mut self) {
        let s = self.pipeline();
        let wanted = self.wanted(&s);
        if self.watched.as_ref().is_some_and(|w| Some(&w.place) != wanted.as_ref()) {
            self.watched = None;
            self.scrolled = 0;
        }
        if let Some(answer) = self.asked.as_mut().and_then(|(_, p)| p.try_take()) {
            let place = self.asked.take().map(|(place, _)| place);
            if let (Ok(Reply::Tap(tap)), Some(place)) = (answer, place)
                && Some(&place) == wanted.as_ref()
            {
                self.watched = Some(Watched {
                    place,
                    tap,
                    seen: VecDeque::new(),
                    came: 0,
                });
            }
        }
        if let Some(place) = wanted
            && self.watched.is_none()
            && self.asked.is_none()
            && self.handle.states().load().is_running()
        {
            let asked: Result<Pending<Reply>, _> = self.handle.call(Command::Tap(place.request()));
            self.asked = asked.ok().map(|p| (place, p));
        }
        let (Some(w), false) = (&mut self.watched, self.paused) else {
            return;
        };
        while let Some(event) = w.tap.try_next() {
            w.came += 1;
            let record = record_of(&event);
            let judged = ["level", "severity", "log.level"]
                .iter()
                .any(|k| record.get(k).is_some());
            let severity = judged.then(|| record.severity());
            let time = Timestamp(event.time.timestamp_nanos_opt().unwrap_or(0));
            if w.seen.len() >= KEPT {
                w.seen.pop_front();
            }
            let line = event.value.to_string();
            w.seen.push_back(Seen {
                metric: event.kind == EventKind::Metric,
                output: event.output,
                time,
                severity,
                line,
                record,
            });
            if self.scrolled > 0 {
                self.scrolled += 1;
            }
        }
    }

    /// The events that pass the filter, the oldest first.
    pub(super) fn passing(&self) -> Vec<&Seen> {
        let Some(w) = &self.watched else { return Vec::new() };
        let passes = |s: &&Seen| self.filter.as_ref().is_none_or(|(_, f)| f.matches(&s.record));
        w.seen.iter().filter(passes).collect()
    }
}
