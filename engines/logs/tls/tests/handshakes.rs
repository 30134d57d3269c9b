//! Handshakes between clients and servers as they are configured.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod certs;

use std::{path::PathBuf, process::Command, sync::Arc};

use certs::{Authority, Leaf};
use pkcs8::{PrivateKeyInfoRef, pkcs5::pbes2::Parameters};
use qd_logs_config::common::TlsConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsAcceptor, TlsConnector};

fn inline(pem: &str) -> Option<PathBuf> {
    Some(PathBuf::from(pem))
}

fn serving(leaf: &Leaf) -> TlsConfig {
    TlsConfig {
        enabled: Some(true),
        crt_file: inline(&leaf.crt),
        key_file: inline(&leaf.key),
        ..TlsConfig::default()
    }
}

fn trusting(authority: &Authority) -> TlsConfig {
    TlsConfig {
        ca_file: inline(&authority.pem),
        ..TlsConfig::default()
    }
}

fn said<T>(result: Result<T, qd_logs_model::BuildError>) -> String {
    match result {
        Ok(_) => panic!("it was taken"),
        Err(e) => format!("{}: {}", e.path.join("."), e.message),
    }
}

/// A handshake and a word each way; the protocol that was agreed on, or what each side says.
async fn shake(server: &TlsConfig, client: &TlsConfig, host: &str) -> Result<Option<Vec<u8>>, String> {
    let acceptor = TlsAcceptor::from(qd_logs_tls::server(Some(server), &["h2", "http/1.1"]).unwrap().unwrap());
    let connector = TlsConnector::from(Arc::new(qd_logs_tls::client(Some(client), &["http/1.1"]).unwrap()));
    let name = qd_logs_tls::server_name(client, host).unwrap();
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let serve = async move {
        let mut stream = acceptor.accept(theirs).await?;
        let mut word = [0; 4];
        stream.read_exact(&mut word).await?;
        stream.write_all(&word).await?;
        stream.flush().await?;
        Ok::<_, std::io::Error>(())
    };
    let ask = async move {
        let mut stream = connector.connect(name, ours).await?;
        stream.write_all(b"ping").await?;
        stream.flush().await?;
        let mut word = [0; 4];
        stream.read_exact(&mut word).await?;
        assert_eq!(&word, b"ping");
        Ok::<_, std::io::Error>(stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec))
    };
    let (served, asked) = tokio::join!(serve, ask);
    match (served, asked) {
        (Ok(()), Ok(protocol)) => Ok(protocol),
        (served, asked) => Err(format!("server: {served:?}, client: {asked:?}")),
    }
}

#[tokio::test]
async fn a_client_checks_authority_name_and_time() {
    let (good, other) = (Authority::new("good"), Authority::new("other"));
    let names = ["logs.test", "127.0.0.1"];
    let leaf = good.leaf(&names);
    for host in names {
        let agreed = shake(&serving(&leaf), &trusting(&good), host).await.unwrap();
        assert_eq!(agreed.as_deref(), Some(&b"http/1.1"[..]));
    }
    let mut refused = Vec::new();
    for (what, leaf, client, host, why) in [
        (
            "another authority",
            good.leaf(&names),
            trusting(&other),
            "logs.test",
            "UnknownIssuer",
        ),
        (
            "another name",
            good.leaf(&names),
            trusting(&good),
            "other.test",
            "NotValidForName",
        ),
        (
            "another address",
            good.leaf(&names),
            trusting(&good),
            "127.0.0.2",
            "NotValidForName",
        ),
        (
            "its time is over",
            good.expired(&names),
            trusting(&good),
            "logs.test",
            "Expired",
        ),
    ] {
        let server = serving(&leaf);
        let error = shake(&server, &client, host).await.unwrap_err();
        if !error.contains(why) {
            refused.push(format!("{what}: {error}"));
        }
        // Without any verification each of them passes; without that of the name only the name does not matter.
        let blind = TlsConfig {
            verify_certificate: Some(false),
            ..client.clone()
        };
        shake(&server, &blind, host).await.unwrap();
        let nameless = TlsConfig {
            verify_hostname: Some(false),
            ..client.clone()
        };
        assert_eq!(
            shake(&server, &nameless, host).await.is_ok(),
            why == "NotValidForName",
            "{what}"
        );
        // The name may be another than the host's.
        let renamed = TlsConfig {
            server_name: Some("logs.test".to_owned()),
            ..client
        };
        assert_eq!(
            shake(&server, &renamed, host).await.is_ok(),
            why == "NotValidForName",
            "{what}"
        );
    }
    assert!(refused.is_empty(), "{refused:#?}");
    let elsewhere = TlsConfig {
        server_name: Some("elsewhere.test".to_owned()),
        ..trusting(&good)
    };
    assert!(
        shake(&serving(&leaf), &elsewhere, "logs.test")
            .await
            .unwrap_err()
            .contains("NotValidForName")
    );
}

