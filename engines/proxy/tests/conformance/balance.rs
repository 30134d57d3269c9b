//! Endpoints that are slow, fail and come back; limits; faults on purpose.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use qd_core::{Filter, Now, Schema, Timestamp};
use qd_proxy::{
    plan::HashOn,
    policy::{BackoffConfig, BreakerConfig, Fault, FaultAction, RateLimit, Strategy},
};

use crate::harness::*;

/// How an origin answers; it may change.
#[derive(Default)]
struct Manner {
    delay_ms: AtomicU64,
    status: AtomicUsize,
    served: AtomicUsize,
}

fn origin(status: usize, delay_ms: u64) -> (Origin, Arc<Manner>) {
    let origin = Origin::new();
    let manner = Arc::new(Manner::default());
    manner.status.store(status, Ordering::SeqCst);
    manner.delay_ms.store(delay_ms, Ordering::SeqCst);
    (origin, manner)
}

fn play(origin: Origin, manner: Arc<Manner>) {
    std::thread::spawn(move || {
        while let Some(mut wire) = origin.try_accept(PATIENCE) {
            let manner = Arc::clone(&manner);
            std::thread::spawn(move || {
                let mut chunk = [0; 4096];
                while std::io::Read::read(&mut wire.stream, &mut chunk).is_ok_and(|n| n > 0) {
                    std::thread::sleep(Duration::from_millis(manner.delay_ms.load(Ordering::SeqCst)));
                    manner.served.fetch_add(1, Ordering::SeqCst);
                    let status = manner.status.load(Ordering::SeqCst);
                    let answer = format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n");
                    if std::io::Write::write_all(&mut wire.stream, answer.as_bytes()).is_err() {
                        break;
                    }
                }
            });
        }
    });
}

fn ask(client: &mut Wire) -> u16 {
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    status(&client.message().0)
}

#[test]
fn traffic_leaves_the_slow_one_and_the_failing_one_is_left_alone_until_it_has_recovered() {
    let (fast, fast_manner) = origin(200, 0);
    let (slow, slow_manner) = origin(200, 30);
    let (failing, failing_manner) = origin(500, 0);
    let mut plan = plan(&[&fast, &slow, &failing]);
    plan.clusters[0].breaker = BreakerConfig {
        consecutive: Some(3),
        backoff: BackoffConfig {
            min: Duration::from_millis(50),
            max: Duration::from_millis(200),
            jitter: 0.5,
        },
        ..BreakerConfig::default()
    };
    let failing_name = failing.address.to_string();
    let front = start(&plan);
    for (o, m) in [(fast, &fast_manner), (slow, &slow_manner), (failing, &failing_manner)] {
        play(o, Arc::clone(m));
    }
    let breaker = || {
        let endpoints = front.proxy.snapshot().endpoints;
        endpoints.iter().find(|e| *e.address == *failing_name).unwrap().clone()
    };
    let mut client = front.connect();
    eventually("the failing one is left alone", || {
        ask(&mut client);
        breaker().breaker == "open"
    });
    assert!(breaker().streak >= 3);
    // While it is, everybody gets an answer, and mostly of the fast one.
    let before = (
        fast_manner.served.load(Ordering::SeqCst),
        slow_manner.served.load(Ordering::SeqCst),
    );
    for _ in 0..60 {
        ask(&mut client);
    }
    let fast_served = fast_manner.served.load(Ordering::SeqCst) - before.0;
    let slow_served = slow_manner.served.load(Ordering::SeqCst) - before.1;
    assert!(fast_served > 3 * slow_served, "{fast_served} fast, {slow_served} slow");
    failing_manner.status.store(200, Ordering::SeqCst);
    eventually("a probe finds it well", || {
        ask(&mut client);
        breaker().breaker == "closed"
    });
    let before = failing_manner.served.load(Ordering::SeqCst);
    eventually("it is asked again", || {
        assert_eq!(ask(&mut client), 200);
        failing_manner.served.load(Ordering::SeqCst) > before + 3
    });
}

