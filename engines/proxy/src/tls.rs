//! TLS by rustls: what a listener presents, what an upstream must present, and taking over changed files.
//!
//! Files are read when a plan is taken over, and looked at again every second. New files that can't be used leave what
//! was there, and the reason is told. Connections that stand are never touched by a change.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio_rustls::rustls::{
    self, ClientConfig, RootCertStore, ServerConfig,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::{ClientHello, ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
};

/// What a listener presents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// The chain, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// Other chains with their keys; the first of all that fits the name a client asks for is presented, else the one above.
    pub others: Vec<(PathBuf, PathBuf)>,
    /// Authorities of clients; clients are asked for a certificate if it is there.
    pub client_ca: Option<PathBuf>,
    /// Whether clients must have one, if they are asked.
    pub client_auth: ClientAuth,
    /// Protocols in order of preference.
    pub alpn: Vec<Vec<u8>>,
}

impl ServerTls {
    /// A chain and its key, for HTTP/2 and HTTP/1.
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> ServerTls {
        ServerTls {
            certificate: certificate.into(),
            key: key.into(),
            others: Vec::new(),
            client_ca: None,
            client_auth: ClientAuth::Require,
            alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        }
    }
}

/// What an upstream must present, and what is presented to it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientTls {
    /// Authorities; the system's if absent.
    pub ca: Option<PathBuf>,
    /// The name it must have; the endpoint's host if absent.
    pub name: Option<String>,
    /// Our own chain and key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Whether the certificate is checked.
    pub check: Check,
}

/// Whether clients must have a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientAuth {
    /// Without one there is no connection.
    #[default]
    Require,
    /// One that is presented is checked.
    Request,
}

/// Whether a server's certificate is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Check {
    /// It is.
    #[default]
    Full,
    /// It is not: anyone may answer.
    None,
}

/// Why TLS can't be set up.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read.
    #[error("{what} `{}` can't be read: {reason}", path.display())]
    Read {
        /// Which file.
        what: &'static str,
        /// Its path.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// What is in them can't be used.
    #[error("certificate `{}` and its key can't be used: {reason}", path.display())]
    Unusable {
        /// The certificate's path.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Authorities can't be used.
    #[error("the authorities can't be used: {0}")]
    Authorities(String),
    /// A name that is none.
    #[error("`{0}` is no name of a server")]
    Name(String),
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

pub(crate) fn certificates(path: &Path, what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let error = |reason: String| TlsError::Read {
        what,
        path: path.to_owned(),
        reason,
    };
    let bytes = std::fs::read(path).map_err(|e| error(e.to_string()))?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err(error("there is no certificate in it".to_owned())),
        Err(e) => Err(error(e.to_string())),
    }
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|e| TlsError::Read {
        what: "the key",
        path: path.to_owned(),
        reason: e.to_string(),
    })
}

fn roots(path: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    match path {
        Some(path) => {
            for c in certificates(path, "the authorities' file")? {
                roots.add(c).map_err(|e| TlsError::Authorities(e.to_string()))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(roots)
}

impl ServerTls {
    fn load(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let unusable = |path: &Path| {
            let path = path.to_owned();
            move |e: rustls::Error| TlsError::Unusable {
                path,
                reason: e.to_string(),
            }
        };
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(unusable(&self.certificate))?;
        let builder = match &self.client_ca {
            Some(ca) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(Some(ca))?), provider());
                let verifier = match self.client_auth {
                    ClientAuth::Require => verifier,
                    ClientAuth::Request => verifier.allow_unauthenticated(),
                };
                let verifier = verifier.build().map_err(|e| TlsError::Authorities(e.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
            None => builder.with_no_client_auth(),
        };
        let own = (&self.certificate, &self.key);
        let mut keys = Vec::new();
        for (path, its_key) in std::iter::once(own).chain(self.others.iter().map(|(c, k)| (c, k))) {
            let chain = certificates(path, "the certificate")?;
            let made = CertifiedKey::from_der(chain, key(its_key)?, &provider());
            keys.push(Arc::new(made.map_err(unusable(path))?));
        }
        let mut config = builder.with_cert_resolver(Arc::new(ByName(keys)));
        config.alpn_protocols = self.alpn.clone();
        Ok(Arc::new(config))
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files = vec![self.certificate.clone(), self.key.clone()];
        files.extend(self.others.iter().flat_map(|(c, k)| [c.clone(), k.clone()]));
        files.extend(self.client_ca.clone());
        files
    }
}

/// Presents the first certificate that fits the name a client asks for and that it can check; else the first one.
#[derive(Debug)]
struct ByName(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().and_then(|n| ServerName::try_from(n).ok());
        let fits = |key: &&Arc<CertifiedKey>| {
            let leaf = key.end_entity_cert().ok();
            let leaf = leaf.and_then(|der| ParsedCertificate::try_from(der).ok());
            let named = name
                .as_ref()
                .zip(leaf)
                .is_some_and(|(n, c)| verify_server_name(&c, n).is_ok());
            named && key.key.choose_scheme(hello.signature_schemes()).is_some()
        };
        let found = match &self.0[..] {
            [only] => Some(only),
            all => all.iter().find(fits).or(all.first()),
        };
        found.cloned()
    }
}

impl ClientTls {
    pub(crate) fn load(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|e| TlsError::Authorities(e.to_string()))?;
        let builder = match self.check {
            Check::Full => {
                let roots = Arc::new(roots(self.ca.as_deref())?);
                let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider())
                    .build()
                    .map_err(|e| TlsError::Authorities(e.to_string()))?;
                builder.with_webpki_verifier(verifier)
            }
            Check::None => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Anyone(provider()))),
        };
        match &self.identity {
            Some((chain, own)) => {
                let certificates = certificates(chain, "the certificate")?;
                builder
                    .with_client_auth_cert(certificates, key(own)?)
                    .map_err(|e| TlsError::Unusable {
                        path: chain.clone(),
                        reason: e.to_string(),
                    })
                    .map(Arc::new)
            }
            None => Ok(Arc::new(builder.with_no_client_auth())),
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = self.ca.iter().cloned().collect();
        if let Some((chain, key)) = &self.identity {
            files.extend([chain.clone(), key.clone()]);
        }
        files
    }

    /// The name that the server must have.
    pub(crate) fn server_name(&self, host: &str) -> Result<ServerName<'static>, TlsError> {
        let name = self.name.as_deref().unwrap_or(host);
        ServerName::try_from(name.to_owned()).map_err(|_| TlsError::Name(name.to_owned()))
    }
}