#[tokio::test]
async fn a_server_checks_its_clients_if_it_is_told_to() {
    let (good, other) = (Authority::new("good"), Authority::new("other"));
    let leaf = good.leaf(&["logs.test"]);
    let strict = TlsConfig {
        verify_certificate: Some(true),
        ca_file: inline(&good.pem),
        ..serving(&leaf)
    };
    let with = |leaf: &Leaf| TlsConfig {
        crt_file: inline(&leaf.crt),
        key_file: inline(&leaf.key),
        ..trusting(&good)
    };
    shake(&strict, &with(&good.leaf(&["client"])), "logs.test")
        .await
        .unwrap();
    for (client, why) in [
        (trusting(&good), "NoCertificatesPresented"),
        (with(&other.leaf(&["client"])), "UnknownIssuer"),
        (with(&good.expired(&["client"])), "Expired"),
    ] {
        let error = shake(&strict, &client, "logs.test").await.unwrap_err();
        assert!(error.contains(why), "{why}: {error}");
        // Who is not asked may show anything.
        shake(&serving(&leaf), &client, "logs.test").await.unwrap();
    }
}

#[tokio::test]
async fn protocols_are_offered_as_configured() {
    let good = Authority::new("good");
    let leaf = good.leaf(&["logs.test"]);
    let client = TlsConfig {
        alpn_protocols: Some(vec!["h2".to_owned(), "http/1.1".to_owned()]),
        ..trusting(&good)
    };
    assert_eq!(
        shake(&serving(&leaf), &client, "logs.test").await.unwrap().unwrap(),
        b"h2"
    );
    let only = TlsConfig {
        alpn_protocols: Some(vec!["http/1.1".to_owned()]),
        ..serving(&leaf)
    };
    assert_eq!(shake(&only, &client, "logs.test").await.unwrap().unwrap(), b"http/1.1");
}

/// PKCS #8 in the form of OpenSSL 3: PBKDF2 with SHA-256, AES-256 in CBC.
fn encrypted(der: &[u8], pass: &str) -> Vec<u8> {
    let params = Parameters::generate_pbkdf2_sha256_aes256cbc(1000, b"saltsalt", [7; 16]).unwrap();
    let key = PrivateKeyInfoRef::try_from(der).unwrap();
    key.encrypt_with_params(params, pass).unwrap().as_bytes().to_vec()
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::{Engine, prelude::BASE64_STANDARD};
    let text = BASE64_STANDARD.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|c| std::str::from_utf8(c).unwrap())
        .collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

#[tokio::test]
async fn encrypted_keys_open_with_their_password() {
    let good = Authority::new("good");
    let leaf = good.leaf(&["logs.test"]);
    let der = encrypted(&leaf.der, "open sesame");
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let text = pem("ENCRYPTED PRIVATE KEY", &der);
    let with = |key: PathBuf, pass: Option<&str>| TlsConfig {
        key_file: Some(key),
        key_pass: pass.map(str::to_owned),
        ..serving(&leaf)
    };
    for key in [
        file("key.der", &der),
        file("key.pem", text.as_bytes()),
        PathBuf::from(&text),
    ] {
        shake(&with(key.clone(), Some("open sesame")), &trusting(&good), "logs.test")
            .await
            .unwrap();
        let none = said(qd_logs_tls::server(Some(&with(key.clone(), None)), &[]));
        assert!(
            none.contains("key_pass") && none.contains("must give its password"),
            "{none}"
        );
        let wrong = said(qd_logs_tls::server(Some(&with(key, Some("sesame"))), &[]));
        assert!(wrong.contains("key_pass") && wrong.contains("does not open"), "{wrong}");
        assert!(!wrong.contains("sesame"), "the password is not said: {wrong}");
    }
    // A password that nothing needs does not matter, as with OpenSSL.
    shake(
        &with(inline(&leaf.key).unwrap(), Some("x")),
        &trusting(&good),
        "logs.test",
    )
    .await
    .unwrap();
    for (name, broken) in [
        ("cut", &text[..200]),
        (
            "none",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\n-----END ENCRYPTED PRIVATE KEY-----",
        ),
    ] {
        let error = said(qd_logs_tls::server(
            Some(&with(file(name, broken.as_bytes()), Some("x"))),
            &[],
        ));
        assert!(error.contains("tls.key_file"), "{error}");
    }
}