#[test]
fn when_no_endpoint_is_ready_requests_wait_and_then_fail_fast() {
    let (only, manner) = origin(500, 0);
    let mut plan = plan(&[&only]);
    plan.clusters[0].failfast = Duration::from_millis(40);
    plan.clusters[0].breaker = BreakerConfig {
        consecutive: Some(2),
        backoff: BackoffConfig {
            min: PATIENCE,
            max: PATIENCE,
            jitter: 0.0,
        },
        ..BreakerConfig::default()
    };
    let front = start(&plan);
    play(only, Arc::clone(&manner));
    let mut client = front.connect();
    assert_eq!((ask(&mut client), ask(&mut client)), (500, 500));
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let (head, _) = client.message();
    assert_eq!(
        (status(&head), header(&head, "l5d-proxy-error")),
        (503, Some("failfast"))
    );
    assert_eq!(manner.served.load(Ordering::SeqCst), 2);
}

#[test]
fn grpc_that_fails_in_its_trailers_counts_as_a_failure() {
    let origin = Origin::new();
    let front = front_with(&origin, |p| {
        p.clusters[0].breaker.consecutive = Some(1);
        p.clusters[0].breaker.backoff.min = PATIENCE;
    });
    let mut client = front.connect();
    client.send("POST /s/m HTTP/1.1\r\nHost: x\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n");
    let mut upstream = origin.accept();
    upstream.head();
    upstream.send("HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n0\r\ngrpc-status: 13\r\n\r\n");
    client.until("grpc-status: 13\r\n\r\n");
    eventually("the breaker opens", || {
        front.proxy.snapshot().endpoints[0].breaker == "open"
    });
}

#[test]
fn a_consistent_hash_keeps_a_client_where_it_was() {
    let origins: Vec<_> = (0..3).map(|_| origin(200, 0)).collect();
    let mut plan = plan(&origins.iter().map(|(o, _)| o).collect::<Vec<_>>());
    plan.clusters[0].strategy = Strategy::ConsistentHash;
    plan.clusters[0].hash_on = HashOn::Header("x-user".parse().unwrap());
    let front = start(&plan);
    let manners: Vec<_> = origins
        .into_iter()
        .map(|(o, m)| {
            play(o, Arc::clone(&m));
            m
        })
        .collect();
    let mut client = front.connect();
    for _ in 0..12 {
        client.send("GET / HTTP/1.1\r\nHost: x\r\nX-User: ann\r\n\r\n");
        client.message();
    }
    let served: Vec<usize> = manners.iter().map(|m| m.served.load(Ordering::SeqCst)).collect();
    assert_eq!(served.iter().filter(|n| **n == 12).count(), 1, "{served:?}");
}

#[test]
fn too_many_requests_are_told_when_to_come_again() {
    let (only, manner) = origin(200, 0);
    let mut plan = plan(&[&only]);
    plan.listeners[0].routes[0].client_rate = Some(RateLimit {
        per_second: 0.01,
        burst: 2,
    });
    let front = start(&plan);
    play(only, manner);
    let mut client = front.connect();
    assert_eq!((ask(&mut client), ask(&mut client)), (200, 200));
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let (head, _) = client.message();
    assert_eq!(
        (status(&head), header(&head, "l5d-proxy-error")),
        (429, Some("rate-limited"))
    );
    assert!(header(&head, "retry-after").unwrap().parse::<u32>().unwrap() > 1);
}

#[test]
fn faults_meet_those_they_are_for_and_end() {
    let (only, manner) = origin(200, 0);
    let front = start(&plan(&[&only]));
    play(only, manner);
    let filter = |text: &str| {
        let schema = Schema::records().open();
        Filter::new(text, &schema, &Now::utc(Timestamp(0))).unwrap()
    };
    let fault = |action, text: &str| Fault {
        action,
        percent: 100.0,
        route: None,
        filter: filter(text),
        life: Duration::from_secs(60),
    };
    let id = front.proxy.inject(fault(FaultAction::Abort(418), "path:/tea")).unwrap();
    let mut client = front.connect();
    assert_eq!(ask(&mut client), 200);
    client.send("GET /tea HTTP/1.1\r\nHost: x\r\n\r\n");
    let (head, _) = client.message();
    assert_eq!(
        (status(&head), header(&head, "l5d-proxy-error")),
        (418, Some("injected"))
    );
    let shown = &front.proxy.snapshot().faults;
    assert_eq!((shown[0].injected, shown[0].action.as_str()), (1, "abort 418"));
    assert!(shown[0].expires <= 60.0);
    assert!(front.proxy.end_fault(id));
    client.send("GET /tea HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(status(&client.message().0), 200);
    front.proxy.inject(fault(FaultAction::Reset, "")).unwrap();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(!client.ends_well());
}
