//! Compression: that it comes back, also after a writer was killed anywhere.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use std::io::{Read, Write};

use common::config;
use proptest::prelude::*;
use qd_logs_codecs::{Compression, CompressionLevel, StreamCompression, members};
use serde_json::json;

fn back(c: Compression, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match c {
        Compression::None => out.extend_from_slice(bytes),
        Compression::Gzip(_) => drop(flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut out).unwrap()),
        Compression::Zlib(_) => drop(flate2::read::ZlibDecoder::new(bytes).read_to_end(&mut out).unwrap()),
        Compression::Zstd(_) => out = zstd::decode_all(bytes).unwrap(),
        Compression::Snappy => out = snap::raw::Decoder::new().decompress_vec(bytes).unwrap(),
    }
    out
}

#[test]
fn names_and_levels_are_read() {
    let c = |j: serde_json::Value| config::<Compression>(j);
    assert_eq!(c(json!("gzip")).unwrap(), Compression::GZIP);
    assert_eq!(c(json!("snappy")).unwrap(), Compression::Snappy);
    assert_eq!(
        c(json!({"algorithm": "zstd", "level": 21})).unwrap(),
        Compression::Zstd(CompressionLevel::Number(21))
    );
    assert_eq!(
        c(json!({"algorithm": "zlib", "level": "best"})).unwrap(),
        Compression::Zlib(CompressionLevel::Best)
    );
    assert_eq!(c(json!({"algorithm": "none"})).unwrap(), Compression::None);
    for bad in [
        json!("gz"),
        json!(3),
        json!({"level": 3}),
        json!({"algorithm": "gzip", "level": 10}),
        json!({"algorithm": "zstd", "level": 22}),
        json!({"algorithm": "none", "level": 1}),
        json!({"algorithm": "snappy", "level": 1}),
        json!({"algorithm": "gzip", "level": "hard"}),
        json!({"algorithm": "gzip", "levl": 1}),
    ] {
        assert!(c(bad.clone()).is_err(), "{bad}");
    }
    assert_eq!(c(json!("gzp")).unwrap_err().suggestion.as_deref(), Some("gzip"));
}

#[test]
fn bodies_come_back() {
    let body = "some text, ".repeat(1000).into_bytes();
    let l = CompressionLevel::Number(1);
    for c in [
        Compression::None,
        Compression::GZIP,
        Compression::Gzip(CompressionLevel::None),
        Compression::Zlib(l),
        Compression::Zstd(l),
        Compression::Zstd(CompressionLevel::Fast),
        Compression::Snappy,
    ] {
        for body in [&body[..], b""] {
            let mut out = b"before".to_vec();
            c.compress(body, &mut out).unwrap();
            assert_eq!(back(c, &out[6..]), body, "{c:?}");
        }
    }
}

/// Cuts a file of three members at every byte, continues it, and reads all of it.
#[test]
fn a_file_cut_anywhere_is_continued() {
    for (c, how) in [
        (StreamCompression::Gzip, Compression::GZIP),
        (StreamCompression::Zstd, Compression::Zstd(CompressionLevel::Default)),
    ] {
        let texts = ["one\n".repeat(50), "two\n".to_owned(), "three\n".repeat(7)];
        let mut bytes = Vec::new();
        let mut ends = vec![0];
        for t in &texts {
            c.append(t.as_bytes(), &mut bytes).unwrap();
            ends.push(bytes.len());
        }
        for cut in 0..=bytes.len() {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&bytes[..cut]).unwrap();
            let whole = members::whole(&file, c).unwrap();
            let n = ends.iter().rposition(|e| *e <= cut).unwrap();
            assert_eq!((whole.len, whole.rescued.len()), (ends[n] as u64, 0), "{c:?} {cut}");
            let mut all = bytes[..ends[n]].to_vec();
            c.append(b"four\n", &mut all).unwrap();
            assert_eq!(back(how, &all), [&texts[..n].concat(), "four\n"].concat().as_bytes());
        }
    }
}

#[test]
fn files_of_others_are_walked_and_rescued() {
    let mut file = tempfile::tempfile().unwrap();
    let member = |text: &[u8]| {
        let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        e.write_all(text).unwrap();
        e.flush().unwrap();
        e
    };
    let whole = member(b"first\n").finish().unwrap();
    let broken = member(b"second\n").get_ref().clone();
    file.write_all(&whole).unwrap();
    StreamCompression::Gzip.append(b"ours\n", &mut Vec::new()).unwrap();
    file.write_all(&broken).unwrap();
    let found = members::whole(&file, StreamCompression::Gzip).unwrap();
    assert_eq!(found.len, whole.len() as u64);
    assert_eq!(found.rescued, b"second\n");

    let mut plain = tempfile::tempfile().unwrap();
    plain.write_all(b"plain text").unwrap();
    assert!(members::whole(&plain, StreamCompression::Gzip).is_err());
    assert!(members::whole(&plain, StreamCompression::Zstd).is_err());
    assert_eq!(members::whole(&plain, StreamCompression::None).unwrap().len, 10);
}

proptest! {
    #[test]
    fn no_file_harms_the_walk(bytes in proptest::collection::vec(any::<u8>(), 0..200), magic in 0..4, gzip in any::<bool>()) {
        let mut all = match magic {
            0 => vec![0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0, 8, 0, b'Q', b'D', 4, 0],
            1 => vec![0x28, 0xb5, 0x2f, 0xfd],
            2 => vec![0x1f, 0x8b, 8],
            _ => vec![],
        };
        all.extend(bytes);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&all).unwrap();
        let c = if gzip { StreamCompression::Gzip } else { StreamCompression::Zstd };
        if let Ok(w) = members::whole(&file, c) {
            prop_assert!(w.len <= all.len() as u64);
        }
    }
}
