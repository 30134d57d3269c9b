//! Everything that can keep a request from an answer of its upstream, and what the client is told then.
//!
//! Each [`Fault`] has a word, which goes into linkerd's header `l5d-proxy-error`, into metrics and records; a status of HTTP; and a
//! status of gRPC for clients that speak it.

use std::{io, sync::Arc};

use qd_proxy_wire::{BodyError, HeadError};

use crate::{side::Broken, tls::TlsError, translate::Untranslatable};

/// The header that names the cause of an answer made here.
pub(crate) const CAUSE: &[u8] = qd_proxy_policy::cause::CAUSE_HEADER.as_bytes();

/// Why there is no answer of an upstream.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Fault {
    #[error("the client went away")]
    ClientGone,
    #[error("the client's head: {0}")]
    Head(#[from] HeadError),
    #[error("the client's body: {0}")]
    Body(#[from] BodyError),
    #[error("{0}")]
    Request(&'static str),
    #[error("the request can't be told to the upstream: {0}")]
    Translate(#[from] Untranslatable),
    #[error("the request's body is larger than allowed")]
    BodyTooLarge,
    #[error("the client took too long to send its request")]
    SlowClient,
    #[error("no route fits")]
    NoRoute,
    #[error("access is refused: {0}")]
    Refused(&'static str),
    #[error("the access policy refuses the client")]
    Denied,
    #[error("cluster `{0}` has no endpoint")]
    NoEndpoint(Arc<str>),
    #[error("no endpoint had room in time")]
    Shed,
    #[error("{0}: no such host: {1}")]
    Dns(Arc<str>, Arc<str>),
    #[error("{0}: can't connect: {1}")]
    Connect(Arc<str>, io::ErrorKind),
    #[error("{0}: no connection in time")]
    ConnectTimeout(Arc<str>),
    #[error("{0}: TLS: {1}")]
    Tls(Arc<str>, Arc<str>),
    #[error("the upstream closed the connection before its answer")]
    Closed,
    #[error("the upstream refused the stream")]
    RefusedStream,
    #[error("the upstream reset the stream: {0}")]
    Reset(h2::Reason),
    #[error("the upstream's connection: {0}")]
    Io(io::ErrorKind),
    #[error("the upstream's head: {0}")]
    BadHead(HeadError),
    #[error("the upstream's body: {0}")]
    BadBody(BodyError),
    #[error("the upstream breaks its protocol")]
    Protocol,
    #[error("the request took too long")]
    Timeout,
    #[error("the upstream took too long")]
    AttemptTimeout,
    #[error("nothing moved for too long")]
    Idle,
    #[error("more requests come than the proxy takes")]
    Overloaded,
    #[error("no endpoint of `{0}` has been ready for some time")]
    FailFast(Arc<str>),
    #[error("too many requests wait for an endpoint of `{0}`")]
    QueueFull(Arc<str>),
    #[error("too many requests for {0}")]
    RateLimited(&'static str, std::time::Duration),
    #[error("a fault was injected on purpose")]
    Injected(u16),
    #[error("a fault was injected on purpose: the connection is reset")]
    InjectedReset,
    #[error("the request has come round")]
    Loop,
    #[error("the request was held and killed")]
    Killed,
    #[error("the upstream does not switch protocols over HTTP/2")]
    NoSwitch,
    #[error("the upstream's certificate is not accepted: {0}")]
    Untrusted(Arc<str>),
}

impl From<TlsError> for Fault {
    fn from(e: TlsError) -> Fault {
        Fault::Tls(Arc::from("tls"), Arc::from(e.to_string()))
    }
}

impl Fault {
    /// A limit that refused the request.
    pub(crate) fn limited(refused: &qd_proxy_policy::limit::Refused) -> Fault {
        let whose = match refused.by {
            qd_proxy_policy::limit::Scope::Route => "the route",
            qd_proxy_policy::limit::Scope::Client => "this client",
        };
        Fault::RateLimited(whose, refused.retry_after)
    }

    /// One word for it.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Fault::ClientGone => "client-gone",
            Fault::Head(_) | Fault::Request(_) => "bad-request",
            Fault::Body(_) => "bad-body",
            Fault::Translate(_) => "untranslatable",
            Fault::BodyTooLarge => "body-too-large",
            Fault::SlowClient => "slow-client",
            Fault::NoRoute => "no-route",
            Fault::Refused(_) => "refused",
            Fault::Denied => "denied",
            Fault::QueueFull(_) => "queue-full",
            Fault::NoEndpoint(_) => "no-endpoint",
            Fault::Shed => "shed",
            Fault::Dns(..) => "dns",
            Fault::Connect(..) => "connect",
            Fault::ConnectTimeout(_) => "connect-timeout",
            Fault::Tls(..) | Fault::Untrusted(_) => "tls",
            Fault::Closed => "upstream-closed",
            Fault::RefusedStream => "upstream-refused",
            Fault::Reset(_) => "upstream-reset",
            Fault::Io(_) => "upstream-io",
            Fault::BadHead(_) | Fault::BadBody(_) | Fault::Protocol => "upstream-malformed",
            Fault::Timeout => "timeout",
            Fault::AttemptTimeout => "upstream-timeout",
            Fault::Idle => "idle-timeout",
            Fault::Overloaded => "overloaded",
            Fault::FailFast(_) => "failfast",
            Fault::RateLimited(..) => "rate-limited",
            Fault::Injected(_) | Fault::InjectedReset => "injected",
            Fault::Loop => "loop",
            Fault::Killed => "killed",
            Fault::NoSwitch => "no-switch",
        }
    }

    /// The status of HTTP.
    pub(crate) fn status(&self) -> u16 {
        match self {
            Fault::ClientGone => 499,
            Fault::Head(e) => e.status(),
            Fault::Body(e) => e.status(),
            Fault::Request(_) | Fault::Translate(_) => 400,
            Fault::BodyTooLarge => 413,
            Fault::SlowClient => 408,
            Fault::NoRoute => 404,
            Fault::Refused(_) | Fault::Denied => 403,
            Fault::Shed | Fault::Overloaded | Fault::FailFast(_) | Fault::QueueFull(_) => 503,
            Fault::RateLimited(..) => 429,
            Fault::Injected(status) => *status,
            Fault::Timeout | Fault::AttemptTimeout | Fault::Idle | Fault::ConnectTimeout(_) => 504,
            Fault::Loop => 508,
            _ => 502,
        }
    }

    /// The status of gRPC.
    pub(crate) fn grpc(&self) -> u16 {
        match self {
            Fault::ClientGone => 1,
            Fault::Head(_) | Fault::Body(_) | Fault::Request(_) | Fault::Translate(_) => 13,
            Fault::BodyTooLarge | Fault::RateLimited(..) => 8,
            Fault::Injected(status) => qd_proxy_policy::GrpcCode::of_http(*status).0,
            Fault::Timeout | Fault::AttemptTimeout | Fault::Idle | Fault::ConnectTimeout(_) | Fault::SlowClient => 4,
            Fault::NoRoute => 12,
            Fault::Refused(_) | Fault::Denied => 7,
            _ => 14,
        }
    }

    /// Whether no byte of the request can have had an effect.
    pub(crate) fn is_before_request(&self) -> bool {
        matches!(
            self,
            Fault::Connect(..) | Fault::ConnectTimeout(_) | Fault::Dns(..) | Fault::Tls(..) | Fault::RefusedStream
        )
    }

    /// Whether another attempt makes sense at all.
    pub(crate) fn is_upstream(&self) -> bool {
        self.is_before_request()
            || matches!(
                self,
                Fault::Closed
                    | Fault::Reset(_)
                    | Fault::Io(_)
                    | Fault::BadHead(_)
                    | Fault::Protocol
                    | Fault::AttemptTimeout
            )
    }

    /// What broke while the upstream was read or written.
    pub(crate) fn upstream(broken: Broken) -> Fault {
        match broken {
            Broken::Body(e) => Fault::BadBody(e),
            Broken::Io(e) => Fault::Io(e.kind()),
            Broken::Reset(h2::Reason::REFUSED_STREAM) => Fault::RefusedStream,
            Broken::Reset(reason) => Fault::Reset(reason),
            Broken::H2(e) => Fault::h2(&e),
            Broken::TooLong => Fault::Protocol,
        }
    }

    /// What an upstream of HTTP/2 said instead of an answer.
    pub(crate) fn h2(e: &h2::Error) -> Fault {
        match e.reason() {
            Some(h2::Reason::REFUSED_STREAM) => Fault::RefusedStream,
            // The connection goes, and this stream was not looked at.
            Some(h2::Reason::NO_ERROR) if e.is_go_away() => Fault::RefusedStream,
            Some(reason) => Fault::Reset(reason),
            None => Fault::Io(e.get_io().map_or(io::ErrorKind::ConnectionReset, io::Error::kind)),
        }
    }

    /// What broke while the client was read or written.
    pub(crate) fn client(broken: Broken) -> Fault {
        match broken {
            Broken::Body(BodyError::Cut) => Fault::ClientGone,
            Broken::Body(e) => Fault::Body(e),
            _ => Fault::ClientGone,
        }
    }
}
