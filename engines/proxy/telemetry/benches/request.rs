//! What one request costs in counting and in choosing an endpoint.

#![allow(missing_docs, reason = "criterion's macros make functions without")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use qd_core::{Clock, Mono, RealClock};
use qd_proxy_policy::{
    Balancer, Breaker, BreakerConfig, Budget, BudgetConfig, Candidate, Class, Dice, EwmaConfig, Load, Strategy,
};
use qd_proxy_telemetry::metrics::RequestLabels;
use qd_proxy_telemetry::{Direction, Metrics, TlsState, Windows};

struct Spot(Arc<Load>, String);

impl Candidate for Spot {
    fn name(&self) -> &str {
        &self.1
    }
    fn is_ready(&self, _: Mono) -> bool {
        true
    }
    fn cost(&self, now: Mono) -> f64 {
        self.0.cost(now)
    }
    fn pending(&self) -> u32 {
        self.0.pending()
    }
}

fn request(c: &mut Criterion) {
    let metrics = Metrics::default();
    let requests = metrics.requests(&RequestLabels {
        direction: Direction::Inbound,
        authority: "web".into(),
        tls: TlsState::Disabled,
        route: "shop".into(),
        endpoint: "".into(),
    });
    let windows = Windows::new();
    c.bench_function("count a request", |b| {
        b.iter(|| {
            requests.begin();
            requests.end(
                black_box(200),
                None,
                Class::Success,
                Duration::from_micros(black_box(731)),
            );
            windows.record(Duration::from_micros(black_box(731)), Class::Success);
        });
    });
    let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
    let spots: Vec<Spot> = (0..10)
        .map(|i| {
            Spot(
                Arc::new(Load::new(EwmaConfig::default(), Mono(0))),
                format!("10.0.0.{i}:80"),
            )
        })
        .collect();
    let balancer = Balancer::new(Strategy::P2c);
    let mut dice = Dice::new(1);
    c.bench_function("pick of ten by p2c, dispatch, settle", |b| {
        let mut now = Mono(0);
        b.iter(|| {
            // Time passes without a clock, so that only the balancing is measured.
            now = Mono(now.0 + 50_000);
            if let Some(at) = balancer.pick(&spots, None, now, &mut dice) {
                black_box(spots[at].0.dispatch_at(&clock, now)).settle_at(now);
            }
        });
    });
    c.bench_function("look at the clock", |b| b.iter(|| black_box(clock.now())));
    let mut breaker = Breaker::new(BreakerConfig::default());
    let mut budget = Budget::new(BudgetConfig::default(), Mono(0));
    c.bench_function("breaker and budget", |b| {
        let mut now = Mono(0);
        b.iter(|| {
            now = Mono(now.0 + 50_000);
            budget.deposit(now);
            if let Some(permit) = breaker.admit(now) {
                black_box(breaker.record(permit, qd_proxy_policy::breaker::Verdict::Success, now, &mut dice));
            }
        });
    });
}

criterion_group!(benches, request);
criterion_main!(benches);
