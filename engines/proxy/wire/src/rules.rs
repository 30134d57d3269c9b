//! Which headers belong to one hop, and which are added on the way.
//!
//! [`strip_request`] and [`strip_response`] take away every `Connection` line, the fields those name, and the other fields
//! that speak to the next peer only. They leave framing to the caller, which writes its own. [`forwarded`] says who asked.

use std::{fmt::Write as _, net::IpAddr};

use crate::{
    fields::{Fields, Known, elements},
    head::{RequestHead, Scheme, Version},
};

/// What a message said to this hop alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hop {
    /// `Connection: close`
    pub close: bool,
    /// `Connection: keep-alive`
    pub keep_alive: bool,
    /// `Connection: upgrade`, with an `Upgrade` field
    pub upgrade: bool,
    /// `TE: trailers`
    pub trailers: bool,
}

/// Names that `Connection` can't take away: they say where the message goes and how it is framed.
fn is_sacred(known: Known) -> bool {
    matches!(
        known,
        Known::Host | Known::ContentLength | Known::TransferEncoding | Known::Connection
    )
}

fn hop_only(known: Known) -> bool {
    matches!(
        known,
        Known::Connection
            | Known::KeepAlive
            | Known::ProxyConnection
            | Known::Te
            | Known::Upgrade
            | Known::TransferEncoding
            | Known::Http2Settings
    )
}

fn strip(fields: &mut Fields, also: Option<Known>) -> Hop {
    let mut hop = Hop::default();
    let mut named: Vec<Vec<u8>> = Vec::new();
    let mut any = false;
    for (known, _, value) in fields.iter_known() {
        any |= hop_only(known) || Some(known) == also;
        match known {
            Known::Connection => {
                for e in elements(value) {
                    match e {
                        e if e.eq_ignore_ascii_case(b"close") => hop.close = true,
                        e if e.eq_ignore_ascii_case(b"keep-alive") => hop.keep_alive = true,
                        e if e.eq_ignore_ascii_case(b"upgrade") => hop.upgrade = true,
                        e if e.eq_ignore_ascii_case(b"te") => {}
                        e if is_sacred(Known::of(e)) => {}
                        e => named.push(e.to_vec()),
                    }
                }
            }
            Known::Te => hop.trailers |= elements(value).any(|e| e.eq_ignore_ascii_case(b"trailers")),
            _ => {}
        }
    }
    hop.upgrade &= fields.has(Known::Upgrade);
    if any {
        fields.retain(|known, name, _| {
            !hop_only(known) && Some(known) != also && !named.iter().any(|n| n.eq_ignore_ascii_case(name))
        });
    }
    hop
}

/// Takes what is for this hop out of a request.
pub fn strip_request(fields: &mut Fields) -> Hop {
    strip(fields, Some(Known::ProxyAuthorization))
}

/// Takes what is for this hop out of a response.
pub fn strip_response(fields: &mut Fields) -> Hop {
    strip(fields, None)
}

/// Takes out of trailers what must not come after the body.
pub fn strip_trailers(fields: &mut Fields) {
    fields.retain(|known, name, _| {
        !hop_only(known)
            && !matches!(
                known,
                Known::ContentLength
                    | Known::Host
                    | Known::Trailer
                    | Known::Expect
                    | Known::ContentType
                    | Known::Cookie
                    | Known::ProxyAuthorization
                    | Known::ProxyAuthenticate
                    | Known::RetryAfter
            )
            && !name.starts_with(b":")
            && ![
                &b"authorization"[..],
                b"set-cookie",
                b"content-encoding",
                b"content-range",
                b"cache-control",
            ]
            .iter()
            .any(|n| name.eq_ignore_ascii_case(n))
    });
}

/// Whether the peer keeps the connection after this message.
pub fn keeps_alive(version: Version, hop: Hop) -> bool {
    match version {
        Version::Http10 => hop.keep_alive && !hop.close,
        _ => !hop.close,
    }
}

/// What is said about the client to the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// The client may be anyone: what it says about those before it is replaced.
    Stranger,
    /// The client is a proxy that is believed: the chain it tells is continued.
    Proxy,
}

