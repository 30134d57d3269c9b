//! gRPC for browsers, told to upstreams that speak gRPC over HTTP/2.
//!
//! The messages are the same; what differs is the content type, and that the trailers are the last message of the body,
//! since a browser does not see trailers. The form in base64 is passed on as it is.

use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes, BytesMut};
use qd_proxy_policy::GrpcCode;
use qd_proxy_wire::{Fields, Framing, Known, RequestHead, ResponseHead};

use crate::side::{Broken, Filled, Source};

const WEB: &[u8] = b"application/grpc-web";
const PLAIN: &[u8] = b"application/grpc";
/// The mark of the message that holds trailers.
const TRAILERS: u8 = 0x80;

/// What follows the name of the type of a request that is told so, if it is one: nothing, or `+proto` and the like.
pub(crate) fn kind(head: &RequestHead) -> Option<Vec<u8>> {
    let rest = head.fields.first(Known::ContentType)?.strip_prefix(WEB)?;
    matches!(rest.first(), None | Some(b'+' | b';')).then(|| rest.to_vec())
}

/// Makes the request one of plain gRPC; gives how its body comes.
pub(crate) fn request(head: &mut RequestHead, kind: &[u8], framing: Framing) -> Framing {
    head.fields.set(b"content-type", &[PLAIN, kind].concat());
    head.fields.remove(Known::ContentLength);
    head.fields.remove_name(b"x-grpc-web");
    match framing {
        Framing::Length(_) => Framing::Chunked,
        other => other,
    }
}

/// Makes the answer one for the browser, if it is one of gRPC.
pub(crate) fn answer(head: &mut ResponseHead) -> bool {
    let Some(rest) = head
        .fields
        .first(Known::ContentType)
        .and_then(|t| t.strip_prefix(PLAIN))
    else {
        return false;
    };
    if !matches!(rest.first(), None | Some(b'+' | b';')) {
        return false;
    }
    let told = [WEB, rest].concat();
    head.fields.set(b"content-type", &told);
    head.fields.remove(Known::ContentLength);
    head.fields.remove(Known::Trailer);
    true
}

/// The last message: the trailers, as lines with names in lower case.
fn message(trailers: &Fields) -> Bytes {
    let mut lines = Vec::new();
    for (name, value) in trailers.iter() {
        lines.extend(name.iter().map(u8::to_ascii_lowercase));
        lines.push(b':');
        lines.extend_from_slice(value);
        lines.extend_from_slice(b"\r\n");
    }
    let mut out = BytesMut::with_capacity(lines.len() + 5);
    out.put_u8(TRAILERS);
    out.put_u32(u32::try_from(lines.len()).unwrap_or(u32::MAX));
    out.extend_from_slice(&lines);
    out.freeze()
}

/// How far an answer is whose trailers become its last message.
#[derive(Debug, Default)]
pub(crate) struct Web {
    /// The last message, once it is known.
    last: Option<Bytes>,
    /// What the trailers said of the call.
    pub(crate) status: Option<u16>,
}

/// The body of an answer with its trailers as its last message.
pub(crate) struct Told<'a, S> {
    pub(crate) from: &'a mut S,
    pub(crate) web: &'a mut Web,
}

impl<S: Source> Source for Told<'_, S> {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Filled, Broken>> {
        loop {
            match &self.web.last {
                Some(last) if last.is_empty() => return Poll::Ready(Ok(Filled::End(None))),
                Some(last) => return Poll::Ready(Ok(Filled::Data(last.len()))),
                None => match ready!(self.from.poll_fill(cx))? {
                    Filled::Data(n) => return Poll::Ready(Ok(Filled::Data(n))),
                    Filled::End(trailers) => {
                        let said = trailers.as_deref().and_then(|t| t.first(Known::GrpcStatus));
                        self.web.status = said.and_then(GrpcCode::parse).map(|code| code.0);
                        self.web.last = Some(trailers.as_deref().map(message).unwrap_or_default());
                    }
                },
            }
        }
    }

    fn front(&self) -> &[u8] {
        match &self.web.last {
            Some(last) => last,
            None => self.from.front(),
        }
    }

    fn consume(&mut self, n: usize) {
        let _ = self.take(n);
    }

    fn take(&mut self, n: usize) -> Bytes {
        match &mut self.web.last {
            Some(last) => last.split_to(n.min(last.len())),
            None => self.from.take(n),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailers_are_a_message() {
        let mut trailers = Fields::new();
        trailers.push(b"Grpc-Status", b"0");
        trailers.push(b"x-b", b"1");
        assert_eq!(&message(&trailers)[..], b"\x80\0\0\0\x16grpc-status:0\r\nx-b:1\r\n");
    }

    #[test]
    fn only_the_binary_form_is_told_otherwise() {
        let head = |kind: &str| {
            let mut head = RequestHead::default();
            head.fields.push(b"Content-Type", kind.as_bytes());
            kind_of(&head)
        };
        fn kind_of(head: &RequestHead) -> Option<Vec<u8>> {
            super::kind(head)
        }
        assert_eq!(head("application/grpc-web+proto"), Some(b"+proto".to_vec()));
        assert_eq!(head("application/grpc-web"), Some(Vec::new()));
        assert_eq!(head("application/grpc-web-text"), None);
        assert_eq!(head("application/grpc+proto"), None);
    }
}
