//! The own certificate chain and its key.

use base64::{Engine, prelude::BASE64_STANDARD};
use pkcs8::EncryptedPrivateKeyInfoRef;
use qd_logs_config::common::TlsConfig;
use qd_logs_model::BuildError;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};

use super::{certificates, is_pem, read};

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

const BEGIN: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
const END: &str = "-----END ENCRYPTED PRIVATE KEY-----";

/// What the options name, if they do.
pub(super) fn load(o: &TlsConfig) -> Result<Option<Identity>, BuildError> {
    let (crt, key) = match (&o.crt_file, &o.key_file) {
        (None, None) => return Ok(None),
        (Some(crt), Some(key)) => (crt, key),
        (Some(crt), None) => {
            // An archive has the key in it; that it is not supported is what is to be said.
            certificates(crt, "tls.crt_file")?;
            return Err(BuildError::of("tls.key_file", "`crt_file` needs a `key_file`"));
        }
        (None, Some(_)) => return Err(BuildError::of("tls.crt_file", "`key_file` needs a `crt_file`")),
    };
    let chain = certificates(crt, "tls.crt_file")?;
    let key = private_key(&read(key, "tls.key_file")?, o.key_pass.as_deref())?;
    Ok(Some((chain, key)))
}

/// Whether it begins as a PKCS #12 archive does: a sequence whose first member is the version 3.
pub(super) fn is_pkcs12(bytes: &[u8]) -> bool {
    let rest = match bytes {
        [0x30, n, rest @ ..] if *n < 0x81 => rest,
        [0x30, n, rest @ ..] => match rest.get(usize::from(*n & 0x7f)..) {
            Some(rest) => rest,
            None => return false,
        },
        _ => return false,
    };
    rest.starts_with(&[2, 1, 3])
}

/// Reads a key: PEM or DER, PKCS #8 with or without encryption, PKCS #1 or SEC 1.
fn private_key(bytes: &[u8], pass: Option<&str>) -> Result<PrivateKeyDer<'static>, BuildError> {
    let wrong = |why: String| BuildError::of("tls.key_file", why);
    if !is_pem(bytes) {
        return match EncryptedPrivateKeyInfoRef::try_from(bytes) {
            Ok(info) => decrypt(&info, pass),
            Err(_) => PrivateKeyDer::try_from(bytes.to_vec()).map_err(|e| wrong(format!("it is no private key: {e}"))),
        };
    }
    let text = String::from_utf8_lossy(bytes);
    if let Some((_, rest)) = text.split_once(BEGIN) {
        let broken = || wrong("the encrypted key breaks off or is no base64".to_owned());
        let (body, _) = rest.split_once(END).ok_or_else(broken)?;
        let body: String = body.split_whitespace().collect();
        let der = BASE64_STANDARD.decode(body).map_err(|_| broken())?;
        let info = EncryptedPrivateKeyInfoRef::try_from(&*der)
            .map_err(|e| wrong(format!("the encrypted key can't be read: {e}")))?;
        return decrypt(&info, pass);
    }
    if text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(wrong(
            "OpenSSL's older encryption of keys is not supported; `openssl pkcs8 -topk8` writes one that is".to_owned(),
        ));
    }
    PrivateKeyDer::from_pem_slice(bytes).map_err(|e| wrong(format!("it is no private key: {e}")))
}

fn decrypt(info: &EncryptedPrivateKeyInfoRef<'_>, pass: Option<&str>) -> Result<PrivateKeyDer<'static>, BuildError> {
    let wrong = |why: &str| Err(BuildError::of("tls.key_pass", why));
    let Some(pass) = pass else {
        return wrong("the key is encrypted; `key_pass` must give its password");
    };
    if info.encryption_algorithm.pbes2().is_none() {
        return wrong(
            "the key is encrypted by PKCS #5's older scheme, which is not supported; `openssl pkcs8 -topk8` \
            writes one that is",
        );
    }
    match info.decrypt(pass) {
        Ok(der) => Ok(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der.as_bytes().to_vec()))),
        Err(_) => wrong("the password does not open the key, or its encryption is not supported"),
    }
}
