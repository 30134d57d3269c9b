//! Switching protocols: `Upgrade` of HTTP/1 and extended CONNECT of HTTP/2 (RFC 8441) are the same request told in two ways.
//!
//! Within the proxy it is always a request with the protocol it wants to switch to, and an answer of 101. WebSocket adds a
//! key and its answer in HTTP/1 alone, which are made and checked here where the other side has none.

use base64::{Engine, engine::general_purpose::STANDARD};
use h2::ext::Protocol;
use http::{Method, Request};
use qd_proxy_wire::{Known, RequestHead, ResponseHead, Scheme, Version};
use sha1::{Digest, Sha1};

use crate::{
    fault::Fault,
    translate::{self, Untranslatable},
};

const KEY: &[u8] = b"sec-websocket-key";
const ACCEPT: &[u8] = b"sec-websocket-accept";
/// What is put behind a key before it is hashed (RFC 6455).
const MAGIC: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What a key is answered with.
fn accept(key: &[u8]) -> String {
    STANDARD.encode(Sha1::new().chain_update(key).chain_update(MAGIC).finalize())
}

fn is_websocket(protocol: &[u8]) -> bool {
    protocol.eq_ignore_ascii_case(b"websocket")
}

/// Makes an extended CONNECT what it would be in HTTP/1. Gives the protocol.
pub(crate) fn from_h2(parts: &mut http::request::Parts) -> Option<Vec<u8>> {
    let protocol = parts.extensions.remove::<Protocol>()?;
    if parts.method != Method::CONNECT {
        return None;
    }
    parts.method = Method::GET;
    Some(protocol.as_str().as_bytes().to_vec())
}

/// Gives a request what an upstream of HTTP/1 wants to see of it.
pub(crate) fn for_h1(head: &mut RequestHead, protocol: &[u8]) {
    if is_websocket(protocol) && head.fields.get(KEY).is_none() {
        head.fields
            .push(KEY, STANDARD.encode(rand::random::<[u8; 16]>()).as_bytes());
        if head.fields.get(b"sec-websocket-version").is_none() {
            head.fields.push(b"sec-websocket-version", b"13");
        }
    }
}

/// Tells it as extended CONNECT.
pub(crate) fn to_h2(head: &RequestHead, scheme: Scheme, protocol: &[u8]) -> Result<Request<()>, Untranslatable> {
    let mut request = translate::request_to_h2(head, scheme)?;
    let protocol = std::str::from_utf8(protocol).map_err(|_| Untranslatable::Method)?;
    *request.method_mut() = Method::CONNECT;
    request.headers_mut().remove("sec-websocket-key");
    request.extensions_mut().insert(Protocol::from(protocol));
    Ok(request)
}

/// Whether an answer switches; it is made one that the client understands then.
pub(crate) fn switches(
    head: &RequestHead,
    answer: &mut ResponseHead,
    protocol: Option<&[u8]>,
    upstream_is_h2: bool,
) -> Result<bool, Fault> {
    let switched = match (protocol, upstream_is_h2) {
        (Some(_), true) => (200..300).contains(&answer.status),
        _ => answer.status == 101,
    };
    if !switched {
        return Ok(false);
    }
    let protocol = protocol.ok_or(Fault::Protocol)?;
    let key = head.fields.get(KEY).filter(|_| is_websocket(protocol));
    match (upstream_is_h2, head.version) {
        // The key was made here, so its answer is looked at here.
        (false, Version::Http2) => {
            if key.is_some_and(|key| answer.fields.get(ACCEPT) != Some(accept(key).as_bytes())) {
                return Err(Fault::Protocol);
            }
            answer.fields.remove_name(ACCEPT);
        }
        (true, Version::Http10 | Version::Http11) => {
            if let Some(key) = key {
                answer.fields.set(ACCEPT, accept(key).as_bytes());
            }
        }
        _ => {}
    }
    answer.fields.remove(Known::ContentLength);
    answer.fields.remove(Known::TransferEncoding);
    answer.status = match head.version {
        Version::Http2 => 200,
        _ => 101,
    };
    answer.set_reason(b"");
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_answered_as_the_standard_says() {
        assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
