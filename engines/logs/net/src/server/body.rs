//! The bodies of requests: read and decompressed within bounds.

use std::io::Read;

use ::http::{HeaderMap, StatusCode, header::CONTENT_ENCODING};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

/// Bytes of a body, compressed or not, at the most.
pub(crate) const MAX_BODY: usize = 100 * 1024 * 1024;

/// A body that can't be taken: the status to answer with, and a sentence.
#[derive(Debug)]
pub(crate) struct Unreadable(pub(crate) StatusCode, pub(crate) String);

/// Reads a body.
///
/// # Errors
/// 413 if it is too large, 400 if it breaks off.
pub(crate) async fn read(mut body: Incoming) -> Result<Bytes, Unreadable> {
    let too_large = || {
        Unreadable(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body has more than {MAX_BODY} bytes"),
        )
    };
    if body.size_hint().lower() > MAX_BODY as u64 {
        return Err(too_large());
    }
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| Unreadable(StatusCode::BAD_REQUEST, format!("the body broke off: {e}")))?;
        if let Ok(data) = frame.into_data() {
            if all.len() + data.len() > MAX_BODY {
                return Err(too_large());
            }
            all.extend_from_slice(&data);
        }
    }
    Ok(all.freeze())
}

/// Undoes what `Content-Encoding` lists.
///
/// # Errors
/// 415 for an encoding that is not known, 400 for data that are none, 413 if too much comes out.
pub(crate) fn decoded(headers: &HeaderMap, mut body: Bytes) -> Result<Bytes, Unreadable> {
    let list = headers.get(CONTENT_ENCODING).map(|v| v.to_str().unwrap_or("?"));
    for name in list.unwrap_or_default().rsplit(',').map(str::trim) {
        body = decompress(name, body)?;
    }
    Ok(body)
}

/// Undoes one encoding: `gzip`, `deflate`, `zstd`, `snappy`, `identity`.
///
/// # Errors
/// As [`decoded`].
pub(crate) fn decompress(name: &str, body: Bytes) -> Result<Bytes, Unreadable> {
    let bad = |e: String| {
        Unreadable(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("the body can't be decompressed as {name}: {e}"),
        )
    };
    match name {
        "" | "identity" => Ok(body),
        "gzip" | "x-gzip" => bounded(flate2::read::MultiGzDecoder::new(&*body)).map_err(|e| e.or(&bad)),
        "deflate" => bounded(flate2::read::ZlibDecoder::new(&*body)).map_err(|e| e.or(&bad)),
        "zstd" => {
            let decoder = zstd::stream::read::Decoder::new(&*body).map_err(|e| bad(e.to_string()))?;
            bounded(decoder).map_err(|e| e.or(&bad))
        }
        "snappy" => {
            let len = snap::raw::decompress_len(&body).map_err(|e| bad(e.to_string()))?;
            if len > MAX_BODY {
                return Err(Overflow::Full.or(&bad));
            }
            snap::raw::Decoder::new()
                .decompress_vec(&body)
                .map(Bytes::from)
                .map_err(|e| bad(e.to_string()))
        }
        other => Err(Unreadable(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("the encoding `{}` is not supported", other.escape_debug()),
        )),
    }
}

enum Overflow {
    Full,
    Broken(String),
}

impl Overflow {
    fn or(self, bad: &dyn Fn(String) -> Unreadable) -> Unreadable {
        match self {
            Overflow::Full => Unreadable(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the body has more than {MAX_BODY} bytes when decompressed"),
            ),
            Overflow::Broken(why) => bad(why),
        }
    }
}

fn bounded(reader: impl Read) -> Result<Bytes, Overflow> {
    let mut out = Vec::new();
    let mut limited = reader.take(MAX_BODY as u64 + 1);
    limited
        .read_to_end(&mut out)
        .map_err(|e| Overflow::Broken(e.to_string()))?;
    match out.len() > MAX_BODY {
        true => Err(Overflow::Full),
        false => Ok(out.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_undone_in_their_order_and_bombs_are_not() {
        use std::io::Write;
        let gz = |data: &[u8]| {
            let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            e.write_all(data).unwrap();
            e.finish().unwrap()
        };
        let both = zstd::encode_all(&*gz(b"hello"), 1).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, "gzip, zstd".parse().unwrap());
        assert_eq!(decoded(&headers, both.into()).unwrap(), "hello");
        let bomb = gz(&vec![0; MAX_BODY + 1]);
        let refused = decompress("gzip", bomb.into()).unwrap_err();
        assert_eq!(refused.0, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(
            decompress("br", Bytes::new()).unwrap_err().0,
            StatusCode::UNSUPPORTED_MEDIA_TYPE
        );
        assert_eq!(
            decompress("snappy", Bytes::from_static(b"\xff\xff\xff\xff\xff\xff"))
                .unwrap_err()
                .0,
            StatusCode::UNPROCESSABLE_ENTITY
        );
    }
}
