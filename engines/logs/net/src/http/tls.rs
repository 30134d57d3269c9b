//! TLS of clients and servers by rustls, with Vector's options.
//!
//! Differences to Vector, which uses OpenSSL: encrypted keys (`key_pass`) and PKCS #12 files are refused. `server_name`
//! is what the server's certificate is checked against; the name sent in the handshake stays the host's.

use std::{path::Path, sync::Arc};

use qd_logs_config::common::TlsConfig;
use qd_logs_model::BuildError;
use tokio_rustls::rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::WebPkiClientVerifier,
};

use super::Protocol;

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// What a client presents and checks.
///
/// # Errors
/// Files that can't be read or hold no certificate or key, options that are not supported.
pub(crate) fn client(options: Option<&TlsConfig>, protocol: Protocol) -> Result<ClientConfig, BuildError> {
    let none = TlsConfig::default();
    let o = options.unwrap_or(&none);
    refuse_unsupported(o)?;
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| BuildError::of("tls", e.to_string()))?;
    let inner = match o.verify_certificate {
        Some(false) => None,
        _ => {
            let roots = roots(o.ca_file.as_deref())?;
            let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
                .build()
                .map_err(|e| BuildError::of("tls.ca_file", format!("no authority to trust: {e}")))?;
            Some(verifier)
        }
    };
    let name = match &o.server_name {
        Some(name) => Some(
            ServerName::try_from(name.clone())
                .map_err(|e| BuildError::of("tls.server_name", format!("`{name}` is no name of a server: {e}")))?,
        ),
        None => None,
    };
    let verifier = Verifier {
        inner,
        any_name: o.verify_hostname == Some(false),
        name,
        provider: provider(),
    };
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match identity(o)? {
        Some((chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|e| BuildError::of("tls.crt_file", format!("certificate and key can't be used: {e}")))?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = match (&o.alpn_protocols, protocol) {
        (Some(list), _) => list.iter().map(|p| p.clone().into_bytes()).collect(),
        (None, Protocol::Http2) => vec![b"h2".to_vec()],
        (None, Protocol::Any) => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
    };
    Ok(config)
}

/// What a server presents and asks for; `None` if TLS is not enabled.
///
/// # Errors
/// As [`client`], and a missing certificate or key.
pub(crate) fn server(options: Option<&TlsConfig>) -> Result<Option<Arc<ServerConfig>>, BuildError> {
    let Some(o) = options.filter(|o| o.is_enabled()) else {
        return Ok(None);
    };
    refuse_unsupported(o)?;
    let (chain, key) =
        identity(o)?.ok_or_else(|| BuildError::of("tls", "a server needs `tls.crt_file` and `tls.key_file`"))?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| BuildError::of("tls", e.to_string()))?;
    let builder = match o.verify_certificate {
        Some(true) => {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots(o.ca_file.as_deref())?), provider())
                    .build()
                    .map_err(|e| BuildError::of("tls.ca_file", format!("no authority to trust: {e}")))?;
            builder.with_client_cert_verifier(verifier)
        }
        _ => builder.with_no_client_auth(),
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|e| BuildError::of("tls.crt_file", format!("certificate and key can't be used: {e}")))?;
    config.alpn_protocols = match &o.alpn_protocols {
        Some(list) => list.iter().map(|p| p.clone().into_bytes()).collect(),
        None => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
    };
    Ok(Some(Arc::new(config)))
}

fn refuse_unsupported(o: &TlsConfig) -> Result<(), BuildError> {
    match o.key_pass {
        Some(_) => Err(BuildError::of(
            "tls.key_pass",
            "encrypted keys are not supported; decrypt the key, with `openssl pkey` for example",
        )),
        None => Ok(()),
    }
}

/// The bytes of a file, or the PEM text that stands in place of its name.
fn read(path: &Path, key: &str) -> Result<Vec<u8>, BuildError> {
    match path.to_str() {
        Some(text) if text.starts_with("-----BEGIN") => Ok(text.as_bytes().to_vec()),
        _ => std::fs::read(path).map_err(|e| BuildError::of(key, format!("`{}` can't be read: {e}", path.display()))),
    }
}

fn certificates(path: &Path, key: &str) -> Result<Vec<CertificateDer<'static>>, BuildError> {
    let bytes = read(path, key)?;
    if !bytes.windows(11).any(|w| w == b"-----BEGIN ") {
        return Ok(vec![CertificateDer::from(bytes)]);
    }
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err(BuildError::of(key, "there is no certificate in it")),
        Err(e) => Err(BuildError::of(key, format!("it is no certificate: {e}"))),
    }
}

fn roots(file: Option<&Path>) -> Result<RootCertStore, BuildError> {
    let mut roots = RootCertStore::empty();
    match file {
        Some(path) => {
            for c in certificates(path, "tls.ca_file")? {
                roots
                    .add(c)
                    .map_err(|e| BuildError::of("tls.ca_file", format!("it is no authority's certificate: {e}")))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(roots)
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn identity(o: &TlsConfig) -> Result<Option<Identity>, BuildError> {
    let (crt, key) = match (&o.crt_file, &o.key_file) {
        (None, None) => return Ok(None),
        (Some(crt), Some(key)) => (crt, key),
        (Some(_), None) => return Err(BuildError::of("tls.key_file", "`crt_file` needs a `key_file`")),
        (None, Some(_)) => return Err(BuildError::of("tls.crt_file", "`key_file` needs a `crt_file`")),
    };
    let chain = certificates(crt, "tls.crt_file")?;
    let bytes = read(key, "tls.key_file")?;
    let key = match bytes.starts_with(b"-----") || bytes.windows(11).any(|w| w == b"-----BEGIN ") {
        true => PrivateKeyDer::from_pem_slice(&bytes).map_err(|e| e.to_string()),
        false => PrivateKeyDer::try_from(bytes).map_err(str::to_owned),
    };
    let key = key.map_err(|e| BuildError::of("tls.key_file", format!("it is no private key: {e}")))?;
    Ok(Some((chain, key)))
}

/// Checks a server's certificate as far as the options want.
#[derive(Debug)]
struct Verifier {
    /// `None` if any certificate will do.
    inner: Option<Arc<WebPkiServerVerifier>>,
    /// Whether it may be any host's.
    any_name: bool,
    /// Whose it must be instead of the host's.
    name: Option<ServerName<'static>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(inner) = &self.inner else {
            return Ok(ServerCertVerified::assertion());
        };
        let name = self.name.as_ref().unwrap_or(server_name);
        match inner.verify_server_cert(end_entity, intermediates, name, ocsp_response, now) {
            // The name is checked last: the chain was good.
            Err(Error::InvalidCertificate(
                tokio_rustls::rustls::CertificateError::NotValidForName
                | tokio_rustls::rustls::CertificateError::NotValidForNameContext { .. },
            )) if self.any_name => Ok(ServerCertVerified::assertion()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        tokio_rustls::rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        tokio_rustls::rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
