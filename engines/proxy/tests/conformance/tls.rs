//! TLS on either side, and files that change.

use std::{path::Path, sync::Arc};

use qd_proxy::{Check, ClientTls, ServerTls, plan::UpstreamProtocol};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor, TlsConnector,
    rustls::{
        ClientConfig, RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    },
};

use crate::harness::*;

pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Authority {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority {
            issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap(),
        }
    }

    /// Writes a certificate of that name and its key.
    pub(crate) fn issue(&self, dir: &Path, file: &str, name: &str) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(dir.join(format!("{file}.crt")), cert.pem()).unwrap();
        std::fs::write(dir.join(format!("{file}.key")), key.serialize_pem()).unwrap();
    }

    pub(crate) fn write(&self, dir: &Path) {
        std::fs::write(dir.join("ca.crt"), self.issuer.pem()).unwrap();
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        Arc::new(roots)
    }
}

pub(crate) fn identity(dir: &Path, file: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    (
        CertificateDer::pem_file_iter(dir.join(format!("{file}.crt")))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap(),
        PrivateKeyDer::from_pem_file(dir.join(format!("{file}.key"))).unwrap(),
    )
}

fn client_config(ca: &Authority, own: Option<(&Path, &str)>, alpn: &[&str]) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(ca.roots());
    let mut config = match own {
        Some((dir, file)) => {
            let (chain, key) = identity(dir, file);
            builder.with_client_auth_cert(chain, key).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn.iter().map(|a| a.as_bytes().to_vec()).collect();
    Arc::new(config)
}

async fn get(front: &Front, config: Arc<ClientConfig>, name: &'static str) -> std::io::Result<String> {
    let stream = TcpStream::connect(front.address).await?;
    let mut tls = TlsConnector::from(config)
        .connect(ServerName::try_from(name).unwrap(), stream)
        .await?;
    tls.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        .await?;
    let mut text = String::new();
    tls.read_to_string(&mut text).await?;
    Ok(text)
}

/// Answers every request with what it asked.
fn echo(origin: Origin) {
    std::thread::spawn(move || {
        while let Some(mut wire) = origin.try_accept(PATIENCE) {
            std::thread::spawn(move || {
                let head = wire.head();
                wire.send(format!(
                    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{head}",
                    head.len()
                ));
            });
        }
    });
}

fn secured(origin: &Origin, dir: &Path, client_ca: bool) -> Front {
    front_with(origin, |p| {
        p.listeners[0].tls = Some(ServerTls {
            client_ca: client_ca.then(|| dir.join("ca.crt")),
            ..ServerTls::new(dir.join("a.crt"), dir.join("a.key"))
        });
        p.clusters[0].protocol = UpstreamProtocol::Http1;
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_ended_here_for_both_protocols() {
    let (ca, dir, origin) = (Authority::new(), tempfile::tempdir().unwrap(), Origin::new());
    ca.issue(dir.path(), "a", "a.example");
    let front = secured(&origin, dir.path(), false);
    echo(origin);
    let text = get(&front, client_config(&ca, None, &["http/1.1"]), "a.example")
        .await
        .unwrap();
    assert!(text.contains("X-Forwarded-Proto: https\r\n"), "{text}");
    let stream = TcpStream::connect(front.address).await.unwrap();
    let tls = TlsConnector::from(client_config(&ca, None, &["h2", "http/1.1"]))
        .connect(ServerName::try_from("a.example").unwrap(), stream)
        .await
        .unwrap();
    assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (send, connection) = h2::client::handshake(tls).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("https://other.example/x").body(()).unwrap();
    let (answer, _) = send.ready().await.unwrap().send_request(request, true).unwrap();
    let mut answer = answer.await.unwrap();
    let data = answer.body_mut().data().await.unwrap().unwrap();
    // The name in the handshake and the host of the request differ, and the latter is the request's.
    assert!(String::from_utf8_lossy(&data).contains("host: other.example\r\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_must_show_who_they_are_if_that_is_asked() {
    let (ca, dir, origin) = (Authority::new(), tempfile::tempdir().unwrap(), Origin::new());
    ca.issue(dir.path(), "a", "a.example");
    ca.issue(dir.path(), "me", "me.example");
    ca.write(dir.path());
    let front = secured(&origin, dir.path(), true);
    echo(origin);
    assert!(get(&front, client_config(&ca, None, &[]), "a.example").await.is_err());
    let me = client_config(&ca, Some((dir.path(), "me")), &[]);
    assert!(get(&front, me, "a.example").await.unwrap().starts_with("HTTP/1.1 200 "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_files_are_taken_over_and_broken_ones_are_not() {
    let (old, new, dir, origin) = (
        Authority::new(),
        Authority::new(),
        tempfile::tempdir().unwrap(),
        Origin::new(),
    );
    old.issue(dir.path(), "a", "a.example");
    let front = secured(&origin, dir.path(), false);
    echo(origin);
    // A connection that stands is not touched by what follows.
    let stream = TcpStream::connect(front.address).await.unwrap();
    let mut standing = TlsConnector::from(client_config(&old, None, &[]))
        .connect(ServerName::try_from("a.example").unwrap(), stream)
        .await
        .unwrap();
    std::fs::write(
        dir.path().join("a.crt"),
        "-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    let said = front.proxy.look_at_files();
    assert!(
        matches!(&said[..], [(place, Err(_))] if place.contains("listen")),
        "{said:?}"
    );
    assert!(front.proxy.snapshot().listeners[0].tls_problem.is_some());
    get(&front, client_config(&old, None, &[]), "a.example").await.unwrap();
    new.issue(dir.path(), "a", "a.example");
    assert!(matches!(&front.proxy.look_at_files()[..], [(_, Ok(()))]));
    assert!(front.proxy.look_at_files().is_empty());
    get(&front, client_config(&new, None, &[]), "a.example").await.unwrap();
    assert!(get(&front, client_config(&old, None, &[]), "a.example").await.is_err());
    standing
        .write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut text = String::new();
    standing.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200 "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_of_tls_must_be_who_it_should_be() {
    let (ca, dir) = (Authority::new(), tempfile::tempdir().unwrap());
    ca.issue(dir.path(), "up", "up.example");
    ca.issue(dir.path(), "me", "me.example");
    ca.write(dir.path());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    let (chain, key) = identity(dir.path(), "up");
    let provider = Arc::new(ring::default_provider());
    let verifier =
        tokio_rustls::rustls::server::WebPkiClientVerifier::builder_with_provider(ca.roots(), provider.clone())
            .build()
            .unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(mut tls) = acceptor.accept(stream).await {
                    let mut chunk = [0; 4096];
                    while tls.read(&mut chunk).await.is_ok_and(|n| n > 0) {
                        if tls.write_all(OK.as_bytes()).await.is_err() {
                            break;
                        }
                    }
                }
            });
        }
    });
    let ask = |tls: ClientTls| {
        let plan = {
            let to = qd_proxy::plan::Address::Tcp("127.0.0.1".to_owned(), to.port());
            let mut plan = qd_proxy::Plan::simple(
                vec![qd_proxy::plan::Bind::Tcp("127.0.0.1:0".parse().unwrap())],
                vec![to],
            );
            plan.clusters[0].tls = Some(tls);
            plan.clusters[0].connect_timeout = PATIENCE;
            plan
        };
        tokio::task::spawn_blocking(move || {
            let front = start(&plan);
            let mut client = front.connect();
            client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
            client.message()
        })
    };
    let right = ClientTls {
        ca: Some(dir.path().join("ca.crt")),
        name: Some("up.example".to_owned()),
        identity: Some((dir.path().join("me.crt"), dir.path().join("me.key"))),
        check: Check::Full,
    };
    assert_eq!(ask(right.clone()).await.unwrap().1, "ok");
    let wrong_name = ClientTls {
        name: Some("other.example".to_owned()),
        ..right.clone()
    };
    let (head, _) = ask(wrong_name.clone()).await.unwrap();
    assert_eq!((status(&head), header(&head, "l5d-proxy-error")), (502, Some("tls")));
    let unchecked = ClientTls {
        check: Check::None,
        ..wrong_name
    };
    assert_eq!(ask(unchecked).await.unwrap().1, "ok");
}

#[test]
fn tls_is_passed_through_by_the_name_it_asks_for() {
    let (a, b) = (Origin::new(), Origin::new());
    let mut plan = plan(&[&a]);
    let mut second = plan.clusters[0].clone();
    second.name = "b".to_owned();
    second.endpoints = vec![(b.endpoint(), 1)];
    plan.clusters.push(second);
    plan.listeners[0].passthrough = vec![("*.b.example".to_owned(), "b".into())];
    let front = start(&plan);
    for (name, to) in [("x.b.example", &b), ("other.example", &a)] {
        let config = client_config(&Authority::new(), None, &[]);
        let name = ServerName::try_from(name).unwrap();
        let mut tls = tokio_rustls::rustls::ClientConnection::new(config, name).unwrap();
        let mut hello = Vec::new();
        tls.write_tls(&mut hello).unwrap();
        let mut client = front.connect();
        // In two pieces, since it must be put together before it is read.
        client.send(&hello[..20]);
        client.send(&hello[20..]);
        assert_eq!(to.accept().exactly(hello.len()), hello);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_certificate_goes_by_the_name_that_is_asked_for() {
    let (a, b, dir, origin) = (
        Authority::new(),
        Authority::new(),
        tempfile::tempdir().unwrap(),
        Origin::new(),
    );
    a.issue(dir.path(), "a", "a.example");
    b.issue(dir.path(), "b", "*.b.example");
    let front = front_with(&origin, |p| {
        p.listeners[0].tls = Some(ServerTls {
            others: vec![(dir.path().join("b.crt"), dir.path().join("b.key"))],
            ..ServerTls::new(dir.path().join("a.crt"), dir.path().join("a.key"))
        });
        p.clusters[0].protocol = UpstreamProtocol::Http1;
    });
    echo(origin);
    // Each is known by its authority alone, so whoever is answered was shown the right one.
    get(&front, client_config(&a, None, &[]), "a.example").await.unwrap();
    get(&front, client_config(&b, None, &[]), "x.b.example").await.unwrap();
    assert!(get(&front, client_config(&b, None, &[]), "a.example").await.is_err());
    // A name that nobody has is shown the first.
    assert!(
        get(&front, client_config(&b, None, &[]), "other.example")
            .await
            .is_err()
    );
    // The second one is looked after as well.
    a.issue(dir.path(), "b", "*.b.example");
    assert!(matches!(&front.proxy.look_at_files()[..], [(_, Ok(()))]));
    get(&front, client_config(&a, None, &[]), "x.b.example").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_changes_under_load_and_no_request_fails() {
    let (ca, dir, origin) = (Authority::new(), tempfile::tempdir().unwrap(), Origin::new());
    ca.issue(dir.path(), "a", "a.example");
    let front = Arc::new(secured(&origin, dir.path(), false));
    echo(origin);
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (front, stop, config) = (Arc::clone(&front), Arc::clone(&stop), client_config(&ca, None, &[]));
            tokio::spawn(async move {
                let mut answered = 0u32;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let text = get(&front, Arc::clone(&config), "a.example").await.unwrap();
                    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
                    answered += 1;
                }
                answered
            })
        })
        .collect();
    let mut taken = 0;
    for _ in 0..30 {
        ca.issue(dir.path(), "a", "a.example");
        taken += front.proxy.look_at_files().iter().filter(|(_, r)| r.is_ok()).count();
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    for client in clients {
        assert!(client.await.unwrap() > 0);
    }
    assert!(taken > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_goes_by_the_name_of_a_certificate() {
    let (ca, dir, origin) = (Authority::new(), tempfile::tempdir().unwrap(), Origin::new());
    ca.issue(dir.path(), "a", "a.example");
    ca.issue(dir.path(), "web", "web.ops.example");
    ca.issue(dir.path(), "other", "other.example");
    ca.write(dir.path());
    let front = front_with(&origin, |p| {
        p.listeners[0].tls = Some(ServerTls {
            client_ca: Some(dir.path().join("ca.crt")),
            ..ServerTls::new(dir.path().join("a.crt"), dir.path().join("a.key"))
        });
        p.clusters[0].protocol = UpstreamProtocol::Http1;
        let rule = qd_proxy::policy::AccessRule {
            identities: vec!["*.ops.example".parse().unwrap()],
            ..qd_proxy::policy::AccessRule::new(qd_proxy::policy::Verdict::Allow)
        };
        p.listeners[0].access = Some(Arc::new(qd_proxy::policy::AccessPolicy::new(vec![rule], None)));
        // One client each, whatever address they share.
        p.listeners[0].routes[0].client_rate = Some(qd_proxy::policy::RateLimit {
            per_second: 0.01,
            burst: 1,
        });
    });
    echo(origin);
    let by = |file: &'static str| client_config(&ca, Some((dir.path(), file)), &["http/1.1"]);
    let refused = get(&front, by("other"), "a.example").await.unwrap();
    assert!(
        refused.starts_with("HTTP/1.1 403 ") && refused.contains("l5d-proxy-error: denied"),
        "{refused}"
    );
    let text = get(&front, by("web"), "a.example").await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    let text = get(&front, by("web"), "a.example").await.unwrap();
    assert!(text.starts_with("HTTP/1.1 429 "), "{text}");
    ca.issue(dir.path(), "db", "db.ops.example");
    let text = get(&front, by("db"), "a.example").await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    // What the handshake said is shown.
    let stream = TcpStream::connect(front.address).await.unwrap();
    let _tls = TlsConnector::from(by("web"))
        .connect(ServerName::try_from("a.example").unwrap(), stream)
        .await
        .unwrap();
    let proxy = front.proxy.clone();
    tokio::task::spawn_blocking(move || {
        eventually("it is shown", || {
            proxy.snapshot().connections.iter().any(|c| {
                c.server_name.as_deref() == Some("a.example")
                    && c.identity.as_deref() == Some("web.ops.example")
                    && c.tls_version == Some("TLSv1.3")
            })
        });
    })
    .await
    .unwrap();
}

#[test]
fn plans_and_certificates_change_under_load_and_nothing_fails() {
    let (ca, dir) = (Authority::new(), tempfile::tempdir().unwrap());
    ca.issue(dir.path(), "a", "a.example");
    let origins = [Origin::new(), Origin::new(), Origin::new()];
    let endpoints: Vec<_> = origins.iter().map(Origin::endpoint).collect();
    let mut plan = plan(&[&origins[0], &origins[1], &origins[2]]);
    plan.listeners[0].tls = Some(ServerTls::new(dir.path().join("a.crt"), dir.path().join("a.key")));
    plan.clusters[0].protocol = UpstreamProtocol::Http1;
    let front = start(&plan);
    for origin in origins {
        std::thread::spawn(move || {
            while let Some(mut wire) = origin.try_accept(PATIENCE) {
                std::thread::spawn(move || {
                    let mut chunk = [0; 4096];
                    while std::io::Read::read(&mut wire.stream, &mut chunk).is_ok_and(|n| n > 0) {
                        if std::io::Write::write_all(&mut wire.stream, OK.as_bytes()).is_err() {
                            break;
                        }
                    }
                });
            }
        });
    }
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let served = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let config = client_config(&ca, None, &["http/1.1"]);
    let clients: Vec<_> = (0..3)
        .map(|n| {
            let (stop, served, config) = (Arc::clone(&stop), Arc::clone(&served), Arc::clone(&config));
            let address = front.address;
            runtime.spawn(async move {
                let mut tls = None;
                let mut buffer = vec![0; 4096];
                let mut count = 0usize;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    // Some connections last, others are new for each request.
                    if n == 0 || tls.is_none() {
                        let stream = TcpStream::connect(address).await.unwrap();
                        let name = ServerName::try_from("a.example").unwrap();
                        tls = Some(
                            TlsConnector::from(Arc::clone(&config))
                                .connect(name, stream)
                                .await
                                .unwrap(),
                        );
                    }
                    let wire = tls.as_mut().unwrap();
                    wire.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
                    let mut got = 0;
                    while !buffer[..got].ends_with(b"\r\n\r\nok") {
                        let n = wire.read(&mut buffer[got..]).await.unwrap();
                        assert!(n > 0, "cut after {:?}", String::from_utf8_lossy(&buffer[..got]));
                        got += n;
                    }
                    assert!(
                        buffer.starts_with(b"HTTP/1.1 200 "),
                        "{}",
                        String::from_utf8_lossy(&buffer[..got])
                    );
                    served.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    count += 1;
                }
                count
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
        front.proxy.apply(&plan).unwrap();
        if n % 50 == 0 {
            ca.issue(dir.path(), "a", "a.example");
            for (_, result) in front.proxy.look_at_files() {
                result.unwrap();
            }
        }
        let before = served.load(std::sync::atomic::Ordering::Relaxed);
        if n % 20 == 0 {
            eventually("requests go on", || {
                served.load(std::sync::atomic::Ordering::Relaxed) > before
            });
        }
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    for client in clients {
        assert!(runtime.block_on(client).unwrap() > 0);
    }
    let snapshot = front.proxy.snapshot();
    assert_eq!((snapshot.totals.faults, snapshot.errors.len()), (0, 0));
    assert_eq!(snapshot.plans, 1001);
}
