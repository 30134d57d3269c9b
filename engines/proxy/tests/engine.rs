//! The proxy under a supervisor.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
    time::Duration,
};

use qd_core::{Fields, Handle, Overflow, Policy, RealClock, SourceId, Supervisor, ValueRef};
use qd_proxy::{
    Options, Plan, ProxyEngine,
    engine::{Command, EngineConfig, Reply},
    plan::{Address, Bind},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_serves_tells_and_obeys() {
    let origin = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = Address::Tcp("127.0.0.1".to_owned(), origin.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for stream in origin.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 503 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let plan = Plan::simple(vec![Bind::Tcp("127.0.0.1:0".parse().unwrap())], vec![to]);
    let supervisor = Supervisor::new(tokio::runtime::Handle::current(), Arc::new(RealClock::new()));
    let config = EngineConfig {
        plan: plan.clone(),
        options: Options { workers: 1 },
        deadline: Duration::from_secs(5),
    };
    let engine = supervisor
        .start::<ProxyEngine>(SourceId::new("web"), config, Policy::default())
        .unwrap();
    let mut records = engine.subscribe(100, Overflow::DropOldest);
    let until = async |what: &str, holds: &dyn Fn(&qd_proxy::Snapshot) -> bool| {
        let mut left = 2000;
        while !holds(&engine.snapshot()) {
            left -= 1;
            assert!(left > 0, "never: {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    until("it listens", &|s| s.listeners.len() == 1).await;
    let address = engine.snapshot().listeners[0].address.clone();
    let record = loop {
        // The records' reader is noticed within a moment; requests before that have none.
        let address = address.clone();
        let answer = tokio::task::spawn_blocking(move || {
            let mut client = TcpStream::connect(address).unwrap();
            client
                .write_all(b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
                .unwrap();
            let mut text = String::new();
            client.read_to_string(&mut text).unwrap();
            text
        });
        assert!(answer.await.unwrap().starts_with("HTTP/1.1 503 "));
        if let Ok(Some(record)) = tokio::time::timeout(Duration::from_millis(200), records.recv()).await {
            break record;
        }
    };
    assert_eq!(record.field("path"), Some(ValueRef::Str("/a")));
    assert_eq!(record.field("status"), Some(ValueRef::Uint(503)));
    assert_eq!(record.body(), "GET /a 503");
    let mut bad = plan.clone();
    bad.clusters.clear();
    let reply = engine.ask(Command::Apply(Box::new(bad))).await.unwrap();
    assert!(matches!(reply, Reply::Applied(Err(_))));
    let reply = engine.ask(Command::Apply(Box::new(plan))).await.unwrap();
    assert!(matches!(reply, Reply::Applied(Ok(_))));
    assert!(matches!(
        engine.ask(Command::Close(0)).await.unwrap(),
        Reply::Done(false)
    ));
    supervisor.shutdown(Duration::from_secs(5)).await;
    assert!(TcpStream::connect(address).is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_may_look() {
    let origin = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = Address::Tcp("127.0.0.1".to_owned(), origin.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for stream in origin.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi");
        }
    });
    let plan = Plan::simple(vec![Bind::Tcp("127.0.0.1:0".parse().unwrap())], vec![to]);
    let supervisor = Supervisor::new(tokio::runtime::Handle::current(), Arc::new(RealClock::new()));
    let config = EngineConfig {
        plan,
        options: Options { workers: 1 },
        deadline: Duration::from_secs(5),
    };
    let engine = supervisor
        .start::<ProxyEngine>(SourceId::new("web"), config, Policy::default())
        .unwrap();
    while engine.snapshot().listeners.is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let address = engine.snapshot().listeners[0].address.clone();
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Handle::current();
    let listen = |name: &str| qd_proxy::control::Control::listen(&runtime, dir.path(), name, engine.clone(), None);
    let control = listen("web").unwrap();
    assert!(listen("web").is_err() && listen("../web").is_err());
    assert_eq!(qd_proxy::control::names(dir.path()), ["web"]);
    let path = qd_proxy::control::socket(dir.path(), "web").unwrap();
    // Asks the socket and gives the lines as they come.
    let ask = |path: &std::path::Path, what: &str| {
        let mut stream = std::os::unix::net::UnixStream::connect(path).unwrap();
        stream.write_all(format!("{what}\n").as_bytes()).unwrap();
        let lines = std::io::BufRead::lines(std::io::BufReader::new(stream));
        lines.map(|l| serde_json::from_str::<serde_json::Value>(&l.unwrap()).unwrap())
    };
    tokio::task::spawn_blocking(move || {
        let mut snapshots = ask(&path, r#"{"ask":"snapshots","every_ms":50}"#);
        assert_eq!(snapshots.next().unwrap()["listeners"][0]["address"], address);
        assert!(ask(&path, "{").next().unwrap()["error"].is_string());
        assert!(ask(&path, r#"{"ask":"tap","filter":"status:abc"}"#).next().unwrap()["error"].is_string());
        let mut tap = ask(&path, r#"{"ask":"tap","filter":"path:/b"}"#);
        let mut har = ask(&path, r#"{"ask":"har","filter":"~u b","follow":true}"#);
        assert_eq!(tap.next().unwrap()["following"], true);
        assert_eq!(har.next().unwrap()["following"], true);
        for target in ["/a", "/b"] {
            let mut client = TcpStream::connect(&address).unwrap();
            let request = format!("GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
            client.write_all(request.as_bytes()).unwrap();
            client.read_to_end(&mut Vec::new()).unwrap();
        }
        let flow = tap.next().unwrap();
        assert_eq!((&flow["path"], &flow["status"]), (&"/b".into(), &200.into()));
        let entry = har.next().unwrap();
        assert_eq!(entry["request"]["url"], "http://h/b");
        assert_eq!(entry["response"]["content"]["text"], "hi");
    })
    .await
    .unwrap();
    drop(control);
    assert!(qd_proxy::control::names(dir.path()).is_empty());
    supervisor.shutdown(Duration::from_secs(5)).await;
}
