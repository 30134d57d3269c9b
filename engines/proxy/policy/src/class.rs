//! What an answer means: success or failure, for HTTP and for gRPC.

use std::fmt;

/// Whether an answer counts as a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// The request was served, even if the answer is that the client is wrong.
    Success,
    /// It was not.
    Failure,
}

impl Class {
    /// The word of the metrics' label `classification`.
    pub fn word(self) -> &'static str {
        match self {
            Class::Success => "success",
            Class::Failure => "failure",
        }
    }
}

/// A status of gRPC: 0 to 16 have names, other numbers are kept as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GrpcCode(pub u16);

impl GrpcCode {
    /// It went well.
    pub const OK: GrpcCode = GrpcCode(0);
    /// The client gave it up.
    pub const CANCELLED: GrpcCode = GrpcCode(1);
    /// Nothing is known of the error.
    pub const UNKNOWN: GrpcCode = GrpcCode(2);
    /// Its time was over.
    pub const DEADLINE_EXCEEDED: GrpcCode = GrpcCode(4);
    /// There is no such thing.
    pub const NOT_FOUND: GrpcCode = GrpcCode(5);
    /// The caller may not.
    pub const PERMISSION_DENIED: GrpcCode = GrpcCode(7);
    /// Too much was asked for.
    pub const RESOURCE_EXHAUSTED: GrpcCode = GrpcCode(8);
    /// The method is not there.
    pub const UNIMPLEMENTED: GrpcCode = GrpcCode(12);
    /// Something is broken.
    pub const INTERNAL: GrpcCode = GrpcCode(13);
    /// Nobody is there just now.
    pub const UNAVAILABLE: GrpcCode = GrpcCode(14);
    /// Data was lost.
    pub const DATA_LOSS: GrpcCode = GrpcCode(15);
    /// Nobody knows the caller.
    pub const UNAUTHENTICATED: GrpcCode = GrpcCode(16);

    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];

    /// Reads the value of `grpc-status`; `None` for what is no number of at most three digits.
    pub fn parse(value: &[u8]) -> Option<GrpcCode> {
        if value.is_empty() || value.len() > 3 {
            return None;
        }
        value
            .iter()
            .try_fold(0u16, |code, byte| {
                byte.is_ascii_digit().then(|| code * 10 + u16::from(byte - b'0'))
            })
            .map(GrpcCode)
    }

    /// The code that has this name.
    pub fn of_name(name: &str) -> Option<GrpcCode> {
        let at = Self::NAMES.iter().position(|known| known.eq_ignore_ascii_case(name))?;
        u16::try_from(at).ok().map(GrpcCode)
    }

    /// Its name; `None` beyond 16.
    pub fn name(self) -> Option<&'static str> {
        Self::NAMES.get(usize::from(self.0)).copied()
    }

    /// Whether it counts as a failure of the server: 2, 4, 7, 13, 14 and 15.
    pub fn class(self) -> Class {
        match self.0 {
            2 | 4 | 7 | 13 | 14 | 15 => Class::Failure,
            _ => Class::Success,
        }
    }

    /// What an answer without a `grpc-status` means, by its HTTP status.
    pub fn of_http(status: u16) -> GrpcCode {
        match status {
            400 => GrpcCode::INTERNAL,
            401 => GrpcCode::UNAUTHENTICATED,
            403 => GrpcCode::PERMISSION_DENIED,
            404 => GrpcCode::UNIMPLEMENTED,
            429 | 502..=504 => GrpcCode::UNAVAILABLE,
            _ => GrpcCode::UNKNOWN,
        }
    }
}

impl fmt::Display for GrpcCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

/// Whether a request or an answer is gRPC by its `content-type`: `application/grpc`, `application/grpc+proto`, ….
/// grpc-web is not, though its trailers mean the same.
pub fn is_grpc(content_type: &[u8]) -> bool {
    let rest = content_type
        .get(..16)
        .filter(|start| start.eq_ignore_ascii_case(b"application/grpc"))
        .and_then(|_| content_type.get(16..));
    matches!(rest, Some([] | [b'+' | b';' | b' ', ..]))
}

/// The class of an HTTP answer: 500 and above are failures.
pub fn of_http(status: u16) -> Class {
    if status >= 500 { Class::Failure } else { Class::Success }
}

/// The code and class of a finished gRPC call: `grpc-status` of the headers (an answer of trailers only), else of the
/// trailers. Without one, or with one that is no number, the call failed, whatever the code that its HTTP status maps to.
pub fn of_grpc(http: u16, in_headers: Option<&[u8]>, in_trailers: Option<&[u8]>) -> (GrpcCode, Class) {
    match in_headers.or(in_trailers).and_then(GrpcCode::parse) {
        Some(code) => (code, code.class()),
        None => (GrpcCode::of_http(http), Class::Failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read() {
        assert_eq!(GrpcCode::parse(b"14"), Some(GrpcCode::UNAVAILABLE));
        assert_eq!(GrpcCode::parse(b"999"), Some(GrpcCode(999)));
        for bad in ["", "-1", "1 ", "0x1", "1000", "x"] {
            assert_eq!(GrpcCode::parse(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(GrpcCode::of_name("unavailable"), Some(GrpcCode::UNAVAILABLE));
        assert_eq!(GrpcCode(7).to_string(), "PERMISSION_DENIED");
        assert_eq!(GrpcCode(99).to_string(), "99");
    }

    #[test]
    fn six_codes_are_failures() {
        let failures: Vec<u16> = (0..40).filter(|c| GrpcCode(*c).class() == Class::Failure).collect();
        assert_eq!(failures, [2, 4, 7, 13, 14, 15]);
    }

    #[test]
    fn the_status_is_taken_from_headers_then_trailers_then_http() {
        assert_eq!(
            of_grpc(200, Some(b"5"), Some(b"13")),
            (GrpcCode::NOT_FOUND, Class::Success)
        );
        assert_eq!(of_grpc(200, None, Some(b"13")), (GrpcCode::INTERNAL, Class::Failure));
        let missing = [
            (400, 13),
            (401, 16),
            (403, 7),
            (404, 12),
            (429, 14),
            (502, 14),
            (503, 14),
            (504, 14),
            (200, 2),
            (500, 2),
            (418, 2),
        ];
        for (http, code) in missing {
            assert_eq!(of_grpc(http, None, None), (GrpcCode(code), Class::Failure), "{http}");
        }
        assert_eq!(of_grpc(200, Some(b"zero"), None), (GrpcCode::UNKNOWN, Class::Failure));
    }

    #[test]
    fn content_types_are_told_apart() {
        for yes in ["application/grpc", "application/grpc+proto", "Application/gRPC;x=1"] {
            assert!(is_grpc(yes.as_bytes()), "{yes}");
        }
        for no in [
            "application/grpc-web",
            "application/grpcx",
            "application/json",
            "",
            "application/grp",
        ] {
            assert!(!is_grpc(no.as_bytes()), "{no}");
        }
        assert_eq!((of_http(499), of_http(500)), (Class::Success, Class::Failure));
    }
}
