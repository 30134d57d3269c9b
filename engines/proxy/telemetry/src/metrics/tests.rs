//! Counting, bounds, and the text.

use super::*;

fn labels(authority: &str) -> RequestLabels {
    RequestLabels {
        direction: Direction::Inbound,
        authority: authority.into(),
        tls: TlsState::True,
        route: "shop".into(),
        endpoint: "".into(),
    }
}

fn value(text: &str, start: &str) -> Option<f64> {
    let line = text.lines().find(|l| l.starts_with(start))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

#[test]
fn requests_are_counted_with_linkerds_names() {
    let metrics = Metrics::default();
    let r = metrics.requests(&labels("web:80"));
    for (status, micros) in [(200, 900), (200, 1_000), (200, 1_001), (503, 12_000_000)] {
        r.begin();
        r.end(
            status,
            None,
            qd_proxy_policy::class::of_http(status),
            Duration::from_micros(micros),
        );
    }
    r.begin();
    r.end(
        200,
        Some(GrpcCode::UNAVAILABLE),
        Class::Failure,
        Duration::from_secs(100),
    );
    let text = metrics.render();
    let own = r#"direction="inbound",authority="web:80",tls="true",route_name="shop""#;
    let is = |start: String, expected: f64| assert_eq!(value(&text, &start), Some(expected), "{start}\n{text}");
    is(format!("request_total{{{own}}}"), 5.0);
    let total = |rest: &str| format!("response_total{{{own},classification={rest}}}");
    is(total(r#""success",http_status="200",grpc_status="""#), 3.0);
    is(total(r#""failure",http_status="503",grpc_status="""#), 1.0);
    is(total(r#""failure",http_status="200",grpc_status="14""#), 1.0);
    let bucket =
        |status: u16, le: &str| format!("response_latency_ms_bucket{{{own},http_status=\"{status}\",le=\"{le}\"}}");
    // A bound is included.
    is(bucket(200, "1"), 2.0);
    is(bucket(200, "2"), 3.0);
    is(bucket(200, "50000"), 3.0);
    is(bucket(200, "+Inf"), 4.0);
    is(bucket(503, "10000"), 0.0);
    is(bucket(503, "20000"), 1.0);
    is(
        format!("response_latency_ms_sum{{{own},http_status=\"503\"}}"),
        12_000.0,
    );
    is(format!("response_latency_ms_count{{{own},http_status=\"200\"}}"), 4.0);
    assert_eq!(r.classes(), (3, 2));
}

#[test]
fn connections_are_counted_until_they_are_dropped() {
    let metrics = Metrics::default();
    let own = ConnectionLabels {
        direction: Direction::Outbound,
        peer: PeerSide::Dst,
        tls: TlsState::Disabled,
        name: "10.0.0.1:80".into(),
    };
    let c = metrics.connections(&own);
    let a = c.open();
    let b = metrics.connections(&own).open();
    a.read(10);
    b.wrote(7);
    b.close(Closed::Reset);
    let text = metrics.render();
    let own = r#"direction="outbound",peer="dst",tls="disabled",target_addr="10.0.0.1:80""#;
    for (name, expected) in [
        ("tcp_open_connections", 1.0),
        ("tcp_open_total", 2.0),
        ("tcp_read_bytes_total", 10.0),
        ("tcp_write_bytes_total", 7.0),
    ] {
        assert_eq!(value(&text, &format!("{name}{{{own}}}")), Some(expected), "{text}");
    }
    assert_eq!(
        value(&text, &format!("tcp_close_total{{{own},errno=\"ECONNRESET\"}}")),
        Some(1.0)
    );
    drop(a);
    assert_eq!(c.count(), 0);
}

#[test]
fn invented_hosts_and_statuses_are_bounded() {
    let metrics = Metrics::new(10);
    for i in 0..1_000 {
        metrics.requests(&labels(&format!("host-{i}"))).begin();
    }
    let text = metrics.render();
    assert_eq!(text.lines().filter(|l| l.starts_with("request_total{")).count(), 11);
    assert_eq!(
        value(&text, r#"request_total{direction="inbound",authority="other""#),
        Some(990.0)
    );
    let r = metrics.requests(&labels("host-0"));
    for status in 100..999 {
        r.end(status, None, Class::Success, Duration::ZERO);
    }
    let text = metrics.render();
    let lines = text.lines().filter(|l| l.starts_with("response_total{"));
    assert_eq!(lines.clone().count(), MAX_ANSWERS + 1);
    assert_eq!(r.classes(), (899, 0), "nothing is lost");
}

#[test]
fn endpoints_that_are_gone_make_room() {
    let metrics = Metrics::new(10);
    let endpoint = |n: usize| RequestLabels {
        endpoint: format!("10.0.0.{n}:80").into(),
        ..labels("api")
    };
    let held: Vec<_> = (0..3).map(|n| metrics.requests(&endpoint(n))).collect();
    (3..100).for_each(|n| drop(metrics.requests(&endpoint(n))));
    let text = metrics.render();
    assert!(!text.contains("target_addr=\"other\""), "{text}");
    assert!((0..3).all(|n| text.contains(&format!("10.0.0.{n}:80"))));
    drop(held);
}

#[test]
fn values_are_escaped() {
    let metrics = Metrics::default();
    metrics.requests(&labels("a\"b\\c\nd")).begin();
    let mut page = Page::default();
    metrics.write(&mut page);
    let row = (vec![("error", "no-\"route".to_owned())], 1.0);
    page.family("proxy_errors_total", "counter", "What the proxy said by itself.", [row]);
    page.family("nothing_total", "counter", "Nothing.", []);
    let text = page.finish();
    assert!(text.contains(r#"authority="a\"b\\c\nd""#), "{text}");
    assert!(text.contains("proxy_errors_total{error=\"no-\\\"route\"} 1"));
    assert!(text.lines().all(|l| l.starts_with('#') || l.contains("} ")));
}

#[test]
fn threads_lose_nothing() {
    let metrics = Metrics::default();
    std::thread::scope(|scope| {
        for thread in 0..4u16 {
            let metrics = &metrics;
            scope.spawn(move || {
                let r = metrics.requests(&labels("x"));
                for i in 0..5_000u16 {
                    r.begin();
                    r.end(
                        200 + (i + thread) % 50,
                        None,
                        Class::Success,
                        Duration::from_micros(i.into()),
                    );
                }
            });
        }
    });
    let r = metrics.requests(&labels("x"));
    assert_eq!((r.total(), r.classes()), (20_000, (20_000, 0)));
}
