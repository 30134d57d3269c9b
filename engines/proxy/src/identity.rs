//! Who a client is by its certificate: the names that the handshake has checked the certificate for.

use tokio_rustls::rustls::{CommonState, ProtocolVersion, pki_types::CertificateDer};
use webpki::EndEntityCert;

/// Names that are taken of one certificate.
const NAMES: usize = 32;

/// The names of hosts and the URIs (SPIFFE ids) of a certificate; those that are no text are left out.
pub(crate) fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(cert) = EndEntityCert::try_from(certificate) else {
        return Vec::new();
    };
    let hosts = cert.valid_dns_names().map(str::to_owned);
    let uris = cert.valid_uri_names().map(str::to_owned);
    uris.chain(hosts).take(NAMES).collect()
}

/// The names of a connection's client; none if it has shown no certificate.
pub(crate) fn of(connection: &CommonState) -> Vec<String> {
    let first = connection.peer_certificates().and_then(<[_]>::first);
    first.map(names).unwrap_or_default()
}

/// The version that was agreed on.
pub(crate) fn version(connection: &CommonState) -> Option<&'static str> {
    Some(match connection.protocol_version()? {
        ProtocolVersion::TLSv1_2 => "TLSv1.2",
        ProtocolVersion::TLSv1_3 => "TLSv1.3",
        _ => "TLS",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ids_are_names() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["web.example".to_owned()]).unwrap();
        let id = rcgen::SanType::URI("spiffe://cluster/web".try_into().unwrap());
        params.subject_alt_names.push(id);
        let cert = params.self_signed(&key).unwrap();
        assert_eq!(names(cert.der()), ["spiffe://cluster/web", "web.example"]);
        assert!(names(&CertificateDer::from(vec![1, 2, 3])).is_empty());
    }
}
