//! Keys of transactions: an encoding in which bytes compare as the keys do and no key is the beginning of another, so that a
//! timestamp can stand behind it.
//!
//! Groups of eight bytes, the last one filled up with zeros, each followed by `0xff` less the number of bytes that fill it up
//! (the "memcomparable" form of MyRocks and TiKV). The timestamp behind it is inverted, so that the newest version comes first.

use crate::Ts;

const GROUP: usize = 8;
const MARK: u8 = 0xff;

/// Why an encoded key is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It ends within a group.
    #[error("the encoded key ends within a group, at byte {at}")]
    Cut {
        /// Where the group begins.
        at: usize,
    },
    /// A group says it is filled up by more bytes than it has, or the filling is not zeros.
    #[error("the encoded key has a bad group at byte {at}")]
    Group {
        /// Where the group begins.
        at: usize,
    },
    /// Something stands behind the last group.
    #[error("{extra} bytes stand behind the encoded key")]
    Extra {
        /// How many bytes.
        extra: usize,
    },
    /// There is no room for a timestamp.
    #[error("a key of {len} bytes has no timestamp")]
    NoTimestamp {
        /// Its length.
        len: usize,
    },
}

/// How many bytes a key of `len` bytes takes when it is encoded.
pub const fn encoded_len(len: usize) -> usize {
    (len / GROUP + 1) * (GROUP + 1)
}

/// The encoded form of a key.
pub fn encode_bytes(key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(encoded_len(key.len()) + 8);
    let mut rest = key;
    loop {
        let n = rest.len().min(GROUP);
        let (group, behind) = rest.split_at(n);
        out.extend_from_slice(group);
        out.resize(out.len() + GROUP - n, 0);
        // n is at most 8.
        out.push(MARK - (GROUP - n) as u8);
        rest = behind;
        if n < GROUP {
            return out;
        }
    }
}

/// The key in an encoded form, and how many bytes the form takes.
fn decode_prefix(encoded: &[u8]) -> Result<(Vec<u8>, usize), KeyError> {
    let mut key = Vec::with_capacity(encoded.len());
    let mut at = 0;
    loop {
        let group = encoded.get(at..at + GROUP + 1).ok_or(KeyError::Cut { at })?;
        let fill = usize::from(MARK - group[GROUP]);
        if fill > GROUP || group[GROUP - fill..GROUP].iter().any(|b| *b != 0) {
            return Err(KeyError::Group { at });
        }
        key.extend_from_slice(&group[..GROUP - fill]);
        at += GROUP + 1;
        if fill > 0 {
            return Ok((key, at));
        }
    }
}

/// The key whose encoded form this is.
///
/// # Errors
/// When it is not an encoded key and nothing else.
pub fn decode_bytes(encoded: &[u8]) -> Result<Vec<u8>, KeyError> {
    let (key, end) = decode_prefix(encoded)?;
    match encoded.len() - end {
        0 => Ok(key),
        extra => Err(KeyError::Extra { extra }),
    }
}

/// An encoded key with the version behind it.
pub fn join_ts(encoded: &[u8], ts: Ts) -> Vec<u8> {
    let mut out = Vec::with_capacity(encoded.len() + 8);
    out.extend_from_slice(encoded);
    out.extend_from_slice(&(!ts.0).to_be_bytes());
    out
}

/// The encoded key and the version of a stored key.
///
/// # Errors
/// When it is too short to have a version.
pub fn split_ts(stored: &[u8]) -> Result<(&[u8], Ts), KeyError> {
    let (key, ts) = stored
        .split_last_chunk::<8>()
        .ok_or(KeyError::NoTimestamp { len: stored.len() })?;
    Ok((key, Ts(!u64::from_be_bytes(*ts))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn worked_out_by_hand() {
        assert_eq!(encode_bytes(b""), [0, 0, 0, 0, 0, 0, 0, 0, 0xf7]);
        assert_eq!(encode_bytes(b"abc"), *b"abc\0\0\0\0\0\xfa");
        assert_eq!(encode_bytes(b"12345678"), *b"12345678\xff\0\0\0\0\0\0\0\0\xf7");
        assert_eq!(decode_bytes(b"abc"), Err(KeyError::Cut { at: 0 }));
        assert_eq!(decode_bytes(b"abc\0\0\0\0\x01\xfa"), Err(KeyError::Group { at: 0 }));
        assert_eq!(decode_bytes(b"abc\0\0\0\0\0\xfax"), Err(KeyError::Extra { extra: 1 }));
        assert_eq!(decode_bytes(b"abc\0\0\0\0\0\x07"), Err(KeyError::Group { at: 0 }));
        assert_eq!(split_ts(b"1234567"), Err(KeyError::NoTimestamp { len: 7 }));
    }

    proptest! {
        #[test]
        fn order_is_kept(a in prop::collection::vec(0u8..3, 0..20), b in prop::collection::vec(0u8..3, 0..20)) {
            let (ea, eb) = (encode_bytes(&a), encode_bytes(&b));
            prop_assert_eq!(a.cmp(&b), ea.cmp(&eb));
            prop_assert_eq!(ea.len(), encoded_len(a.len()));
            prop_assert_eq!(decode_bytes(&ea).unwrap(), a);
        }

        #[test]
        fn newest_version_first(k in prop::collection::vec(any::<u8>(), 0..20), a: u64, b: u64) {
            let e = encode_bytes(&k);
            prop_assert_eq!(a.cmp(&b), join_ts(&e, Ts(b)).cmp(&join_ts(&e, Ts(a))));
            let j = join_ts(&e, Ts(a));
            prop_assert_eq!(split_ts(&j).unwrap(), (&e[..], Ts(a)));
        }

        #[test]
        fn anything_is_refused_or_is_one(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(key) = decode_bytes(&bytes) {
                prop_assert_eq!(encode_bytes(&key), bytes);
            }
        }
    }
}