/// Takes any certificate.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

type Stamps = Vec<Option<(SystemTime, u64)>>;

fn stamps(files: &[PathBuf]) -> Stamps {
    let stamp = |p: &PathBuf| {
        let meta = std::fs::metadata(p).ok()?;
        Some((meta.modified().ok()?, meta.len()))
    };
    files.iter().map(stamp).collect()
}

/// A configuration of rustls that follows its files.
#[derive(Debug)]
pub(crate) struct Live<C> {
    current: ArcSwap<C>,
    files: Vec<PathBuf>,
    seen: Mutex<(Stamps, Option<TlsError>)>,
}

impl<C> Live<C> {
    fn new(config: Arc<C>, files: Vec<PathBuf>) -> Arc<Live<C>> {
        Arc::new(Live {
            current: ArcSwap::new(config),
            seen: Mutex::new((stamps(&files), None)),
            files,
        })
    }

    /// What holds for a connection that begins now.
    pub(crate) fn get(&self) -> Arc<C> {
        self.current.load_full()
    }

    /// Why the newest files were not taken.
    pub(crate) fn problem(&self) -> Option<TlsError> {
        self.seen.lock().1.clone()
    }

    fn look(&self, load: impl FnOnce() -> Result<Arc<C>, TlsError>) -> Option<Result<(), TlsError>> {
        let now = stamps(&self.files);
        let mut seen = self.seen.lock();
        if seen.0 == now {
            return None;
        }
        seen.0 = now;
        let result = load();
        seen.1 = result.as_ref().err().cloned();
        Some(result.map(|c| self.current.store(c)))
    }
}

/// What a listener presents, as it stands.
#[derive(Debug)]
pub(crate) struct Acceptor {
    plan: ServerTls,
    pub(crate) live: Arc<Live<ServerConfig>>,
}

impl Acceptor {
    pub(crate) fn new(plan: &ServerTls) -> Result<Acceptor, TlsError> {
        Ok(Acceptor {
            live: Live::new(plan.load()?, plan.files()),
            plan: plan.clone(),
        })
    }

    /// Takes changed files over; `None` if nothing has changed.
    pub(crate) fn look(&self) -> Option<Result<(), TlsError>> {
        self.live.look(|| self.plan.load())
    }
}

/// What is presented to an upstream, as it stands.
#[derive(Debug)]
pub(crate) struct Connector {
    pub(crate) plan: ClientTls,
    pub(crate) live: Arc<Live<ClientConfig>>,
}

impl Connector {
    /// One for a server of this name, by a configuration that is there already.
    pub(crate) fn of(name: &str, config: Arc<ClientConfig>) -> Connector {
        Connector {
            plan: ClientTls {
                name: Some(name.to_owned()),
                ..ClientTls::default()
            },
            live: Live::new(config, Vec::new()),
        }
    }

    pub(crate) fn new(plan: &ClientTls) -> Result<Connector, TlsError> {
        Ok(Connector {
            live: Live::new(plan.load()?, plan.files()),
            plan: plan.clone(),
        })
    }

    /// As [`Acceptor::look`].
    pub(crate) fn look(&self) -> Option<Result<(), TlsError>> {
        self.live.look(|| self.plan.load())
    }
}
