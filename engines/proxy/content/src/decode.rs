//! Taking encodings away, with a bound on what comes out.

use std::io::Read;

/// Encodings of one body at most.
pub const MAX_ENCODINGS: usize = 4;

/// Why there is no more of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopped {
    /// It is as large as it may be: a bomb, or simply large.
    Limit,
    /// What was kept ends in the middle, or is broken.
    Broken(String),
    /// An encoding that is not known; the body is as it was sent.
    Unknown(String),
}

/// A body without its encodings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// What came out.
    pub bytes: Vec<u8>,
    /// Why it is not all.
    pub stopped: Option<Stopped>,
}

/// How far zstd may look back: 8 MiB, what HTTP allows (RFC 9659).
const ZSTD_WINDOW: u32 = 23;

/// Takes the encodings of a `content-encoding` away, the last one first; at most `limit` bytes come out of each. What
/// could be read of a broken or cut body is given.
pub fn decode(body: &[u8], content_encoding: &str, limit: usize) -> Decoded {
    let mut decoded = Decoded {
        bytes: body.to_vec(),
        stopped: None,
    };
    let names = content_encoding.split(',').map(str::trim).filter(|n| !n.is_empty());
    let names: Vec<String> = names.map(str::to_ascii_lowercase).filter(|n| n != "identity").collect();
    if names.len() > MAX_ENCODINGS {
        decoded.stopped = Some(Stopped::Unknown(format!("{} encodings", names.len())));
        return decoded;
    }
    for name in names.iter().rev() {
        let input = decoded.bytes.as_slice();
        let (bytes, stopped) = match name.as_str() {
            "gzip" | "x-gzip" => take(flate2::read::MultiGzDecoder::new(input), limit),
            "deflate" => deflate(input, limit),
            "br" => take(brotli_decompressor::Decompressor::new(input, 4_096), limit),
            "zstd" => match zstd::stream::read::Decoder::new(input) {
                Ok(mut decoder) => match decoder.window_log_max(ZSTD_WINDOW) {
                    Ok(()) => take(decoder, limit),
                    Err(error) => (Vec::new(), Some(Stopped::Broken(error.to_string()))),
                },
                Err(error) => (Vec::new(), Some(Stopped::Broken(error.to_string()))),
            },
            other => {
                decoded.stopped = Some(Stopped::Unknown(other.chars().take(40).collect()));
                return decoded;
            }
        };
        // What stopped first is what matters: an outer cut makes every inner one end early.
        decoded.stopped = decoded.stopped.or(stopped);
        decoded.bytes = bytes;
    }
    decoded
}

fn take(mut reader: impl Read, limit: usize) -> (Vec<u8>, Option<Stopped>) {
    let mut out = Vec::new();
    let mut block = [0; 8_192];
    loop {
        match reader.read(&mut block) {
            Ok(0) => return (out, None),
            Ok(n) => {
                let room = limit - out.len();
                out.extend_from_slice(block.get(..n.min(room)).unwrap_or_default());
                if n > room {
                    return (out, Some(Stopped::Limit));
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return (out, Some(Stopped::Broken(error.to_string()))),
        }
    }
}

/// `deflate` is zlib's format by the standard, and bare by some servers.
fn deflate(input: &[u8], limit: usize) -> (Vec<u8>, Option<Stopped>) {
    let (bytes, stopped) = take(flate2::read::ZlibDecoder::new(input), limit);
    if bytes.is_empty() && matches!(stopped, Some(Stopped::Broken(_))) {
        return take(flate2::read::DeflateDecoder::new(input), limit);
    }
    (bytes, stopped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    /// `hello hello hello` as another program's brotli (quality 11) writes it.
    const BROTLI: &[u8] = &[
        27, 16, 0, 248, 141, 148, 110, 222, 68, 85, 134, 150, 108, 32, 111, 1, 79, 28, 96, 28,
    ];

    #[test]
    fn every_encoding_is_taken_away() {
        let text = b"hello hello hello";
        let plain = |body: &[u8], name: &str| {
            let decoded = decode(body, name, 1_000);
            assert_eq!(
                (decoded.bytes.as_slice(), &decoded.stopped),
                (&text[..], &None),
                "{name}"
            );
        };
        plain(text, "");
        plain(text, "identity");
        plain(&gzip(text), "GZIP");
        plain(BROTLI, "br");
        let zstd = zstd::encode_all(&text[..], 3).unwrap();
        plain(&zstd, "zstd");
        plain(&gzip(&zstd), "zstd, gzip");
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        zlib.write_all(text).unwrap();
        plain(&zlib.finish().unwrap(), "deflate");
        let mut bare = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        bare.write_all(text).unwrap();
        plain(&bare.finish().unwrap(), "deflate");
        assert_eq!(
            decode(text, "rot13", 9).stopped,
            Some(Stopped::Unknown("rot13".to_owned()))
        );
        assert!(matches!(
            decode(text, "gzip,gzip,gzip,gzip,gzip", 9).stopped,
            Some(Stopped::Unknown(_))
        ));
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let zeros = vec![0; 50 << 20];
        for (bomb, name) in [
            (gzip(&zeros), "gzip"),
            (gzip(&gzip(&zeros)), "gzip, gzip"),
            (zstd::encode_all(&zeros[..], 3).unwrap(), "zstd"),
        ] {
            assert!(bomb.len() < 1 << 20);
            let decoded = decode(&bomb, name, 1 << 20);
            assert_eq!(
                (decoded.bytes.len(), decoded.stopped),
                (1 << 20, Some(Stopped::Limit)),
                "{name}"
            );
        }
    }

    #[test]
    fn what_was_cut_is_shown_as_far_as_it_goes() {
        let data: Vec<u8> = (0..100_000u32).flat_map(|i| i.to_le_bytes()).collect();
        let whole = gzip(&data);
        let cut = decode(&whole[..whole.len() / 2], "gzip", 1 << 20);
        assert!(matches!(cut.stopped, Some(Stopped::Broken(_))));
        assert!(cut.bytes.len() > 1_000 && data.starts_with(&cut.bytes));
    }

    proptest! {
        #[test]
        fn nothing_panics_and_the_limit_is_kept(
            body in prop::collection::vec(any::<u8>(), 0..200),
            names in prop::collection::vec(prop::sample::select(vec!["gzip", "br", "zstd", "deflate"]), 0..3),
            limit in 0usize..100
        ) {
            let decoded = decode(&body, &names.join(","), limit);
            prop_assert!(names.is_empty() || decoded.bytes.len() <= limit);
        }
    }
}
