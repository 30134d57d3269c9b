//! Opening TLS that passes a forward proxy, with an authority of our own.
//!
//! The authority's certificate and key are two files, made when neither is there; whoever is to be looked at must trust the
//! certificate. Leaves are issued when a name is asked for the first time, share one key that never leaves memory, and are
//! kept up to a bound. What the upstream presents is checked as anywhere else.

use std::{
    collections::{HashMap, VecDeque},
    fs::OpenOptions,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use tokio_rustls::rustls::{
    ClientConfig, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};

use crate::{
    router,
    tls::{ClientTls, TlsError, certificates, provider},
};

/// An authority that opens TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intercept {
    /// Its certificate, PEM; made with the key if neither is there.
    pub certificate: PathBuf,
    /// Its key, PEM; only its owner may read it.
    pub key: PathBuf,
    /// Hosts whose TLS is left closed, in lower case; `*.` stands for one label or more.
    pub except: Vec<String>,
    /// Authorities of upstreams, PEM; the system's if absent.
    pub upstream_ca: Option<PathBuf>,
}

/// Leaves that are kept.
const LEAVES: usize = 1024;
/// How long before now a leaf is valid, for clocks that are behind, and how long after.
const BEFORE: Duration = Duration::from_secs(24 * 3600);
const AFTER: Duration = Duration::from_secs(90 * 24 * 3600);
/// When a leaf is issued anew.
const RENEW: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long an authority that is made here is valid.
const AUTHORITY: Duration = Duration::from_secs(5 * 365 * 24 * 3600);

#[derive(Default)]
struct Leaves {
    by_name: HashMap<String, (Arc<ServerConfig>, SystemTime)>,
    /// The oldest first.
    order: VecDeque<String>,
}

/// An authority at work.
pub(crate) struct Authority {
    pub(crate) plan: Intercept,
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    key: KeyPair,
    leaves: Mutex<Leaves>,
    /// What upstreams must present.
    pub(crate) upstream: Arc<ClientConfig>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority")
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}

fn failed(e: impl std::fmt::Display) -> TlsError {
    TlsError::Authorities(e.to_string())
}

/// Makes an authority and writes it. The key's file is there first and for its owner alone.
fn make(plan: &Intercept) -> Result<(), TlsError> {
    let key = KeyPair::generate().map_err(failed)?;
    let mut params = CertificateParams::new(Vec::new()).map_err(failed)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let own = format!("Quarterdeck proxy {:08x}", rand::random::<u32>());
    params.distinguished_name.push(DnType::CommonName, own);
    set_validity(&mut params, SystemTime::now(), AUTHORITY);
    let certificate = params.self_signed(&key).map_err(failed)?;
    let write = |path: &Path, text: String, mode: u32| {
        let open = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
        open.and_then(|mut f| f.write_all(text.as_bytes()))
            .map_err(|e| failed(format!("{}: {e}", path.display())))
    };
    write(&plan.key, key.serialize_pem(), 0o600)?;
    write(&plan.certificate, certificate.pem(), 0o644)
}

/// Sets from when to when it is valid.
fn set_validity(params: &mut CertificateParams, now: SystemTime, after: Duration) {
    let at = |t: SystemTime| rcgen::date_time_ymd(1970, 1, 1) + t.duration_since(UNIX_EPOCH).unwrap_or_default();
    params.not_before = at(now - BEFORE);
    params.not_after = at(now + after);
}

impl Authority {
    /// Reads it, or makes it if there is none.
    pub(crate) fn new(plan: &Intercept) -> Result<Authority, TlsError> {
        if !plan.certificate.exists() && !plan.key.exists() {
            make(plan)?;
        }
        let read = |path: &Path, what: &'static str| {
            std::fs::read_to_string(path).map_err(|e| TlsError::Read {
                what,
                path: path.to_owned(),
                reason: e.to_string(),
            })
        };
        let unusable = |e: rcgen::Error| TlsError::Unusable {
            path: plan.certificate.clone(),
            reason: e.to_string(),
        };
        let key = KeyPair::from_pem(&read(&plan.key, "the authority's key")?).map_err(unusable)?;
        let issuer = Issuer::from_ca_cert_pem(&read(&plan.certificate, "the authority's certificate")?, key);
        let certificate = certificates(&plan.certificate, "the authority's certificate")?;
        let certificate = certificate.into_iter().next().ok_or_else(|| failed("there is none"))?;
        let upstream = ClientTls {
            ca: plan.upstream_ca.clone(),
            ..ClientTls::default()
        };
        let authority = Authority {
            plan: plan.clone(),
            issuer: issuer.map_err(unusable)?,
            certificate,
            key: KeyPair::generate().map_err(failed)?,
            leaves: Mutex::default(),
            upstream: upstream.load()?,
        };
        // A key of another certificate is found out now and not by the first client.
        authority.try_one()?;
        Ok(authority)
    }

    fn try_one(&self) -> Result<(), TlsError> {
        use tokio_rustls::rustls::{
            RootCertStore,
            client::{WebPkiServerVerifier, danger::ServerCertVerifier},
            pki_types::{ServerName, UnixTime},
        };
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).map_err(failed)?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider());
        let verifier = verifier.build().map_err(failed)?;
        let name = ServerName::try_from("try.invalid").map_err(failed)?;
        let leaf = self.sign("try.invalid", SystemTime::now())?;
        let checked = verifier.verify_server_cert(&leaf, &[], &name, &[], UnixTime::now());
        checked.map(|_| ()).map_err(|e| TlsError::Unusable {
            path: self.plan.certificate.clone(),
            reason: format!("what it issues is not accepted: {e}"),
        })
    }

    /// Whether TLS to this host stays closed.
    pub(crate) fn leaves_closed(&self, host: &str) -> bool {
        self.plan.except.iter().any(|p| router::host_fits(p, host.as_bytes()))
    }

    fn sign(&self, name: &str, now: SystemTime) -> Result<CertificateDer<'static>, TlsError> {
        let mut params = CertificateParams::new(vec![name.to_owned()]).map_err(|_| TlsError::Name(name.to_owned()))?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        // A common name is at most 64 characters long, and nobody looks at it.
        if name.len() <= 64 {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        set_validity(&mut params, now, AFTER);
        let leaf = params.signed_by(&self.key, &self.issuer).map_err(failed)?;
        Ok(leaf.der().clone())
    }

    /// What is presented to a client that asks for this name.
    pub(crate) fn present(&self, name: &str) -> Result<Arc<ServerConfig>, TlsError> {
        let now = SystemTime::now();
        {
            let leaves = self.leaves.lock();
            if let Some((config, until)) = leaves.by_name.get(name)
                && now < *until
            {
                return Ok(Arc::clone(config));
            }
        }
        let leaf = self.sign(name, now)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(failed)?
            .with_no_client_auth()
            .with_single_cert(vec![leaf, self.certificate.clone()], key)
            .map_err(failed)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let config = Arc::new(config);
        let mut leaves = self.leaves.lock();
        if leaves
            .by_name
            .insert(name.to_owned(), (Arc::clone(&config), now + RENEW))
            .is_none()
        {
            leaves.order.push_back(name.to_owned());
        }
        if leaves.order.len() > LEAVES
            && let Some(oldest) = leaves.order.pop_front()
        {
            leaves.by_name.remove(&oldest);
        }
        Ok(config)
    }
}
