//! What the proxy says by itself, and how: the status for HTTP, the code for gRPC, and a header with the cause.

use std::fmt;

use crate::class::GrpcCode;

/// The header that every answer of the proxy itself carries, under the name that Linkerd's clients know.
pub const CAUSE_HEADER: &str = "l5d-proxy-error";

/// Why the proxy answered instead of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// The request's time was over.
    RequestTimeout,
    /// One try took longer than it may.
    TryTimeout,
    /// No bytes went either way for too long.
    IdleTimeout,
    /// No endpoint could be reached in time.
    ConnectTimeout,
    /// The client took too long to send its request.
    ClientTimeout,
    /// No endpoint was ready, and none had been for some time.
    FailFast,
    /// The queue of those that wait for an endpoint is full.
    QueueFull,
    /// There are as many requests as the proxy takes.
    Overloaded,
    /// The route has no endpoint, or none that may be used.
    NoBackend,
    /// Connecting to the endpoint failed.
    ConnectFailed,
    /// The endpoint broke off before it answered.
    BackendClosed,
    /// The endpoint's answer is no HTTP.
    BackendMalformed,
    /// No route matches.
    NoRoute,
    /// The route or the client has sent too many requests.
    RateLimited,
    /// The request came through this proxy before.
    Loop,
    /// The access policy refuses it.
    Denied,
    /// The client must show who it is.
    Unauthenticated,
    /// The request is no HTTP, or one that may be read two ways.
    BadRequest,
    /// The header is larger than it may be.
    HeaderTooLarge,
    /// The body is larger than it may be.
    BodyTooLarge,
    /// The client asked for another host than the connection was made for.
    Misdirected,
    /// A fault that was injected on purpose.
    Injected,
    /// The proxy is about to end.
    Draining,
}

impl Cause {
    /// All of them.
    pub const ALL: [Cause; 23] = [
        Cause::RequestTimeout,
        Cause::TryTimeout,
        Cause::IdleTimeout,
        Cause::ConnectTimeout,
        Cause::ClientTimeout,
        Cause::FailFast,
        Cause::QueueFull,
        Cause::Overloaded,
        Cause::NoBackend,
        Cause::ConnectFailed,
        Cause::BackendClosed,
        Cause::BackendMalformed,
        Cause::NoRoute,
        Cause::RateLimited,
        Cause::Loop,
        Cause::Denied,
        Cause::Unauthenticated,
        Cause::BadRequest,
        Cause::HeaderTooLarge,
        Cause::BodyTooLarge,
        Cause::Misdirected,
        Cause::Injected,
        Cause::Draining,
    ];

    /// The HTTP status. A gRPC call gets 200 and [`Cause::grpc`] instead.
    pub fn http(self) -> u16 {
        match self {
            Cause::RequestTimeout | Cause::TryTimeout | Cause::IdleTimeout | Cause::ConnectTimeout => 504,
            Cause::ClientTimeout => 408,
            Cause::FailFast | Cause::QueueFull | Cause::Overloaded | Cause::Injected | Cause::Draining => 503,
            Cause::NoBackend | Cause::ConnectFailed | Cause::BackendClosed | Cause::BackendMalformed => 502,
            Cause::NoRoute => 404,
            Cause::RateLimited => 429,
            Cause::Loop => 508,
            Cause::Denied => 403,
            Cause::Unauthenticated => 401,
            Cause::BadRequest => 400,
            Cause::HeaderTooLarge => 431,
            Cause::BodyTooLarge => 413,
            Cause::Misdirected => 421,
        }
    }

    /// The gRPC code.
    pub fn grpc(self) -> GrpcCode {
        match self {
            Cause::RequestTimeout
            | Cause::TryTimeout
            | Cause::IdleTimeout
            | Cause::ConnectTimeout
            | Cause::ClientTimeout => GrpcCode::DEADLINE_EXCEEDED,
            Cause::FailFast
            | Cause::QueueFull
            | Cause::Overloaded
            | Cause::Injected
            | Cause::Draining
            | Cause::NoBackend
            | Cause::ConnectFailed
            | Cause::BackendClosed
            | Cause::BackendMalformed => GrpcCode::UNAVAILABLE,
            Cause::NoRoute | Cause::Misdirected => GrpcCode::UNIMPLEMENTED,
            Cause::RateLimited | Cause::HeaderTooLarge | Cause::BodyTooLarge => GrpcCode::RESOURCE_EXHAUSTED,
            Cause::Loop => GrpcCode::INTERNAL,
            Cause::Denied => GrpcCode::PERMISSION_DENIED,
            Cause::Unauthenticated => GrpcCode::UNAUTHENTICATED,
            Cause::BadRequest => GrpcCode::INTERNAL,
        }
    }

