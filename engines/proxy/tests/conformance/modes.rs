//! Where requests go that say so themselves: TLS that is opened on the way, connections that the system redirected.

use std::{io::Write, os::unix::fs::PermissionsExt, path::Path, process::Command, sync::Arc};

use bytes::Bytes;
use qd_proxy::{
    Intercept, TapRequest,
    plan::{Forward, Transparent},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor, TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

use crate::{
    harness::*,
    tls::{Authority, identity},
};

/// A server of TLS that answers every request with its target, in either protocol.
async fn server(dir: &Path, file: &str, alpn: &[&str]) -> u16 {
    let (chain, key) = identity(dir, file);
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|a| a.as_bytes().to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut tls) = acceptor.accept(stream).await else {
                    return;
                };
                if tls.get_ref().1.alpn_protocol() == Some(b"h2") {
                    let mut connection = h2::server::handshake(tls).await.unwrap();
                    while let Some(Ok((request, mut respond))) = connection.accept().await {
                        let mut send = respond.send_response(http::Response::new(()), false).unwrap();
                        let text = format!("h2 {}", request.uri().path());
                        send.send_data(Bytes::from(text), true).unwrap();
                    }
                    return;
                }
                let mut text = Vec::new();
                while !text.ends_with(b"\r\n\r\n") {
                    let mut chunk = [0; 1024];
                    match tls.read(&mut chunk).await {
                        Ok(n) if n > 0 => text.extend_from_slice(&chunk[..n]),
                        _ => return,
                    }
                }
                let path = String::from_utf8(text).unwrap().split(' ').nth(1).unwrap().to_owned();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\nh1 {path}",
                    path.len() + 3
                );
                tls.write_all(answer.as_bytes()).await.unwrap();
                tls.shutdown().await.unwrap();
            });
        }
    });
    port
}

fn intercepting(dir: &Path, except: &[&str]) -> Front {
    let origin = Origin::new();
    front_with(&origin, |p| {
        p.listeners[0].forward = Forward::On;
        p.listeners[0].intercept = Some(Intercept {
            certificate: dir.join("own.crt"),
            key: dir.join("own.key"),
            except: except.iter().map(|e| (*e).to_owned()).collect(),
            upstream_ca: Some(dir.join("ca.crt")),
        });
    })
}