/// Adds `X-Forwarded-For`, `-Proto` and `-Host`, and continues `Forwarded` where it is there and believed.
pub fn forwarded(head: &mut RequestHead, client: Option<IpAddr>, trust: Trust) {
    let client = match client {
        Some(IpAddr::V6(v6)) => v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4).to_string(),
        Some(v4) => v4.to_string(),
        None => "unix".to_owned(),
    };
    let proto = head.scheme.name();
    let host = head.host().map(<[u8]>::to_vec);
    let fields = &mut head.fields;
    if trust == Trust::Stranger {
        fields.remove(Known::Forwarded);
        fields.set(b"X-Forwarded-For", client.as_bytes());
        fields.set(b"X-Forwarded-Proto", proto.as_bytes());
        if let Some(host) = host {
            fields.set(b"X-Forwarded-Host", &host);
        }
        return;
    }
    let mut chain = Vec::new();
    for value in fields.all(Known::XForwardedFor) {
        chain.extend_from_slice(value);
        chain.extend_from_slice(b", ");
    }
    chain.extend_from_slice(client.as_bytes());
    fields.set(b"X-Forwarded-For", &chain);
    if !fields.has(Known::XForwardedProto) {
        fields.push(b"X-Forwarded-Proto", proto.as_bytes());
    }
    if let (Some(host), false) = (host, fields.has(Known::XForwardedHost)) {
        fields.push(b"X-Forwarded-Host", &host);
    }
    if fields.has(Known::Forwarded) {
        let mut element = String::new();
        let _ = match client.contains(':') {
            true => write!(element, "for=\"[{client}]\";proto={proto}"),
            false => write!(element, "for={client};proto={proto}"),
        };
        let mut all = Vec::new();
        for value in fields.all(Known::Forwarded) {
            all.extend_from_slice(value);
            all.extend_from_slice(b", ");
        }
        all.extend_from_slice(element.as_bytes());
        fields.set(b"Forwarded", &all);
    }
}

/// Appends this hop to `Via`.
pub fn via(fields: &mut Fields, version: Version, pseudonym: &str) {
    let mut value = Vec::with_capacity(48);
    for v in fields.all(Known::Via) {
        value.extend_from_slice(v);
        value.extend_from_slice(b", ");
    }
    value.extend_from_slice(match version {
        Version::Http10 => b"1.0 ",
        Version::Http11 => b"1.1 ",
        Version::Http2 => b"2.0 ",
    });
    value.extend_from_slice(pseudonym.as_bytes());
    match fields.has(Known::Via) {
        true => fields.set(b"Via", &value),
        false => fields.push(b"Via", &value),
    }
}

/// How many times a message has passed the hop of that name.
pub fn passed(fields: &Fields, pseudonym: &str) -> usize {
    fields
        .all(Known::Via)
        .flat_map(elements)
        .filter(|e| {
            let mut words = e.split(|b| *b == b' ').filter(|w| !w.is_empty());
            words.nth(1) == Some(pseudonym.as_bytes())
        })
        .count()
}

/// The scheme that forwarding headers should tell.
pub fn scheme(tls: bool) -> Scheme {
    if tls { Scheme::Https } else { Scheme::Http }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(list: &[(&str, &str)]) -> Fields {
        let mut f = Fields::new();
        list.iter().for_each(|(n, v)| f.push(n.as_bytes(), v.as_bytes()));
        f
    }

    fn text(f: &Fields) -> String {
        let mut out = Vec::new();
        f.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_connection_line_and_what_it_names_goes() {
        let mut f = fields(&[
            ("Host", "x"),
            ("connection", "X-One, close"),
            ("X-One", "1"),
            ("Connection", "x-two, Host, content-length"),
            ("x-TWO", "2"),
            ("Keep-Alive", "5"),
            ("TE", "gzip, trailers"),
            ("Content-Length", "3"),
            ("A", "b"),
        ]);
        let hop = strip_request(&mut f);
        assert!(hop.close && hop.trailers && !hop.upgrade);
        assert_eq!(text(&f), "Host: x\r\nContent-Length: 3\r\nA: b\r\n");
    }

    #[test]
    fn strangers_are_not_believed_and_proxies_are() {
        let mut head = RequestHead::default();
        head.fields = fields(&[
            ("Host", "h"),
            ("X-Forwarded-For", "6.6.6.6"),
            ("Forwarded", "for=6.6.6.6"),
        ]);
        let mut other = head.clone();
        forwarded(&mut head, Some("10.0.0.1".parse().unwrap()), Trust::Stranger);
        assert_eq!(
            text(&head.fields),
            "Host: h\r\nX-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: h\r\n"
        );
        forwarded(&mut other, Some("::ffff:10.0.0.1".parse().unwrap()), Trust::Proxy);
        assert_eq!(other.fields.get(b"x-forwarded-for"), Some(&b"6.6.6.6, 10.0.0.1"[..]));
        assert_eq!(
            other.fields.get(b"forwarded"),
            Some(&b"for=6.6.6.6, for=10.0.0.1;proto=http"[..])
        );
    }

    #[test]
    fn a_loop_is_counted() {
        let mut f = fields(&[("Via", "1.0 fred, 1.1 qd-7")]);
        via(&mut f, Version::Http11, "qd-7");
        assert_eq!(passed(&f, "qd-7"), 2);
        assert_eq!(passed(&f, "qd"), 0);
        assert_eq!(f.len(), 1);
    }

    #[test]
    fn trailers_can_not_change_the_message() {
        let mut f = fields(&[
            ("Content-Length", "5"),
            ("Host", "x"),
            ("grpc-status", "0"),
            ("Set-Cookie", "a"),
        ]);
        strip_trailers(&mut f);
        assert_eq!(text(&f), "grpc-status: 0\r\n");
    }
}
