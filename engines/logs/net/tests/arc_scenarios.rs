//! Vector's scenarios of adaptive concurrency: a receiver is simulated that answers later or not at all when it has too
//! much to do, and statistics of the whole run are compared with the bands that each scenario gives.
//!
//! The scenario files are Vector's (`tests/data/adaptive-concurrency/*.yaml`), looked for below the folder that the
//! variable `QD_VECTOR_TESTS` names. Time is simulated, so that a run takes as long as its arithmetic.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    num::NonZeroUsize,
    path::PathBuf,
    time::{Duration, Instant},
};

use qd_logs_config::{
    FileId, Format, Node, NodeValue,
    common::{AdaptiveConcurrency, Concurrency, JitterMode},
};
use qd_logs_net::request::{
    backoff::Backoff,
    concurrency::{Controller, Outcome},
};

/// Weights by whole numbers: how long each was the case.
#[derive(Default)]
struct Levels {
    weights: Vec<f64>,
    last: Option<Instant>,
}

impl Levels {
    fn add(&mut self, level: usize, now: Instant) {
        if let Some(last) = self.last {
            if self.weights.len() <= level {
                self.weights.resize(level + 1, 0.0);
            }
            self.weights[level] += now.duration_since(last).as_secs_f64();
        }
        self.last = Some(now);
    }

    fn statistics(&self) -> Statistics {
        let seen = || self.weights.iter().enumerate().filter(|(_, w)| **w > 0.0);
        let total: f64 = self.weights.iter().sum();
        Statistics {
            min: seen().next().map_or(0.0, |(i, _)| i as f64),
            max: seen().next_back().map_or(0.0, |(i, _)| i as f64),
            mode: seen().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0.0, |(i, _)| i as f64),
            mean: seen().map(|(i, w)| i as f64 * w).sum::<f64>() / total,
        }
    }
}

/// Values weighted by the time since the one before.
#[derive(Default)]
struct Values {
    sum: f64,
    weight: f64,
    min: Option<f64>,
    max: Option<f64>,
    last: Option<Instant>,
}

impl Values {
    fn add(&mut self, value: f64, now: Instant) {
        if let Some(last) = self.last {
            let weight = now.duration_since(last).as_secs_f64();
            self.sum += value * weight;
            self.weight += weight;
            self.min = Some(self.min.map_or(value, |m| m.min(value)));
            self.max = Some(self.max.map_or(value, |m| m.max(value)));
        }
        self.last = Some(now);
    }

    fn statistics(&self) -> Statistics {
        Statistics {
            min: self.min.unwrap_or_default(),
            max: self.max.unwrap_or_default(),
            mode: f64::NAN,
            mean: self.sum / self.weight,
        }
    }
}

struct Statistics {
    min: f64,
    max: f64,
    mode: f64,
    mean: f64,
}

fn number(node: Option<&Node>) -> Option<f64> {
    match node?.value {
        NodeValue::Int(i) => Some(i as f64),
        NodeValue::Float(f) => Some(f),
        _ => None,
    }
}

/// How a receiver gets slower, and when it refuses.
#[derive(Default)]
struct Limits {
    scale: f64,
    knee_start: Option<usize>,
    knee_exp: Option<f64>,
    limit: Option<usize>,
    drops: bool,
}

impl Limits {
    fn read(node: Option<&Node>) -> Limits {
        let Some(node) = node else { return Limits::default() };
        Limits {
            scale: number(node.get("scale")).unwrap_or(0.0),
            knee_start: number(node.get("knee_start")).map(|n| n as usize),
            knee_exp: number(node.get("knee_exp")),
            limit: number(node.get("limit")).map(|n| n as usize),
            drops: node.get("action").and_then(Node::as_str) == Some("drop"),
        }
    }

    fn factor(&self, level: usize) -> f64 {
        let knee = self.knee_start.map_or(0.0, |start| {
            let base = self.knee_exp.unwrap_or(self.scale + 1.0);
            base.powf(level.saturating_sub(start) as f64) - 1.0
        });
        (level as f64 - 1.0) * self.scale + knee
    }

