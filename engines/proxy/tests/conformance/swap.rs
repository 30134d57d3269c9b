//! Plans that change under load, and ends that are waited for.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use qd_proxy::{
    Drain, PlanError,
    plan::{Bind, Route},
};

use crate::harness::*;

/// An origin that answers every request at once, until the test ends.
fn busy(origin: Origin) {
    std::thread::spawn(move || {
        while let Some(mut wire) = origin.try_accept(PATIENCE) {
            std::thread::spawn(move || {
                let mut chunk = [0; 4096];
                // Every request of this test comes in one piece.
                while std::io::Read::read(&mut wire.stream, &mut chunk).is_ok_and(|n| n > 0) {
                    if std::io::Write::write_all(&mut wire.stream, OK.as_bytes()).is_err() {
                        break;
                    }
                }
            });
        }
    });
}

#[test]
fn a_thousand_plans_fail_no_request() {
    let origins = [Origin::new(), Origin::new(), Origin::new()];
    let endpoints: Vec<_> = origins.iter().map(Origin::endpoint).collect();
    let mut plan = plan(&[&origins[0], &origins[1], &origins[2]]);
    let front = start(&plan);
    origins.into_iter().for_each(busy);
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (stop, served, mut client) = (Arc::clone(&stop), Arc::clone(&served), front.connect());
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
                    let (head, body) = client.message();
                    assert_eq!((status(&head), body.as_str()), (200, "ok"), "{head}");
                    served.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for n in 0..1000usize {
        plan.clusters[0].endpoints = endpoints
            .iter()
            .enumerate()
            .filter(|(i, _)| i % 3 != n % 3)
            .map(|(_, e)| (e.clone(), 1))
            .collect();
        plan.listeners[0].routes[0].name = format!("route-{n}").into();
        front.proxy.apply(&plan).unwrap();
        let before = served.load(Ordering::Relaxed);
        if n % 10 == 0 {
            eventually("requests go on", || served.load(Ordering::Relaxed) > before);
        }
    }
    stop.store(true, Ordering::Relaxed);
    clients.into_iter().for_each(|c| c.join().unwrap());
    assert_eq!(front.proxy.snapshot().totals.faults, 0);
}

#[test]
fn a_plan_that_can_not_be_changes_nothing() {
    let origin = Origin::new();
    let mut plan = plan(&[&origin]);
    let front = start(&plan);
    let taken = Origin::new();
    plan.listeners
        .push(qd_proxy::plan::Listener::new("second", Bind::Tcp(taken.address)));
    assert!(matches!(front.proxy.apply(&plan), Err(PlanError::Bind(_))));
    plan.listeners[1].bind = Bind::Tcp("127.0.0.1:0".parse().unwrap());
    plan.listeners[1].routes = vec![Route::to("nowhere")];
    let error = front.proxy.apply(&plan).unwrap_err().to_string();
    assert!(error.contains("second") && error.contains("nowhere"), "{error}");
    assert_eq!(front.proxy.snapshot().listeners.len(), 1);
    let mut client = front.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    origin.accept().head();
}

#[test]
fn listeners_come_go_and_move() {
    let origin = Origin::new();
    let mut plan = plan(&[&origin]);
    let front = start(&plan);
    let mut second = plan.listeners[0].clone();
    second.name = "second".to_owned();
    plan.listeners.push(second);
    assert_eq!(front.proxy.apply(&plan).unwrap().opened, ["second"]);
    let address = front.proxy.address("second").unwrap();
    let mut client = Wire::new(std::net::TcpStream::connect(address).unwrap());
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut upstream = origin.accept();
    upstream.head();
    plan.listeners.pop();
    assert_eq!(front.proxy.apply(&plan).unwrap().closed, ["second"]);
    // The request that goes on is served; then its connection ends.
    upstream.send(OK);
    let (head, body) = client.message();
    assert_eq!((header(&head, "connection"), body.as_str()), (Some("close"), "ok"));
    assert_eq!(client.rest(), "");
    eventually("nobody listens there", || {
        std::net::TcpStream::connect(address).is_err()
    });
}

#[test]
fn a_stop_waits_for_requests_and_not_for_idle_connections() {
    let origin = Origin::new();
    let front = front(&origin);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let mut idle = front.connect();
    idle.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut upstream = origin.accept();
    upstream.head();
    upstream.send(OK);
    idle.message();
    let mut busy = front.connect();
    busy.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    upstream.head();
    let proxy = front.proxy.clone();
    let stop = runtime.spawn(async move { proxy.stop(PATIENCE).await });
    assert_eq!(idle.rest(), "");
    upstream.send(OK);
    assert_eq!(busy.message().1, "ok");
    assert_eq!(runtime.block_on(stop).unwrap(), 0);
}

#[test]
fn a_stop_has_a_deadline() {
    let origin = Origin::new();
    let front = front(&origin);
    let mut client = front.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut upstream = origin.accept();
    upstream.head();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    assert_eq!(runtime.block_on(front.proxy.stop(Duration::from_millis(50))), 1);
    assert_eq!(client.rest(), "");
    assert_eq!(upstream.rest(), "");
}

#[test]
fn a_drained_endpoint_gets_nothing_new() {
    let (a, b) = (Origin::new(), Origin::new());
    let front = start(&plan(&[&a, &b]));
    let id = front.proxy.snapshot().endpoints[0].id;
    assert!(front.proxy.drain_endpoint(id, Drain::Begin));
    for _ in 0..4 {
        let mut client = front.connect();
        client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let mut upstream = b.accept();
        upstream.head();
        upstream.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        client.rest();
    }
    assert!(!a.was_asked());
    assert!(front.proxy.drain_endpoint(id, Drain::End));
    eventually("it is asked again", || {
        let mut client = front.connect();
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        match a.try_accept(Duration::from_millis(20)) {
            Some(_) => true,
            None => {
                drop(b.accept());
                false
            }
        }
    });
}