#[test]
fn what_can_not_be_used_is_refused_by_its_option() {
    let good = Authority::new("good");
    let (one, two) = (good.leaf(&["one"]), good.leaf(&["two"]));
    let server = |f: &dyn Fn(&mut TlsConfig)| {
        let mut o = serving(&one);
        f(&mut o);
        said(qd_logs_tls::server(Some(&o), &[]))
    };
    let absent = PathBuf::from("/nowhere/at/all");
    for (error, wanted) in [
        (server(&|o| o.key_file = None), "tls.key_file"),
        (server(&|o| o.crt_file = None), "tls.crt_file"),
        (
            server(&|o| (o.crt_file, o.key_file) = (None, None)),
            "needs `tls.crt_file`",
        ),
        (server(&|o| o.crt_file = Some(absent.clone())), "/nowhere/at/all"),
        (server(&|o| o.key_file = inline(&two.key)), "tls.crt_file"),
        (server(&|o| o.key_file = inline(&one.crt)), "tls.key_file"),
        (server(&|o| o.crt_file = inline(&one.key)), "no certificate in it"),
        (
            server(&|o| (o.verify_certificate, o.ca_file) = (Some(true), inline(&one.key))),
            "tls.ca_file",
        ),
    ] {
        assert!(error.contains(wanted), "{wanted}: {error}");
    }
    let client = |o: &TlsConfig| said(qd_logs_tls::client(Some(o), &[]));
    let mut o = trusting(&good);
    o.server_name = Some("no name".to_owned());
    assert!(client(&o).contains("tls.server_name"));
    assert!(qd_logs_tls::server(None, &[]).unwrap().is_none());
    assert!(qd_logs_tls::server(Some(&TlsConfig::default()), &[]).unwrap().is_none());
}

/// What OpenSSL itself writes.
#[tokio::test]
async fn keys_that_openssl_encrypts() {
    if Command::new("openssl").arg("version").output().is_err() {
        eprintln!("skipped: openssl is not installed");
        return;
    }
    let good = Authority::new("good");
    let leaf = good.leaf(&["logs.test"]);
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("plain.pem"), &leaf.key).unwrap();
    std::fs::write(path("crt.pem"), &leaf.crt).unwrap();
    let openssl = |line: &str| {
        let done = Command::new("openssl")
            .args(line.split(' '))
            .current_dir(dir.path())
            .output()
            .unwrap();
        assert!(
            done.status.success(),
            "{line}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
    };
    let with = |key: &str| TlsConfig {
        key_file: Some(path(key)),
        key_pass: Some("p\u{e4}ss".to_owned()),
        ..serving(&leaf)
    };
    for (name, how) in [
        ("usual.pem", ""),
        ("usual.der", "-outform DER"),
        ("aes128.pem", "-v2 aes-128-cbc"),
        ("old.pem", "-v2 des3 -v2prf hmacWithSHA1"),
        ("sha512.pem", "-v2 aes-256-cbc -v2prf hmacWithSHA512"),
        ("scrypt.pem", "-scrypt"),
    ] {
        let how = if how.is_empty() {
            String::new()
        } else {
            format!(" {how}")
        };
        openssl(&format!(
            "pkcs8 -topk8 -in plain.pem -out {name} -passout pass:p\u{e4}ss{how}"
        ));
        shake(&with(name), &trusting(&good), "logs.test").await.unwrap();
    }
    openssl("ec -in plain.pem -out sec1.pem");
    shake(&with("sec1.pem"), &trusting(&good), "logs.test").await.unwrap();
    openssl("ec -in plain.pem -out legacy.pem -aes256 -passout pass:p\u{e4}ss");
    let legacy = said(qd_logs_tls::server(Some(&with("legacy.pem")), &[]));
    assert!(legacy.contains("openssl pkcs8 -topk8"), "{legacy}");
    openssl("pkcs12 -export -in crt.pem -inkey plain.pem -out both.p12 -passout pass:p\u{e4}ss");
    let archive = TlsConfig {
        crt_file: Some(path("both.p12")),
        key_file: None,
        ..with("plain.pem")
    };
    let archive = said(qd_logs_tls::server(Some(&archive), &[]));
    assert!(
        archive.contains("tls.crt_file") && archive.contains("PKCS #12 archives are not supported"),
        "{archive}"
    );
    openssl("x509 -in crt.pem -outform DER -out crt.der");
    let der = TlsConfig {
        crt_file: Some(path("crt.der")),
        ..with("plain.pem")
    };
    shake(&der, &trusting(&good), "logs.test").await.unwrap();
}
