//! TLS of the log pipeline's clients and servers by rustls, with Vector's options.
//!
//! Keys may be encrypted (PKCS #8 with `key_pass`). Differences to Vector, which uses OpenSSL: PKCS #12 archives and
//! OpenSSL's older encryption of PEM keys are refused by name, and a client that speaks HTTP sends the host's name in the
//! handshake even where `server_name` says which name the certificate must have.

mod identity;
mod verify;

use std::{path::Path, sync::Arc};

use qd_logs_config::common::TlsConfig;
use qd_logs_model::BuildError;
use tokio_rustls::rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::WebPkiServerVerifier,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, ServerName, pem::PemObject},
    server::WebPkiClientVerifier,
};

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// What a client presents and checks. Without options it checks certificate and name against the system's authorities.
/// `alpn` lists the protocols that are offered if the options do not.
///
/// # Errors
/// Files that can't be read or hold no certificate or key, keys that their password does not open, and no authority to
/// trust; each names its option.
pub fn client(options: Option<&TlsConfig>, alpn: &[&str]) -> Result<ClientConfig, BuildError> {
    let none = TlsConfig::default();
    let o = options.unwrap_or(&none);
    let strict = match o.verify_certificate {
        Some(false) => None,
        _ => Some(
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots(o.ca_file.as_deref())?), provider())
                .build()
                .map_err(|e| BuildError::of("tls.ca_file", format!("there is no authority to trust: {e}")))?,
        ),
    };
    let name = o.server_name.as_deref().map(|name| named(name, "tls.server_name"));
    let verifier = verify::Verifier {
        strict,
        any_name: o.verify_hostname == Some(false),
        name: name.transpose()?,
        provider: provider(),
    };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| BuildError::of("tls", e.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match identity::load(o)? {
        Some((chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|e| BuildError::of("tls.crt_file", format!("certificate and key can't be used: {e}")))?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = protocols(o, alpn);
    Ok(config)
}

/// The name of the server that a client of these options connects to: `server_name`, or else the host's.
///
/// # Errors
/// A text that is no name and no IP address.
pub fn server_name(options: &TlsConfig, host: &str) -> Result<ServerName<'static>, BuildError> {
    match &options.server_name {
        Some(name) => named(name, "tls.server_name"),
        None => named(host, "address"),
    }
}

fn named(name: &str, key: &str) -> Result<ServerName<'static>, BuildError> {
    ServerName::try_from(name.to_owned())
        .map_err(|e| BuildError::of(key, format!("`{name}` is no name of a server: {e}")))
}

/// What a server presents and asks for; `None` if TLS is not enabled. `alpn` as in [`client`].
///
/// # Errors
/// As [`client`], and a missing certificate or key.
pub fn server(options: Option<&TlsConfig>, alpn: &[&str]) -> Result<Option<Arc<ServerConfig>>, BuildError> {
    let Some(o) = options.filter(|o| o.is_enabled()) else {
        return Ok(None);
    };
    let (chain, key) = identity::load(o)?
        .ok_or_else(|| BuildError::of("tls", "a server with TLS needs `tls.crt_file` and `tls.key_file`"))?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| BuildError::of("tls", e.to_string()))?;
    let builder = match o.verify_certificate {
        Some(true) => {
            let roots = Arc::new(roots(o.ca_file.as_deref())?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
                .build()
                .map_err(|e| BuildError::of("tls.ca_file", format!("there is no authority to trust: {e}")))?;
            builder.with_client_cert_verifier(verifier)
        }
        _ => builder.with_no_client_auth(),
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|e| BuildError::of("tls.crt_file", format!("certificate and key can't be used: {e}")))?;
    config.alpn_protocols = protocols(o, alpn);
    Ok(Some(Arc::new(config)))
}

fn protocols(o: &TlsConfig, default: &[&str]) -> Vec<Vec<u8>> {
    match &o.alpn_protocols {
        Some(list) => list.iter().map(|p| p.clone().into_bytes()).collect(),
        None => default.iter().map(|p| p.as_bytes().to_vec()).collect(),
    }
}

/// Whether there is PEM in it.
fn is_pem(bytes: &[u8]) -> bool {
    bytes.windows(11).any(|w| w == b"-----BEGIN ")
}

/// The bytes of a file, or the PEM text that stands in place of its name.
fn read(path: &Path, key: &str) -> Result<Vec<u8>, BuildError> {
    match path.to_str() {
        Some(text) if is_pem(text.as_bytes()) => Ok(text.as_bytes().to_vec()),
        _ => std::fs::read(path).map_err(|e| BuildError::of(key, format!("`{}` can't be read: {e}", path.display()))),
    }
}

/// The certificates of a file, of which there is one at least.
fn certificates(path: &Path, key: &str) -> Result<Vec<CertificateDer<'static>>, BuildError> {
    let bytes = read(path, key)?;
    if !is_pem(&bytes) {
        if identity::is_pkcs12(&bytes) {
            let advice = "take it apart with `openssl pkcs12 -nodes` and name the result as `crt_file` and `key_file`";
            return Err(BuildError::of(
                key,
                format!("PKCS #12 archives are not supported; {advice}"),
            ));
        }
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
