//! TLS of clients and servers.

use std::path::PathBuf;

use serde::Deserialize;

/// The `tls` table of a client or a server that is not always on.
///
/// In a client, absent options mean: verify the certificate and the host name against the system's authorities.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// Whether TLS is spoken at all where the scheme of an address does not decide it.
    pub enabled: Option<bool>,
    /// Whether the peer's certificate must be valid. In a server: whether clients must show one.
    pub verify_certificate: Option<bool>,
    /// Whether the certificate must name the host that was asked for; clients only.
    pub verify_hostname: Option<bool>,
    /// The protocols offered, in order of preference: `h2`, `http/1.1`.
    pub alpn_protocols: Option<Vec<String>>,
    /// A file of authorities' certificates (PEM or DER), or the PEM text itself.
    #[serde(alias = "ca_path")]
    pub ca_file: Option<PathBuf>,
    /// A file with the own certificate chain (PEM, DER or PKCS #12), or the PEM text itself.
    #[serde(alias = "crt_path")]
    pub crt_file: Option<PathBuf>,
    /// A file with the private key (PEM or DER), or the PEM text itself.
    #[serde(alias = "key_path")]
    pub key_file: Option<PathBuf>,
    /// What the key file is encrypted with.
    pub key_pass: Option<String>,
    /// The name sent for server name indication instead of the host's.
    pub server_name: Option<String>,
}

impl TlsConfig {
    /// Whether `enabled` is true.
    pub fn is_enabled(&self) -> bool {
        self.enabled == Some(true)
    }
}

/// The `tls` table of sources that can tell events the client's certificate.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsServerConfig {
    /// The field that takes the metadata of the client's certificate.
    pub client_metadata_key: Option<String>,
    /// See [`TlsConfig::enabled`].
    pub enabled: Option<bool>,
    /// See [`TlsConfig::verify_certificate`].
    pub verify_certificate: Option<bool>,
    /// See [`TlsConfig::verify_hostname`].
    pub verify_hostname: Option<bool>,
    /// See [`TlsConfig::alpn_protocols`].
    pub alpn_protocols: Option<Vec<String>>,
    /// See [`TlsConfig::ca_file`].
    #[serde(alias = "ca_path")]
    pub ca_file: Option<PathBuf>,
    /// See [`TlsConfig::crt_file`].
    #[serde(alias = "crt_path")]
    pub crt_file: Option<PathBuf>,
    /// See [`TlsConfig::key_file`].
    #[serde(alias = "key_path")]
    pub key_file: Option<PathBuf>,
    /// See [`TlsConfig::key_pass`].
    pub key_pass: Option<String>,
    /// See [`TlsConfig::server_name`].
    pub server_name: Option<String>,
}

impl TlsServerConfig {
    /// The options without the key of the client's metadata.
    pub fn tls(&self) -> TlsConfig {
        TlsConfig {
            enabled: self.enabled,
            verify_certificate: self.verify_certificate,
            verify_hostname: self.verify_hostname,
            alpn_protocols: self.alpn_protocols.clone(),
            ca_file: self.ca_file.clone(),
            crt_file: self.crt_file.clone(),
            key_file: self.key_file.clone(),
            key_pass: self.key_pass.clone(),
            server_name: self.server_name.clone(),
        }
    }
}