    fn refuses(&self, level: usize) -> bool {
        self.limit.is_some_and(|limit| level > limit)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// An event comes in.
    Arrive,
    /// An attempt of this request starts.
    Attempt(usize),
    /// The receiver answers; whether it took the request.
    Answer(usize, bool),
    /// The sender gives an attempt up.
    TimeOut(usize),
}

struct Request {
    started: Instant,
    backoff: Backoff,
}

struct Simulation {
    delay: f64,
    jitter: f64,
    by_concurrency: Limits,
    by_rate: Limits,
    seed: u64,
    now: Instant,
    queue: BinaryHeap<Reverse<(Instant, u64, Step)>>,
    order: u64,
    controller: Controller,
    waiting: usize,
    requests: Vec<Request>,
    // The receiver's side.
    level: usize,
    recent: VecDeque<Instant>,
    receiver_in_flight: Levels,
    receiver_rate: Levels,
    // The sender's side.
    in_flight: Levels,
    limit: Levels,
    observed: Values,
    averaged: Values,
}

impl Simulation {
    /// Exponentially distributed with a mean of one.
    fn exponential(&mut self) -> f64 {
        // xorshift64*, so that every run is the same.
        self.seed ^= self.seed >> 12;
        self.seed ^= self.seed << 25;
        self.seed ^= self.seed >> 27;
        let bits = self.seed.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11;
        -(1.0 - bits as f64 / (1u64 << 53) as f64).ln()
    }

    fn after(&mut self, seconds: f64, step: Step) {
        self.order += 1;
        // The bands were taken with timers that tick in milliseconds and start between two ticks: what should last a
        // whole number of them lasts one more.
        let ms = (seconds * 1000.0 + 0.5).ceil() as u64;
        self.queue
            .push(Reverse((self.now + Duration::from_millis(ms), self.order, step)));
    }

    fn prune(&mut self) {
        let then = self.now - Duration::from_secs(1);
        while self.recent.front().is_some_and(|t| *t <= then) {
            self.recent.pop_front();
        }
    }

    fn receiver_ends(&mut self) {
        self.prune();
        self.receiver_rate.add(self.recent.len(), self.now);
        self.receiver_in_flight.add(self.level, self.now);
        self.level -= 1;
    }

    fn start_waiting(&mut self) {
        while self.waiting > 0 && self.controller.in_flight() < self.controller.limit() {
            self.waiting -= 1;
            self.in_flight.add(self.controller.in_flight(), self.now);
            self.controller.start();
            self.requests.push(Request {
                started: self.now,
                backoff: Backoff::new(Duration::from_secs(1), Duration::from_secs(30), JitterMode::None),
            });
            self.attempt(self.requests.len() - 1);
        }
    }

    fn attempt(&mut self, request: usize) {
        self.prune();
        self.recent.push_back(self.now);
        self.receiver_rate.add(self.recent.len(), self.now);
        self.receiver_in_flight.add(self.level, self.now);
        self.level += 1;
        let (level, rate) = (self.level, self.recent.len());
        let delay = |s: &mut Simulation, level, rate| {
            let spread = s.exponential() * s.jitter;
            s.delay * (1.0 + spread + s.by_concurrency.factor(level) + s.by_rate.factor(rate))
        };
        let refused_by = match (self.by_concurrency.refuses(level), self.by_rate.refuses(rate)) {
            (true, _) => Some(self.by_concurrency.drops),
            (_, true) => Some(self.by_rate.drops),
            _ => None,
        };
        let seconds = match refused_by {
            Some(true) => {
                self.receiver_ends();
                return self.after(1.0, Step::TimeOut(request));
            }
            Some(false) => delay(self, 1, 1),
            None => delay(self, level, rate),
        };
        self.after(seconds, Step::Answer(request, refused_by.is_none()));
        if seconds > 1.0 {
            self.after(1.0, Step::TimeOut(request));
        }
    }

    fn again(&mut self, request: usize) {
        let delay = self.requests[request].backoff.next(|| 0.0);
        self.after(delay.as_secs_f64(), Step::Attempt(request));
    }

    fn ended(&mut self, request: usize) {
        let rtt = self.now.duration_since(self.requests[request].started);
        self.in_flight.add(self.controller.in_flight(), self.now);
        self.observed.add(rtt.as_secs_f64(), self.now);
        let limit = self.controller.limit();
        if let Some(mean) = self.controller.end(self.now, rtt, Outcome::Taken) {
            self.averaged.add(mean.as_secs_f64(), self.now);
            self.limit.add(limit, self.now);
        }
    }