fn trusting(file: &Path, alpn: &[&str]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for c in CertificateDer::pem_file_iter(file).unwrap() {
        roots.add(c.unwrap()).unwrap();
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|a| a.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// TLS with a name through CONNECT.
async fn through(
    front: &Front,
    to: u16,
    name: &'static str,
    config: Arc<ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut stream = TcpStream::connect(front.address).await?;
    let ask = format!("CONNECT 127.0.0.1:{to} HTTP/1.1\r\nHost: 127.0.0.1:{to}\r\n\r\n");
    stream.write_all(ask.as_bytes()).await?;
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        text.push(stream.read_u8().await?);
    }
    assert!(text.starts_with(b"HTTP/1.1 200 "));
    TlsConnector::from(config)
        .connect(ServerName::try_from(name).unwrap(), stream)
        .await
}

async fn get(mut tls: TlsStream<TcpStream>) -> String {
    tls.write_all(b"GET /seen HTTP/1.1\r\nHost: up.example\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut text = String::new();
    tls.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_opened_by_an_authority_of_our_own() {
    let (ca, dir) = (Authority::new(), tempfile::tempdir().unwrap());
    ca.issue(dir.path(), "up", "up.example");
    ca.write(dir.path());
    let front = intercepting(dir.path(), &[]);
    let own = dir.path().join("own.crt");
    let mode = std::fs::metadata(dir.path().join("own.key"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut tap = front.proxy.tap(TapRequest::default());
    let port = server(dir.path(), "up", &["h2", "http/1.1"]).await;
    let tls = through(&front, port, "up.example", trusting(&own, &["http/1.1"]))
        .await
        .unwrap();
    assert!(get(tls).await.ends_with("h1 /seen"));
    let flow = tap.next().await.unwrap();
    assert_eq!(
        (flow.request().target(), flow.tls, flow.status()),
        (&b"/seen"[..], true, Some(200))
    );
    assert!(flow.end().unwrap().timings.upstream_handshake.is_some());
    // The tunnel is a flow too.
    assert_eq!(tap.next().await.unwrap().request().method(), b"CONNECT");
    // HTTP/2 on both sides.
    let tls = through(&front, port, "up.example", trusting(&own, &["h2"]))
        .await
        .unwrap();
    assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (send, connection) = h2::client::handshake(tls).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("https://up.example/two").body(()).unwrap();
    let (answer, _) = send.ready().await.unwrap().send_request(request, true).unwrap();
    let mut answer = answer.await.unwrap();
    assert_eq!(answer.body_mut().data().await.unwrap().unwrap(), "h2 /two");
    // An authority that is there is used again.
    let before = std::fs::read(&own).unwrap();
    let second = intercepting(dir.path(), &[]);
    assert_eq!(std::fs::read(&own).unwrap(), before);
    let tls = through(&second, port, "up.example", trusting(&own, &[])).await.unwrap();
    assert!(get(tls).await.ends_with("h1 /seen"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_is_not_who_it_should_be_is_a_clear_502() {
    let (ca, other, dir) = (Authority::new(), Authority::new(), tempfile::tempdir().unwrap());
    other.issue(dir.path(), "up", "up.example");
    ca.write(dir.path());
    let front = intercepting(dir.path(), &[]);
    let port = server(dir.path(), "up", &[]).await;
    let own = trusting(&dir.path().join("own.crt"), &[]);
    let tls = through(&front, port, "up.example", own).await.unwrap();
    let text = get(tls).await;
    assert!(text.starts_with("HTTP/1.1 502 "), "{text}");
    assert!(
        text.contains("certificate is not accepted") && text.contains("invalid peer certificate"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_may_be_left_closed_and_what_is_no_tls_is_read() {
    let (ca, dir) = (Authority::new(), tempfile::tempdir().unwrap());
    ca.issue(dir.path(), "up", "up.example");
    ca.write(dir.path());
    let front = intercepting(dir.path(), &["*.example"]);
    let port = server(dir.path(), "up", &[]).await;
    // The upstream's own certificate is seen.
    let tls = through(&front, port, "up.example", trusting(&dir.path().join("ca.crt"), &[]));
    assert!(get(tls.await.unwrap()).await.ends_with("h1 /seen"));
    let closed = trusting(&dir.path().join("own.crt"), &[]);
    assert!(through(&front, port, "up.example", closed).await.is_err());
    let address = front.address;
    tokio::task::spawn_blocking(move || {
        let origin = Origin::new();
        let mut client = front.connect();
        client.send(format!("CONNECT {} HTTP/1.1\r\nHost: x\r\n\r\n", origin.address));
        client.head();
        client.send("GET /plain HTTP/1.1\r\nHost: x\r\n\r\n");
        let mut upstream = origin.accept();
        let asked = upstream.head();
        assert!(asked.starts_with("GET /plain ") && header(&asked, "via").is_some());
        upstream.send(OK);
        assert_eq!(client.message().1, "ok");
        // A server that speaks first is heard, whatever it speaks.
        let mut client = front.connect();
        client.send(format!("CONNECT {} HTTP/1.1\r\nHost: x\r\n\r\n", origin.address));
        client.head();
        let mut upstream = origin.accept();
        upstream.send("220 hello\r\n");
        assert_eq!(client.until("\r\n"), "220 hello\r\n");
        client.send("QUIT\r\n");
        assert_eq!(upstream.until("\r\n"), "QUIT\r\n");
        assert_eq!(front.address, address);
    })
    .await
    .unwrap();
}

#[test]
fn an_authority_and_a_key_that_do_not_belong_together_are_refused() {
    let (a, b, dir) = (Authority::new(), Authority::new(), tempfile::tempdir().unwrap());
    a.issue(dir.path(), "leaf", "x.example");
    b.write(dir.path());
    let origin = Origin::new();
    let mut plan = plan(&[&origin]);
    plan.listeners[0].intercept = Some(Intercept {
        certificate: dir.path().join("ca.crt"),
        key: dir.path().join("leaf.key"),
        except: vec![],
        upstream_ca: None,
    });
    let error = qd_proxy::Proxy::start(&plan, qd_proxy::Options { workers: 1 }).unwrap_err();
    assert!(error.to_string().contains("ca.crt"), "{error}");
}

/// Runs a part of this binary in a network of its own, if the machine lets us.
fn in_a_network(part: &str) -> bool {
    let may = Command::new("unshare")
        .args(["-n", "true"])
        .status()
        .is_ok_and(|s| s.success());
    let has = Command::new("iptables")
        .arg("--version")
        .output()
        .is_ok_and(|o| o.status.success());
    if !may || !has {
        let _ = writeln!(
            std::io::stderr(),
            "skipped: a network of its own needs root (unshare: {may}) and iptables ({has})"
        );
        return false;
    }
    let own = std::env::current_exe().unwrap();
    let output = Command::new("unshare")
        .args(["-n"])
        .arg(own)
        .args(["--exact", part, "--nocapture"])
        .env("QD_PROXY_PART", part)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if text.contains("no redirection here") {
        let _ = writeln!(std::io::stderr(), "skipped: {text}");
        return false;
    }
    assert!(output.status.success(), "{text}");
    true
}

#[test]
fn redirected_connections_go_where_they_were_going() {
    let part = "modes::redirected_connections_go_where_they_were_going";
    if std::env::var("QD_PROXY_PART").is_ok_and(|p| p == part) {
        return redirected();
    }
    in_a_network(part);
}

fn run(command: &str) -> bool {
    let mut words = command.split(' ');
    let program = words.next().unwrap();
    Command::new(program).args(words).status().is_ok_and(|s| s.success())
}

/// Within a network of its own.
fn redirected() {
    assert!(run("ip link set lo up"));
    assert!(run("ip addr add 10.9.8.7/32 dev lo"));
    let origin = Origin::at("10.9.8.7:0");
    let front = front_with(&origin, |p| {
        p.listeners[0].transparent = Transparent::On;
        p.listeners[0].routes.clear();
        p.listeners[0].opaque = None;
        p.clusters.clear();
    });
    let (from, to) = (origin.address, front.address);
    // What the proxy itself opens has a mark that the rule leaves alone: it goes by the port it comes from.
    let rule = format!(
        "iptables -t nat -A OUTPUT -p tcp -d 10.9.8.7 --sport 40000:40009 -j REDIRECT --to-ports {}",
        to.port()
    );
    if !run(&rule) {
        let _ = writeln!(std::io::stderr(), "no redirection here: {rule}");
        return;
    }
    let connect = |port: u16| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket
            .bind(&std::net::SocketAddr::from(([127, 0, 0, 1], port)).into())
            .or_else(|_| socket.bind(&std::net::SocketAddr::from(([0, 0, 0, 0], port)).into()))
            .unwrap();
        socket.connect(&from.into()).unwrap();
        Wire::new(socket.into())
    };
    let mut client = connect(40_000);
    client.send("GET /there HTTP/1.1\r\nHost: whatever.example\r\n\r\n");
    let mut upstream = origin.accept();
    let asked = upstream.head();
    assert!(
        asked.starts_with("GET /there ") && header(&asked, "via").is_some(),
        "{asked}"
    );
    upstream.send(OK);
    assert_eq!(client.message().1, "ok");
    // Bytes too.
    let mut client = connect(40_001);
    client.send([0u8, 1, 2, 3]);
    let mut upstream = origin.accept();
    assert_eq!(upstream.exactly(4), [0, 1, 2, 3]);
    // Who comes unredirected is not served.
    let mut direct = front.connect();
    let _ = direct.stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(direct.rest(), "");
}
