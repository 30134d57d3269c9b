//! Between the fields of HTTP/1 and the header maps of HTTP/2.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri,
    uri::{Authority, PathAndQuery},
};
use qd_proxy_wire::{Fields, Known, RequestHead, ResponseHead, Scheme, Version};

/// Why a message can't be told in the other protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Untranslatable {
    #[error("the method can't be told in HTTP/2")]
    Method,
    #[error("the target can't be told in HTTP/2")]
    Target,
    #[error("the request names no host, or two")]
    Host,
    #[error("the request has a header that HTTP/2 does not allow")]
    Forbidden,
}

/// Fields of a map, in its order.
pub(crate) fn fields(map: &HeaderMap) -> Fields {
    let mut fields = Fields::new();
    add(&mut fields, map);
    fields
}

fn add(fields: &mut Fields, map: &HeaderMap) {
    for (name, value) in map {
        fields.push(name.as_str().as_bytes(), value.as_bytes());
    }
}

/// A map of fields; what HTTP/2 does not allow is left out.
pub(crate) fn map(fields: &Fields) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(fields.len());
    for (known, name, value) in fields.iter_known() {
        if matches!(
            known,
            Known::Connection
                | Known::KeepAlive
                | Known::ProxyConnection
                | Known::TransferEncoding
                | Known::Upgrade
                | Known::Host
        ) {
            continue;
        }
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            map.append(name, value);
        }
    }
    map
}

/// Reads a request of HTTP/2 as HTTP/1 would have told it.
pub(crate) fn request_from_h2(parts: &http::request::Parts, head: &mut RequestHead) -> Result<(), Untranslatable> {
    head.clear();
    head.version = Version::Http2;
    head.scheme = match parts.uri.scheme_str() {
        Some("https") => Scheme::Https,
        _ => Scheme::Http,
    };
    head.set_method(parts.method.as_str().as_bytes());
    let authority = parts.uri.authority().map(Authority::as_str);
    match parts.method == Method::CONNECT {
        true => head.set_target(authority.ok_or(Untranslatable::Host)?.as_bytes()),
        false => {
            let path = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
            head.set_target(if path.is_empty() { b"/" } else { path.as_bytes() });
        }
    }
    let named = parts.headers.get(http::header::HOST).map(HeaderValue::as_bytes);
    let host = match (authority, named) {
        (Some(a), Some(h)) if !h.eq_ignore_ascii_case(a.as_bytes()) => return Err(Untranslatable::Host),
        (Some(a), _) => a.as_bytes(),
        (None, Some(h)) => h,
        (None, None) => return Err(Untranslatable::Host),
    };
    if parts.headers.get_all(http::header::HOST).iter().count() > 1 {
        return Err(Untranslatable::Host);
    }
    head.fields.push(b"host", host);
    let mut cookie: Option<Vec<u8>> = None;
    for (name, value) in &parts.headers {
        match Known::of(name.as_str().as_bytes()) {
            Known::Host => {}
            Known::Connection
            | Known::KeepAlive
            | Known::ProxyConnection
            | Known::TransferEncoding
            | Known::Upgrade => return Err(Untranslatable::Forbidden),
            Known::Te if !value.as_bytes().eq_ignore_ascii_case(b"trailers") => {
                return Err(Untranslatable::Forbidden);
            }
            // Clients of HTTP/2 cut the cookie in pieces; HTTP/1 has one line for it.
            Known::Cookie => match &mut cookie {
                Some(all) => {
                    all.extend_from_slice(b"; ");
                    all.extend_from_slice(value.as_bytes());
                }
                None => cookie = Some(value.as_bytes().to_vec()),
            },
            _ => head.fields.push(name.as_str().as_bytes(), value.as_bytes()),
        }
    }
    if let Some(cookie) = cookie {
        head.fields.push(b"cookie", &cookie);
    }
    Ok(())
}

/// Tells a request in HTTP/2. Its hop-by-hop fields are gone already.
pub(crate) fn request_to_h2(head: &RequestHead, scheme: Scheme) -> Result<Request<()>, Untranslatable> {
    let method = Method::from_bytes(head.method()).map_err(|_| Untranslatable::Method)?;
    let host = head.host().ok_or(Untranslatable::Host)?;
    let authority = Authority::from_maybe_shared(Bytes::copy_from_slice(host)).map_err(|_| Untranslatable::Host)?;
    let mut uri = http::uri::Parts::default();
    if method != Method::CONNECT {
        let target = match head.target() {
            b"*" => PathAndQuery::from_static("*"),
            other => {
                PathAndQuery::from_maybe_shared(Bytes::copy_from_slice(other)).map_err(|_| Untranslatable::Target)?
            }
        };
        uri.path_and_query = Some(target);
        uri.scheme = Some(match scheme {
            Scheme::Http => http::uri::Scheme::HTTP,
            Scheme::Https => http::uri::Scheme::HTTPS,
        });
    }
    uri.authority = Some(authority);
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from_parts(uri).map_err(|_| Untranslatable::Target)?;
    *request.version_mut() = http::Version::HTTP_2;
    *request.headers_mut() = map(&head.fields);
    Ok(request)
}

/// Reads a response of HTTP/2.
pub(crate) fn response_from_h2(status: StatusCode, headers: &HeaderMap, head: &mut ResponseHead) {
    head.clear();
    head.version = Version::Http2;
    head.status = status.as_u16();
    add(&mut head.fields, headers);
}

/// Tells a response in HTTP/2; `None` for a status that can't be told.
pub(crate) fn response_to_h2(head: &ResponseHead) -> Option<Response<()>> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(head.status).ok()?;
    *response.version_mut() = http::Version::HTTP_2;
    *response.headers_mut() = map(&head.fields);
    Some(response)
}
