//! gRPC calls with one message each way, as a client and as a server: a message is a byte that tells whether it is
//! compressed, four bytes of length and the protobuf (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).

use std::convert::Infallible;

use ::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use prost::Message;
use qd_logs_codecs::Compression;
use qd_logs_model::Delivery;
use reqwest::Url;

use crate::{
    http::Answer,
    request::Verdict,
    server::{Body, body},
};

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    /// The code: 3 invalid argument, 8 exhausted, 12 unimplemented, 13 internal, 14 unavailable, 15 data loss.
    pub(crate) code: u32,
    /// A sentence.
    pub(crate) message: String,
}

impl Status {
    pub(crate) fn new(code: u32, message: impl Into<String>) -> Status {
        Status {
            code,
            message: message.into(),
        }
    }

    /// What became of the events of a call; `Ok` if they arrived.
    pub(crate) fn of(delivery: Delivery) -> Result<(), Status> {
        match delivery {
            Delivery::Delivered => Ok(()),
            Delivery::Errored => Err(Status::new(13, "the events could not be delivered")),
            Delivery::Rejected => Err(Status::new(15, "the events were refused")),
        }
    }
}

/// A message with its head, compressed if that is asked for.
///
/// # Errors
/// What the compressor says, and messages of 4 GiB.
pub(crate) fn framed(message: &[u8], compression: Compression) -> Result<Bytes, String> {
    let mut out = vec![0; 5];
    compression
        .compress(message, &mut out)
        .map_err(|e| format!("compression failed: {e}"))?;
    let len = u32::try_from(out.len() - 5).map_err(|_| "the message has more than 4 GiB".to_owned())?;
    let mut head = BytesMut::with_capacity(5);
    head.put_u8(u8::from(compression.is_compressed()));
    head.put_u32(len);
    if let Some(place) = out.get_mut(..5) {
        place.copy_from_slice(&head);
    }
    Ok(out.into())
}

/// A call to a method such as `/vector.Vector/PushEvents`; its body is [`framed`].
pub(crate) fn call(url: &Url, body: Bytes, compression: Compression) -> reqwest::Request {
    let mut request = reqwest::Request::new(Method::POST, url.clone());
    let headers = request.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    headers.insert("te", HeaderValue::from_static("trailers"));
    if let Some(name) = compression.content_encoding() {
        headers.insert(ENCODING, HeaderValue::from_static(name));
    }
    *request.body_mut() = Some(body.into());
    request
}

/// What the answer to a call means.
pub(crate) fn verdict(answer: Result<Answer, String>) -> Verdict {
    let answer = match answer {
        Ok(a) => a,
        Err(why) => return Verdict::unreachable(why),
    };
    if answer.status != StatusCode::OK {
        // A proxy or another server answered.
        return crate::http::standard(Ok(answer));
    }
    let find = |name: &HeaderName| {
        let value = answer.trailers.get(name).or_else(|| answer.headers.get(name))?;
        value.to_str().ok()
    };
    let Some(code) = find(&STATUS).and_then(|c| c.parse::<u32>().ok()) else {
        return Verdict::unreachable("the answer has no gRPC status");
    };
    let why = format!("gRPC status {code}: {}", find(&MESSAGE).unwrap_or_default());
    match code {
        0 => Verdict::Delivered,
        // Invalid argument, not found, already exists, permission denied, failed precondition, out of range,
        // unimplemented, data loss (a `vector` source's word for refused events), unauthenticated: none of them passes.
        3 | 5 | 6 | 7 | 9 | 11 | 12 | 15 | 16 => Verdict::Refused(why),
        _ => Verdict::Retry {
            why,
            after: None,
            overloaded: matches!(code, 8 | 14),
        },
    }
}

/// The message of an answer, if it has one.
pub(crate) fn message<T: Message + Default>(answer: &Answer) -> Option<T> {
    let mut body = answer.body.clone();
    if body.len() < 5 || body.get_u8() != 0 {
        return None;
    }
    let len = body.get_u32() as usize;
    T::decode(body.get(..len)?).ok()
}

/// Reads the message of a call.
///
/// # Errors
/// The status to answer with.
pub(crate) async fn receive<T: Message + Default>(request: Request<Incoming>) -> Result<T, Status> {
    let (parts, body) = request.into_parts();
    let exhausted = |e: body::Unreadable| match e.0 {
        StatusCode::PAYLOAD_TOO_LARGE => Status::new(8, e.1),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Status::new(12, e.1),
        _ => Status::new(3, e.1),
    };
    let mut bytes = body::read(body).await.map_err(exhausted)?;
    if bytes.len() < 5 {
        return Err(Status::new(3, "the call has no message"));
    }
    let compressed = bytes.get_u8() != 0;
    let len = bytes.get_u32() as usize;
    if len != bytes.len() {
        return Err(Status::new(3, "the call has not exactly one message"));
    }
    if compressed {
        let name = parts.headers.get(ENCODING).and_then(|v| v.to_str().ok());
        bytes = body::decompress(name.unwrap_or("?"), bytes).map_err(exhausted)?;
    }
    T::decode(bytes).map_err(|e| Status::new(3, format!("the message can't be read: {e}")))
}

/// The answer to a call.
pub(crate) fn respond<T: Message>(result: Result<T, Status>) -> Response<Body> {
    let mut trailers = HeaderMap::new();
    let (body, status) = match result {
        // Not compressed, a message of less than 4 GiB can't fail.
        Ok(message) => (
            framed(&message.encode_to_vec(), Compression::None).unwrap_or_default(),
            Status::new(0, ""),
        ),
        Err(status) => (Bytes::new(), status),
    };
    trailers.insert(STATUS, HeaderValue::from(status.code));
    if !status.message.is_empty() {
        let text: String = status
            .message
            .chars()
            .map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' })
            .collect();
        if let Ok(value) = HeaderValue::try_from(text) {
            trailers.insert(MESSAGE, value);
        }
    }
    let body = Full::new(body)
        .with_trailers(async move { Some(Ok::<_, Infallible>(trailers)) })
        .boxed_unsync();
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}
