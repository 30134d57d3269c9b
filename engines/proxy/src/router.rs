//! Which route a request takes.
//!
//! The order is [`qd_proxy_config::Router`]'s; here is what it sees of a request, and what a match does to the path.

use qd_proxy_config::{Found, RequestView, Router};
use qd_proxy_wire::{Known, RequestHead};

use crate::plan::PathEdit;

/// Whether a pattern of hosts fits; both in lower case.
pub(crate) fn host_fits(pattern: &str, host: &[u8]) -> bool {
    match pattern.strip_prefix('*') {
        Some("") => true,
        Some(suffix) => {
            host.len() > suffix.len()
                && host
                    .get(host.len() - suffix.len()..)
                    .is_some_and(|h| h.eq_ignore_ascii_case(suffix.as_bytes()))
        }
        None => host.eq_ignore_ascii_case(pattern.as_bytes()),
    }
}

/// The host without its port.
pub(crate) fn bare_host(host: &[u8]) -> &[u8] {
    if host.first() == Some(&b'[') {
        let end = host.iter().position(|b| *b == b']').unwrap_or(host.len());
        return host.get(1..end).unwrap_or_default();
    }
    let end = host.iter().rposition(|b| *b == b':').unwrap_or(host.len());
    host.get(..end).unwrap_or_default()
}

/// A request as the router sees it.
struct View<'a>(&'a RequestHead);

impl RequestView for View<'_> {
    fn host(&self) -> &[u8] {
        bare_host(self.0.host().unwrap_or_default())
    }
    fn method(&self) -> &[u8] {
        self.0.method()
    }
    fn path(&self) -> &[u8] {
        self.0.path()
    }
    fn query(&self) -> Option<&[u8]> {
        self.0.query()
    }
    fn any_header(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        let mut lines = self.0.fields.iter();
        lines.any(|(n, value)| n.eq_ignore_ascii_case(name.as_bytes()) && test(value))
    }
    fn is_grpc(&self) -> bool {
        is_grpc(self.0)
    }
}

/// Whether it is a call of gRPC.
pub(crate) fn is_grpc(head: &RequestHead) -> bool {
    let content = head.fields.first(Known::ContentType);
    content.is_some_and(qd_proxy_policy::class::is_grpc)
}

/// The place of the route that a request takes, and what matched.
pub(crate) fn find(router: &Router, head: &RequestHead) -> Option<Found> {
    router.find(&View(head))
}

/// The target with its path replaced; `prefix` is how much of the path the route's match took.
pub(crate) fn edit_path(edit: &PathEdit, prefix: usize, head: &RequestHead) -> Vec<u8> {
    let mut new = edit.apply(head.path(), prefix);
    if let Some(query) = head.query() {
        new.push(b'?');
        new.extend_from_slice(query);
    }
    new
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{HttpMatch, Match, PathMatch};
    use qd_proxy_config::Served;
    use qd_proxy_wire::Limits;

    fn head(text: &str) -> RequestHead {
        let mut head = RequestHead::default();
        head.parse(text.as_bytes(), &Limits::default()).unwrap();
        head
    }

    #[test]
    fn a_request_is_seen_whole() {
        let path = |p: &str| {
            vec![Match::Http(HttpMatch {
                path: PathMatch::Prefix(p.to_owned()),
                ..HttpMatch::default()
            })]
        };
        let (wild, plain) = (["*.example.com".parse().unwrap()], ["example.com".parse().unwrap()]);
        let (api, header) = (
            path("/api"),
            vec![Match::Http(HttpMatch {
                headers: vec![("x-v".parse().unwrap(), crate::plan::Matcher::Exact("2".to_owned()))],
                ..HttpMatch::default()
            })],
        );
        let router = Router::of([
            Served {
                hosts: &wild,
                matches: &[],
            },
            Served {
                hosts: &plain,
                matches: &api,
            },
            Served {
                hosts: &[],
                matches: &header,
            },
        ]);
        let get = |path: &str, host: &str, more: &str| {
            let found = find(
                &router,
                &head(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n")),
            );
            found.map(|f| (f.route, f.prefix))
        };
        assert_eq!(get("/", "A.b.Example.com:80", ""), Some((0, 0)));
        assert_eq!(get("/api/x", "example.com", ""), Some((1, 4)));
        assert_eq!(get("/apix", "example.com", ""), None);
        assert_eq!(get("/apix", "example.com", "X-V: 1\r\nx-v: 2\r\n"), Some((2, 0)));
    }

    #[test]
    fn prefixes_are_replaced_and_queries_stay() {
        for (with, path, want) in [("/b", "/a/x?q", "/b/x?q"), ("/", "/a/x", "/x"), ("/b", "/a", "/b")] {
            let head = head(&format!("GET {path} HTTP/1.1\r\n\r\n"));
            let edit = PathEdit::Prefix(with.to_owned());
            assert_eq!(edit_path(&edit, 2, &head), want.as_bytes());
        }
    }

    #[test]
    fn ports_are_not_part_of_a_host() {
        assert_eq!(bare_host(b"[::1]:80"), b"::1");
        assert_eq!(bare_host(b"a:80"), b"a");
        assert_eq!(bare_host(b"a"), b"a");
    }
}
