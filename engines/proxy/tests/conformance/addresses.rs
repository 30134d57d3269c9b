//! 11: addresses of every kind.

use std::{
    io::{Read, Write},
    net::TcpListener,
    os::unix::net::{UnixListener, UnixStream},
};

use qd_proxy::{
    Options, PlanError, Proxy,
    plan::{Address, Bind, Network},
};

use crate::harness::*;

#[test]
fn ipv6_on_both_sides() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        // A machine without IPv6 has nothing to show.
        return;
    };
    let to = Address::parse(&listener.local_addr().unwrap().to_string()).unwrap();
    let plan = qd_proxy::Plan::simple(vec![Bind::Tcp("[::1]:0".parse().unwrap())], vec![to]);
    let front = start(&plan);
    let mut client = front.connect();
    client.send(format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", front.address));
    let mut upstream = Wire::new(listener.accept().unwrap().0);
    let asked = upstream.head();
    assert_eq!(header(&asked, "x-forwarded-for"), Some("::1"));
    assert_eq!(header(&asked, "host"), Some(front.address.to_string().as_str()));
    upstream.send(OK);
    assert_eq!(client.message().1, "ok");
}

#[test]
fn a_name_with_addresses_of_which_one_answers() {
    // `localhost` is ::1 and 127.0.0.1 on most machines; the origin is only at one of them.
    let origin = Origin::new();
    let front = front_with(&origin, |p| {
        p.clusters[0].endpoints = vec![(Address::Tcp("localhost".to_owned(), origin.address.port()), 1)];
    });
    let mut client = front.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut upstream = origin.accept();
    upstream.head();
    upstream.send(OK);
    assert_eq!(client.message().1, "ok");
}

#[test]
fn a_name_without_an_address_is_502() {
    let origin = Origin::new();
    let front = front_with(&origin, |p| {
        p.clusters[0].endpoints = vec![(Address::Tcp("no-such-host.invalid".to_owned(), 1), 1)];
        p.clusters[0].connect_timeout = PATIENCE;
    });
    let mut client = front.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let head = client.head();
    assert_eq!((status(&head), header(&head, "l5d-proxy-error")), (502, Some("dns")));
}

#[test]
fn unix_sockets_on_both_sides() {
    let dir = tempfile::tempdir().unwrap();
    let (here, there) = (dir.path().join("in.sock"), dir.path().join("out.sock"));
    let listener = UnixListener::bind(&there).unwrap();
    let plan = qd_proxy::Plan::simple(vec![Bind::Unix(here.clone())], vec![Address::Unix(there)]);
    let proxy = Proxy::start(&plan, Options { workers: 1 }).unwrap();
    let mut client = UnixStream::connect(&here).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .unwrap();
    let (mut upstream, _) = listener.accept().unwrap();
    let mut asked = [0; 4096];
    let n = upstream.read(&mut asked).unwrap();
    assert!(asked[..n].starts_with(b"GET / HTTP/1.1\r\n"));
    upstream.write_all(OK.as_bytes()).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("ok"), "{answer}");
    // One that is in use is not taken away; one that is left over is.
    assert!(matches!(
        Proxy::start(&plan, Options { workers: 1 }),
        Err(PlanError::Bind(_))
    ));
    drop(proxy);
}

#[test]
fn a_port_in_use_names_its_owner() {
    let origin = Origin::new();
    let mut plan = plan(&[&origin]);
    plan.listeners[0].bind = Bind::Tcp(origin.address);
    let error = Proxy::start(&plan, Options { workers: 1 }).unwrap_err().to_string();
    assert!(
        error.contains(&format!("pid {}", std::process::id())) && error.contains(&origin.address.to_string()),
        "{error}"
    );
}

#[test]
fn a_proxy_header_says_who_the_client_is() {
    let origin = Origin::new();
    let front = front_with(&origin, |p| {
        p.listeners[0].preamble_from = vec![Network {
            address: "127.0.0.1".parse().unwrap(),
            bits: 32,
        }];
    });
    for header_bytes in [
        b"PROXY TCP4 9.8.7.6 1.1.1.1 5 80\r\n".to_vec(),
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x09\x08\x07\x06\x01\x01\x01\x01\0\x05\0\x50".to_vec(),
    ] {
        let mut client = front.connect();
        for b in &header_bytes {
            client.send([*b]);
        }
        client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let mut upstream = origin.accept();
        assert_eq!(header(&upstream.head(), "x-forwarded-for"), Some("9.8.7.6"));
        upstream.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        client.head();
    }
    // Who must send one and does not is not served.
    let mut client = front.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.rest(), "");
    assert!(!origin.was_asked());
}

#[test]
fn an_upstream_may_want_a_proxy_header() {
    let origin = Origin::new();
    let front = front_with(&origin, |p| p.clusters[0].preamble = qd_proxy::plan::SendPreamble::V2);
    let mut client = front.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut upstream = origin.accept();
    let header = upstream.exactly(28);
    assert_eq!(&header[..16], b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c");
    assert_eq!(&header[16..24], [127, 0, 0, 1, 127, 0, 0, 1]);
    assert_eq!(header[26..28], front.address.port().to_be_bytes());
    assert!(upstream.head().starts_with("GET / "));
}
