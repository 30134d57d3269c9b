//! TLS of clients.

use std::{io, path::Path, sync::Arc};

use qd_logs_config::common::TlsConfig;
use qd_logs_model::BuildError;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
        client::{
            WebPkiServerVerifier,
            danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        },
        crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    },
};

/// A TLS client for one host.
#[derive(Clone)]
pub(super) struct Client {
    connector: TlsConnector,
    name: ServerName<'static>,
}

/// A file's bytes, or the option's text itself if it is PEM.
fn read(path: &Path, key: &str) -> Result<Vec<u8>, BuildError> {
    match path.to_str() {
        Some(text) if text.contains("-----BEGIN ") => Ok(text.as_bytes().to_vec()),
        _ => std::fs::read(path).map_err(|e| {
            BuildError::of(
                &format!("tls.{key}"),
                format!("`{}` can't be read: {e}", path.display()),
            )
        }),
    }
}

fn certificates(bytes: &[u8], key: &str) -> Result<Vec<CertificateDer<'static>>, BuildError> {
    if !bytes.windows(11).any(|w| w == b"-----BEGIN ") {
        return Ok(vec![CertificateDer::from(bytes.to_vec())]);
    }
    CertificateDer::pem_slice_iter(bytes)
        .collect::<Result<_, _>>()
        .map_err(|e| BuildError::of(&format!("tls.{key}"), format!("no certificates: {e}")))
}

impl Client {
    /// A client as configured.
    pub(super) fn new(tls: &TlsConfig, host: &str) -> Result<Client, BuildError> {
        let bad = |key: &str, e: String| BuildError::of(&format!("tls.{key}"), e);
        if tls.key_pass.is_some() {
            return Err(bad(
                "key_pass",
                "encrypted keys are not supported; decrypt the key file".to_owned(),
            ));
        }
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|e| BuildError::of("tls", e.to_string()))?;
        let builder = if tls.verify_certificate == Some(false) {
            let verifier = Lenient { strict: None, provider };
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        } else {
            let mut roots = RootCertStore::empty();
            match &tls.ca_file {
                Some(path) => {
                    for c in certificates(&read(path, "ca_file")?, "ca_file")? {
                        roots.add(c).map_err(|e| bad("ca_file", e.to_string()))?;
                    }
                }
                None => {
                    let found = rustls_native_certs::load_native_certs();
                    let (added, _not_usable) = roots.add_parsable_certificates(found.certs);
                    if added == 0 {
                        let text = "this system has no authorities to trust; name them in `ca_file`";
                        return Err(bad("ca_file", text.to_owned()));
                    }
                }
            }
            let strict = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                .build()
                .map_err(|e| bad("ca_file", e.to_string()))?;
            match tls.verify_hostname {
                Some(false) => builder.dangerous().with_custom_certificate_verifier(Arc::new(Lenient {
                    strict: Some(strict),
                    provider,
                })),
                _ => builder.dangerous().with_custom_certificate_verifier(strict),
            }
        };
        let mut config = match (&tls.crt_file, &tls.key_file) {
            (Some(crt), Some(key)) => {
                let chain = certificates(&read(crt, "crt_file")?, "crt_file")?;
                let key = PrivateKeyDer::from_pem_slice(&read(key, "key_file")?)
                    .map_err(|e| bad("key_file", format!("no private key: {e}")))?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|e| bad("crt_file", e.to_string()))?
            }
            (None, None) => builder.with_no_client_auth(),
            (Some(_), None) => return Err(bad("key_file", "`crt_file` needs a `key_file`".to_owned())),
            (None, Some(_)) => return Err(bad("crt_file", "`key_file` needs a `crt_file`".to_owned())),
        };
        for protocol in tls.alpn_protocols.iter().flatten() {
            config.alpn_protocols.push(protocol.clone().into_bytes());
        }
        let name = tls.server_name.clone().unwrap_or_else(|| host.to_owned());
        Ok(Client {
            connector: TlsConnector::from(Arc::new(config)),
            name: ServerName::try_from(name).map_err(|e| bad("server_name", e.to_string()))?,
        })
    }

    /// Speaks TLS over a connection.
    pub(super) async fn connect(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.connector.connect(self.name.clone(), stream).await
    }
}

/// Verifies less than it should, because the configuration asks for it: any host's name, or nothing but that the peer
/// holds the key of the certificate it shows.
#[derive(Debug)]
struct Lenient {
    strict: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        use tokio_rustls::rustls::CertificateError;
        let Some(strict) = &self.strict else {
            return Ok(ServerCertVerified::assertion());
        };
        match strict.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