    fn run(&mut self, requests: usize, interval: f64) {
        if interval == 0.0 {
            self.waiting = requests;
            self.start_waiting();
        } else {
            for i in 0..requests {
                self.after(i as f64 * interval, Step::Arrive);
            }
        }
        let mut completed = 0;
        let mut given_up = std::collections::BTreeSet::new();
        while completed < requests {
            let Reverse((at, _, step)) = self.queue.pop().expect("nothing is to come, but requests are missing");
            self.now = at;
            match step {
                Step::Arrive => self.waiting += 1,
                Step::Attempt(request) => self.attempt(request),
                Step::Answer(request, _) if given_up.remove(&request) => {}
                Step::Answer(request, true) => {
                    self.receiver_ends();
                    completed += 1;
                    self.ended(request);
                }
                Step::Answer(request, false) => {
                    self.receiver_ends();
                    self.again(request);
                }
                Step::TimeOut(request) => {
                    // An answer that is on its way is not heard; a dropped request has none.
                    let late = self
                        .queue
                        .iter()
                        .any(|Reverse((_, _, s))| matches!(s, Step::Answer(r, _) if *r == request));
                    if late {
                        given_up.insert(request);
                    }
                    self.again(request);
                }
            }
            // Whatever happens at one time happens before the sender starts anew.
            if self.queue.peek().is_none_or(|Reverse((at, ..))| *at > self.now) {
                self.start_waiting();
            }
        }
    }
}

fn check(scenario: &Node) -> Vec<String> {
    let params = scenario.get("params").unwrap();
    let concurrency = match params.get("concurrency").map(|n| &n.value) {
        Some(NodeValue::Int(n)) => Concurrency::Fixed(NonZeroUsize::new(*n as usize).unwrap()),
        Some(NodeValue::String(s)) if s == "none" => Concurrency::None,
        _ => Concurrency::Adaptive,
    };
    let settings = params
        .get("adaptive_concurrency")
        .map_or_else(AdaptiveConcurrency::default, |n| qd_logs_config::decode(n).unwrap());
    let mut s = Simulation {
        delay: number(params.get("delay")).unwrap(),
        jitter: number(params.get("jitter")).unwrap_or(0.0),
        by_concurrency: Limits::read(params.get("concurrency_limit_params")),
        by_rate: Limits::read(params.get("rate")),
        seed: 0x9E37_79B9_7F4A_7C15,
        // Early enough for the receiver to look a second back.
        now: Instant::now() + Duration::from_secs(10),
        queue: BinaryHeap::new(),
        order: 0,
        controller: Controller::new(concurrency, settings),
        waiting: 0,
        requests: Vec::new(),
        level: 0,
        recent: VecDeque::new(),
        receiver_in_flight: Levels::default(),
        receiver_rate: Levels::default(),
        in_flight: Levels::default(),
        limit: Levels::default(),
        observed: Values::default(),
        averaged: Values::default(),
    };
    s.run(
        number(params.get("requests")).unwrap() as usize,
        number(params.get("interval")).unwrap_or(0.0),
    );
    let mut out = Vec::new();
    let mut compare = |side: &str, name: &str, got: Statistics| {
        let Some(bands) = scenario.get(side).and_then(|n| n.get(name)) else {
            return;
        };
        for (key, value) in [
            ("min", got.min),
            ("max", got.max),
            ("mode", got.mode),
            ("mean", got.mean),
        ] {
            let Some(NodeValue::Array(band)) = bands.get(key).map(|n| &n.value) else {
                continue;
            };
            let (low, high) = (number(band.first()).unwrap(), number(band.get(1)).unwrap());
            // Bands are as wide as a thousandth at the least; sums of floats differ by less.
            if !(low - 1e-9..=high + 1e-9).contains(&value) {
                out.push(format!("{side}.{name}.{key} is {value}, not in {low}..={high}"));
            }
        }
    };
    compare("stats", "in_flight", s.receiver_in_flight.statistics());
    compare("stats", "rate", s.receiver_rate.statistics());
    compare("controller", "in_flight", s.in_flight.statistics());
    compare("controller", "concurrency_limit", s.limit.statistics());
    compare("controller", "observed_rtt", s.observed.statistics());
    compare("controller", "averaged_rtt", s.averaged.statistics());
    out
}

#[test]
fn vectors_scenarios_end_in_their_bands() {
    let Some(root) = std::env::var_os("QD_VECTOR_TESTS").map(PathBuf::from) else {
        eprintln!("skipped: QD_VECTOR_TESTS names no folder with Vector's tests");
        return;
    };
    let folder = [
        root.join("tests/data/adaptive-concurrency"),
        root.join("data/adaptive-concurrency"),
        root,
    ]
    .into_iter()
    .find(|p| p.join("constant-link.yaml").is_file())
    .expect("the scenarios are not below QD_VECTOR_TESTS");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|f| f.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "yaml"))
        .collect();
    files.sort();
    let mut failed = Vec::new();
    for file in &files {
        let text = std::fs::read_to_string(file).unwrap();
        let scenario = qd_logs_config::parse(&text, Format::Yaml, FileId(0)).unwrap();
        let outside = check(&scenario);
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        eprintln!(
            "{name}: {}",
            if outside.is_empty() {
                "in its bands".to_owned()
            } else {
                outside.join("; ")
            }
        );
        if !outside.is_empty() {
            failed.push(name);
        }
    }
    assert!(!files.is_empty());
    assert!(
        failed.is_empty(),
        "{} of {} are out of their bands: {failed:?}",
        failed.len(),
        files.len()
    );
}