    /// The sentence of the header and of `grpc-message`.
    pub fn message(self) -> &'static str {
        match self {
            Cause::RequestTimeout => "the request timed out",
            Cause::TryTimeout => "the endpoint did not answer in time",
            Cause::IdleTimeout => "the exchange was idle for too long",
            Cause::ConnectTimeout => "connecting to the endpoint timed out",
            Cause::ClientTimeout => "the client took too long to send its request",
            Cause::FailFast => "no endpoint has been ready for some time",
            Cause::QueueFull => "too many requests wait for an endpoint",
            Cause::Overloaded => "the proxy has as many requests as it takes",
            Cause::NoBackend => "there is no endpoint for this route",
            Cause::ConnectFailed => "connecting to the endpoint failed",
            Cause::BackendClosed => "the endpoint closed the connection",
            Cause::BackendMalformed => "the endpoint's answer is malformed",
            Cause::NoRoute => "no route matches",
            Cause::RateLimited => "too many requests",
            Cause::Loop => "the request came through this proxy before",
            Cause::Denied => "the access policy refuses this",
            Cause::Unauthenticated => "the client has not shown who it is",
            Cause::BadRequest => "the request is malformed",
            Cause::HeaderTooLarge => "the header is too large",
            Cause::BodyTooLarge => "the body is too large",
            Cause::Misdirected => "this connection is not for that host",
            Cause::Injected => "a fault was injected",
            Cause::Draining => "the proxy is about to end",
        }
    }

    /// One word for tables and labels.
    pub fn word(self) -> &'static str {
        match self {
            Cause::RequestTimeout => "request-timeout",
            Cause::TryTimeout => "try-timeout",
            Cause::IdleTimeout => "idle-timeout",
            Cause::ConnectTimeout => "connect-timeout",
            Cause::ClientTimeout => "client-timeout",
            Cause::FailFast => "failfast",
            Cause::QueueFull => "queue-full",
            Cause::Overloaded => "overloaded",
            Cause::NoBackend => "no-backend",
            Cause::ConnectFailed => "connect-failed",
            Cause::BackendClosed => "backend-closed",
            Cause::BackendMalformed => "backend-malformed",
            Cause::NoRoute => "no-route",
            Cause::RateLimited => "rate-limited",
            Cause::Loop => "loop",
            Cause::Denied => "denied",
            Cause::Unauthenticated => "unauthenticated",
            Cause::BadRequest => "bad-request",
            Cause::HeaderTooLarge => "header-too-large",
            Cause::BodyTooLarge => "body-too-large",
            Cause::Misdirected => "misdirected",
            Cause::Injected => "injected",
            Cause::Draining => "draining",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_statuses_are_those_of_the_design() {
        let is = |cause: Cause, http, code| assert_eq!((cause.http(), cause.grpc()), (http, code), "{cause}");
        for timeout in [Cause::RequestTimeout, Cause::TryTimeout, Cause::ConnectTimeout] {
            is(timeout, 504, GrpcCode::DEADLINE_EXCEEDED);
        }
        for shed in [Cause::FailFast, Cause::QueueFull, Cause::Overloaded] {
            is(shed, 503, GrpcCode::UNAVAILABLE);
        }
        is(Cause::NoBackend, 502, GrpcCode::UNAVAILABLE);
        assert_eq!(Cause::NoRoute.http(), 404);
        is(Cause::RateLimited, 429, GrpcCode::RESOURCE_EXHAUSTED);
        assert_eq!(Cause::Loop.http(), 508);
    }

    #[test]
    fn every_cause_has_words_of_its_own_that_fit_a_header() {
        let words: HashSet<&str> = Cause::ALL.iter().map(|c| c.word()).collect();
        let messages: HashSet<&str> = Cause::ALL.iter().map(|c| c.message()).collect();
        assert_eq!((words.len(), messages.len()), (Cause::ALL.len(), Cause::ALL.len()));
        assert!(messages.iter().all(|m| m.bytes().all(|b| (0x20..0x7f).contains(&b))));
    }
}
