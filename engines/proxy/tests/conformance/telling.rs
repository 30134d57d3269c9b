//! What the proxy counts and tells: metrics, the admin listener, access log, spans, snapshots.

use std::{net::SocketAddr, net::TcpStream, time::Duration};

use qd_proxy::policy::BreakerConfig;

use crate::{harness::*, policies::from_file};

fn told(address: SocketAddr, request: &str) -> (String, String) {
    let mut client = Wire::new(TcpStream::connect(address).unwrap());
    client.send(request);
    client.message()
}

fn admin(front: &Front, path: &str) -> (u16, String) {
    let address = front.proxy.admin_address().unwrap();
    let (head, body) = told(address, &format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
    (status(&head), body)
}

/// The value of a line of metrics.
fn value(page: &str, start: &str) -> f64 {
    let line = page.lines().find(|l| l.starts_with(start));
    let line = line.unwrap_or_else(|| panic!("there is no {start} in\n{page}"));
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

const ADMIN: &str = "admin: {address: '127.0.0.1:0'}\n\
    listeners: [{name: in, address: '127.0.0.1:0', backend: a}]\n\
    clusters: [{name: a, protocol: http1, endpoints: [{0}]}]\n";

#[test]
fn requests_are_counted_with_the_names_that_dashboards_know() {
    let origin = Origin::new();
    let front = from_file(ADMIN, &[&origin]);
    let mut client = front.connect();
    let mut upstream = None;
    for answer in [OK, OK, "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"] {
        client.send("GET / HTTP/1.1\r\nHost: Shop.example:80\r\n\r\n");
        let upstream = upstream.get_or_insert_with(|| origin.accept());
        upstream.head();
        upstream.send(answer);
        client.message();
    }
    let page = || admin(&front, "/metrics").1;
    eventually("all are counted", || {
        page().contains("request_total{direction=\"inbound\",authority=\"shop.example:80\",tls=\"disabled\",route_name=\"default\"} 3\n")
    });
    let page = page();
    let inbound = "direction=\"inbound\",authority=\"shop.example:80\",tls=\"disabled\",route_name=\"default\"";
    let outbound = format!(
        "direction=\"outbound\",authority=\"a\",tls=\"disabled\",target_addr=\"{}\"",
        origin.address
    );
    for labels in [inbound, &outbound] {
        let good =
            format!("response_total{{{labels},classification=\"success\",http_status=\"200\",grpc_status=\"\"}}");
        let bad = format!("response_total{{{labels},classification=\"failure\",http_status=\"503\",grpc_status=\"\"}}");
        assert_eq!((value(&page, &good), value(&page, &bad)), (2.0, 1.0));
        let bucket = format!("response_latency_ms_bucket{{{labels},http_status=\"200\",le=\"+Inf\"}}");
        assert_eq!(value(&page, &bucket), 2.0);
    }
    let src = "{direction=\"inbound\",peer=\"src\",tls=\"disabled\",listener=\"in\"}";
    let dst = format!(
        "{{direction=\"outbound\",peer=\"dst\",tls=\"disabled\",target_addr=\"{}\"}}",
        origin.address
    );
    assert_eq!(value(&page, &format!("tcp_open_connections{src}")), 1.0);
    assert_eq!(value(&page, &format!("tcp_open_total{src}")), 1.0);
    assert_eq!(value(&page, &format!("tcp_open_connections{dst}")), 1.0);
    eventually("bytes are counted while the connection goes on", || {
        let page = admin(&front, "/metrics").1;
        let three = "GET / HTTP/1.1\r\nHost: Shop.example:80\r\n\r\n".len() * 3;
        value(&page, &format!("tcp_read_bytes_total{src}")) == three as f64
            && value(&page, &format!("tcp_write_bytes_total{dst}")) > three as f64
    });
    let route = "listener=\"in\",route_name=\"default\"";
    assert_eq!(value(&page, &format!("route_actual_request_total{{{route}}}")), 3.0);
    assert_eq!(
        value(
            &page,
            &format!("route_response_total{{{route},classification=\"failure\"}}")
        ),
        1.0
    );
    let ready = format!(
        "balancer_endpoints{{authority=\"a\",target_addr=\"{}\",endpoint_state=\"ready\"}}",
        origin.address
    );
    assert_eq!(value(&page, &ready), 1.0);
}

#[test]
fn hosts_that_clients_invent_are_bounded() {
    let front = from_file(
        "listeners: [{name: in, address: '127.0.0.1:0'}]\n\
         routes: [{name: r, rules: [{filters: [{type: DirectResponse, directResponse: {statusCode: 200}}]}]}]\n",
        &[],
    );
    let mut client = front.connect();
    for n in 0..1_500 {
        client.send(format!("GET / HTTP/1.1\r\nHost: h{n}.example\r\n\r\n"));
        client.message();
    }
    let page = front.proxy.metrics();
    let rows = page.lines().filter(|l| l.starts_with("request_total{")).count();
    assert!(rows <= 1_025, "{rows}");
    let other = "request_total{direction=\"inbound\",authority=\"other\",tls=\"disabled\",route_name=\"r\"}";
    assert!(value(&page, other) >= 475.0);
}

#[test]
fn the_admin_listener_answers_tools_and_nobody_else() {
    let origin = Origin::new();
    let front = from_file(ADMIN, &[&origin]);
    assert_eq!(admin(&front, "/live"), (200, "live\n".to_owned()));
    assert_eq!(admin(&front, "/ready"), (200, "ready\n".to_owned()));
    assert_eq!(admin(&front, "/nothing").0, 404);
    assert_eq!(admin(&front, "/proxy-log-level").0, 404, "nobody has said who decides");
    for path in ["/snapshot", "/stat", "/routes", "/endpoints", "/connections", "/errors"] {
        let (status, body) = admin(&front, path);
        assert_eq!(status, 200);
        serde_json::from_str::<serde_json::Value>(&body).unwrap();
    }
    let endpoints: serde_json::Value = serde_json::from_str(&admin(&front, "/endpoints").1).unwrap();
    assert_eq!(endpoints[0]["address"], origin.address.to_string());
    let address = front.proxy.admin_address().unwrap();
    let (head, _) = told(address, "GET /shutdown HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(status(&head), 405);
    let (head, _) = told(
        address,
        "POST /shutdown HTTP/1.1\r\nHost: h\r\nOrigin: http://evil.example\r\nContent-Length: 0\r\n\r\n",
    );
    assert_eq!(status(&head), 403);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let asked = async { tokio::time::timeout(Duration::from_millis(20), front.proxy.shutdown_asked()).await };
    assert!(runtime.block_on(asked).is_err(), "nobody has asked for the end");
    let (head, _) = told(
        address,
        "POST /shutdown HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
    );
    assert_eq!(status(&head), 200);
    runtime.block_on(front.proxy.shutdown_asked());
    // What is no request gets an answer too, and a second address takes the place of the first.
    let (head, _) = told(address, "GARBAGE\r\n\r\n");
    assert_eq!(status(&head), 400);
    runtime.block_on(front.proxy.stop(Duration::from_secs(5)));
    eventually("it is closed", || TcpStream::connect(address).is_err());
}

#[test]
fn whoever_decides_what_is_logged_is_asked_and_told() {
    struct Level(parking_lot::Mutex<String>);
    impl qd_proxy::LogLevel for Level {
        fn get(&self) -> String {
            self.0.lock().clone()
        }
        fn set(&self, filter: &str) -> Result<(), String> {
            match filter {
                "" => Err("it is empty".to_owned()),
                filter => {
                    *self.0.lock() = filter.to_owned();
                    Ok(())
                }
            }
        }
    }
    let origin = Origin::new();
    let front = from_file(ADMIN, &[&origin]);
    front
        .proxy
        .set_log_level(std::sync::Arc::new(Level(parking_lot::Mutex::new("warn".to_owned()))));
    assert_eq!(admin(&front, "/proxy-log-level"), (200, "warn\n".to_owned()));
    let address = front.proxy.admin_address().unwrap();
    let put = |body: &str| {
        let length = body.len();
        told(
            address,
            &format!("PUT /proxy-log-level HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{body}"),
        )
    };
    assert_eq!(put("debug\n").1, "debug\n");
    assert_eq!(status(&put("").0), 400);
    assert_eq!(admin(&front, "/proxy-log-level").1, "debug\n");
}

#[test]
fn each_request_is_a_line_of_the_access_log() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access.log");
    let origin = Origin::new();
    let front = from_file(
        &format!("{ADMIN}accessLog: {{path: '{}'}}\n", path.display()),
        &[&origin],
    );
    let mut client = front.connect();
    client.send("POST /a?b=c HTTP/1.1\r\nHost: h.example\r\nUser-Agent: me\r\nContent-Length: 3\r\n\r\nabc");
    let mut upstream = origin.accept();
    upstream.head();
    upstream.exactly(3);
    upstream.send(OK);
    client.message();
    client.send("GET / HTTP/1.1\r\nHost: a b\r\n\r\n");
    assert_eq!(status(&client.head()), 400);
    let lines = || -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
    };
    eventually("both are written", || lines().len() == 2);
    let lines = lines();
    let first = &lines[0];
    assert_eq!((&first["method"], &first["path"]), (&"POST".into(), &"/a?b=c".into()));
    assert_eq!(
        (&first["status"], &first["request_bytes"], &first["response_bytes"]),
        (&200.into(), &3.into(), &2.into())
    );
    assert_eq!(
        (&first["route"], &first["user_agent"]),
        (&"default".into(), &"me".into())
    );
    assert_eq!(first["endpoint"], origin.address.to_string());
    assert_eq!(
        (&lines[1]["status"], &lines[1]["cause"]),
        (&400.into(), &"bad-request".into())
    );
    let page = front.proxy.metrics();
    assert_eq!(value(&page, "access_log_lines_total{outcome=\"written\"}"), 2.0);
}

#[test]
fn a_trace_goes_on_and_its_span_reaches_the_collector() {
    let (origin, collector) = (Origin::new(), Origin::new());
    let front = from_file(
        &format!(
            "{ADMIN}tracing: {{endpoint: 'http://{}', service: shop}}\n",
            collector.address
        ),
        &[&origin],
    );
    let mut client = front.connect();
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    client.send(format!(
        "GET /a HTTP/1.1\r\nHost: h\r\ntraceparent: {parent}\r\ntracestate: v=1\r\n\r\n"
    ));
    let mut upstream = origin.accept();
    let asked = upstream.head();
    let sent = header(&asked, "traceparent").unwrap().to_owned();
    assert!(
        sent.starts_with("00-0af7651916cd43dd8448eb211c80319c-") && sent != parent,
        "{sent}"
    );
    assert_eq!(header(&asked, "tracestate"), Some("v=1"));
    upstream.send(OK);
    client.message();
    // Without one a new trace begins.
    client.send("GET /b HTTP/1.1\r\nHost: h\r\ntraceparent: nonsense\r\ntracestate: v=1\r\n\r\n");
    let asked = upstream.head();
    assert_eq!(headers(&asked, "traceparent").len(), 1);
    assert!(
        !asked.contains("nonsense") && header(&asked, "tracestate").is_none(),
        "{asked}"
    );
    upstream.send(OK);
    client.message();
    let mut spans: Vec<serde_json::Value> = Vec::new();
    while spans.len() < 2 {
        let mut wire = collector.accept();
        let (head, body) = wire.message();
        assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
        let said: serde_json::Value = serde_json::from_str(&body).unwrap();
        let resource = &said["resourceSpans"][0];
        assert_eq!(resource["resource"]["attributes"][0]["value"]["stringValue"], "shop");
        spans.extend(resource["scopeSpans"][0]["spans"].as_array().unwrap().iter().cloned());
    }
    let first = spans.iter().find(|s| s["parentSpanId"].is_string()).unwrap();
    assert_eq!(
        (&first["traceId"], &first["parentSpanId"]),
        (&"0af7651916cd43dd8448eb211c80319c".into(), &"b7ad6b7169203331".into())
    );
    assert_eq!(first["spanId"], sent.split('-').nth(2).unwrap());
    assert_eq!((&first["name"], &first["kind"]), (&"GET default".into(), &2.into()));
    eventually("they are counted", || {
        front
            .proxy
            .metrics()
            .contains("span_export_total{outcome=\"written\"} 2\n")
    });
}

#[test]
fn a_snapshot_has_what_panes_show_of_one_that_is_slow_and_one_that_fails() {
    let (fast, slow, failing) = (Origin::new(), Origin::new(), Origin::new());
    let mut plan = plan(&[&fast, &slow, &failing]);
    plan.clusters[0].breaker = BreakerConfig {
        consecutive: Some(3),
        ..BreakerConfig::default()
    };
    plan.clusters[0].breaker.backoff.min = Duration::from_millis(50);
    plan.clusters[0].breaker.backoff.max = Duration::from_millis(100);
    plan.listeners[0].routes[0].retry.policy.attempts = 2;
    plan.listeners[0].routes[0].retry.policy.statuses = vec![500..=599];
    let names = [&fast, &slow, &failing].map(|o| o.address.to_string());
    let front = start(&plan);
    let sick = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    for (origin, delay, fails) in [(fast, 0, false), (slow, 15, false), (failing, 0, true)] {
        let sick = std::sync::Arc::clone(&sick);
        std::thread::spawn(move || {
            while let Some(mut wire) = origin.try_accept(PATIENCE) {
                let sick = std::sync::Arc::clone(&sick);
                std::thread::spawn(move || {
                    let mut chunk = [0; 4096];
                    while std::io::Read::read(&mut wire.stream, &mut chunk).is_ok_and(|n| n > 0) {
                        std::thread::sleep(Duration::from_millis(delay));
                        let fails = fails && sick.load(std::sync::atomic::Ordering::SeqCst);
                        let answer = if fails {
                            "HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno"
                        } else {
                            OK
                        };
                        if std::io::Write::write_all(&mut wire.stream, answer.as_bytes()).is_err() {
                            break;
                        }
                    }
                });
            }
        });
    }
    let mut client = front.connect();
    let mut ask = || {
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(status(&client.message().0), 200, "clients see nothing of it");
    };
    let endpoint = |name: &str| {
        let endpoints = front.proxy.snapshot().endpoints;
        endpoints.into_iter().find(|e| *e.address == *name).unwrap()
    };
    eventually("the failing one is left alone", || {
        ask();
        let e = endpoint(&names[2]);
        e.breaker == "open" && e.next_probe.is_some()
    });
    let failing = endpoint(&names[2]);
    assert!(
        failing.trips >= 1 && failing.streak >= 3 && failing.recent.success < Some(0.5),
        "{failing:?}"
    );
    eventually("a probe fails and it waits again", || {
        ask();
        endpoint(&names[2]).trips >= 2
    });
    for _ in 0..60 {
        ask();
    }
    let (fast, slow) = (endpoint(&names[0]), endpoint(&names[1]));
    assert!(
        fast.requests > 3 * slow.requests,
        "{} fast, {} slow",
        fast.requests,
        slow.requests
    );
    assert!(slow.recent.p50_ms.unwrap() >= 15.0 && fast.recent.p50_ms < slow.recent.p50_ms);
    assert!(slow.latency_ms > fast.latency_ms && slow.connections >= slow.idle && slow.idle >= 1);
    sick.store(false, std::sync::atomic::Ordering::SeqCst);
    eventually("it has recovered", || {
        ask();
        endpoint(&names[2]).breaker == "closed"
    });
    let before = endpoint(&names[2]).requests;
    eventually("and gets its share", || {
        ask();
        endpoint(&names[2]).requests > before + 5
    });
    eventually("retries are what is between effective and actual", || {
        let route = front.proxy.snapshot().routes[0].clone();
        route.attempts == route.requests + route.retries
            && route.retries >= 3
            && route.failures == 0
            && route.effective.success == Some(1.0)
            && route.actual.success < Some(1.0)
            && route.effective.p99_ms.is_some()
    });
    let snapshot = front.proxy.snapshot();
    let connection = &snapshot.connections[0];
    assert!(connection.received > 0 && connection.sent > 0 && connection.requests > 60);
    assert_eq!(snapshot.listeners[0].address, front.address.to_string());
}
