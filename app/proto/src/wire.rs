//! Handshake and framing.

use std::io::{self, Read, Write};

use serde::{Serialize, de::DeserializeOwned};

/// The protocol's number. It grows with every change of a message.
pub const PROTOCOL: u16 = 2;
/// The longest frame, in bytes. A longer one is refused before anything is allocated.
pub const MAX_FRAME: usize = 32 << 20;
const MAGIC: [u8; 4] = *b"QDCK";

/// What went wrong on the wire.
#[derive(Debug, thiserror::Error)]
pub enum ProtoError {
    /// The other side is not Quarterdeck.
    #[error("the other side of the socket does not speak Quarterdeck's protocol")]
    NotOurs,
    /// The other side speaks another version.
    #[error(
        "this is qd {ours} (protocol {PROTOCOL}), the session is served by qd {theirs} (protocol {number}): \
         attach with that build, or end the session with it and start anew"
    )]
    Version {
        /// The build on this side.
        ours: String,
        /// The build on the other side.
        theirs: String,
        /// The other side's protocol.
        number: u16,
    },
    /// A frame over the bound.
    #[error("a frame of {0} bytes is over the limit of {MAX_FRAME}")]
    TooLong(usize),
    /// A frame that is no message.
    #[error("a frame could not be decoded: {0}")]
    Decode(#[from] postcard::Error),
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The first bytes of each side; its layout never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The protocol's number.
    pub protocol: u16,
    /// The build's name and version, at most 255 bytes.
    pub build: String,
}

impl Hello {
    /// This build's greeting.
    #[must_use]
    pub fn ours() -> Self {
        Self {
            protocol: PROTOCOL,
            build: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// The greeting as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let name = &self.build.as_bytes()[..self.build.len().min(255)];
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&self.protocol.to_le_bytes());
        out.push(name.len() as u8);
        out.extend_from_slice(name);
        out
    }

    /// Reads a greeting from the front of `buf`: `None` while it is incomplete, else it and its length.
    ///
    /// # Errors
    /// [`ProtoError::NotOurs`] when the bytes cannot be a greeting.
    pub fn parse(buf: &[u8]) -> Result<Option<(Self, usize)>, ProtoError> {
        let n = buf.len().min(4);
        if buf[..n] != MAGIC[..n] {
            return Err(ProtoError::NotOurs);
        }
        let Some(&[a, b, len]) = buf.get(4..7).and_then(|s| <&[u8; 3]>::try_from(s).ok()) else {
            return Ok(None);
        };
        let end = 7 + usize::from(len);
        let Some(name) = buf.get(7..end) else { return Ok(None) };
        let build = String::from_utf8_lossy(name)
            .chars()
            .filter(|c| !c.is_control())
            .collect();
        Ok(Some((
            Self {
                protocol: u16::from_le_bytes([a, b]),
                build,
            },
            end,
        )))
    }

    /// Whether the other side's greeting fits ours.
    ///
    /// # Errors
    /// [`ProtoError::Version`] with both versions when it does not.
    pub fn check(&self) -> Result<(), ProtoError> {
        if self.protocol == PROTOCOL {
            return Ok(());
        }
        Err(ProtoError::Version {
            ours: Self::ours().build,
            theirs: self.build.clone(),
            number: self.protocol,
        })
    }
}

/// Reads the other side's greeting from a blocking stream and checks it.
///
/// # Errors
/// When the stream fails or the greeting does not fit.
pub fn read_hello(r: &mut impl Read) -> Result<Hello, ProtoError> {
    let mut head = [0; 7];
    r.read_exact(&mut head)?;
    if head[..4] != MAGIC {
        return Err(ProtoError::NotOurs);
    }
    let mut all = head.to_vec();
    let mut name = vec![0; usize::from(head[6])];
    r.read_exact(&mut name)?;
    all.extend(name);
    let (hello, _) = Hello::parse(&all)?.ok_or(ProtoError::NotOurs)?;
    hello.check()?;
    Ok(hello)
}

/// Appends a message, framed, to `out`.
///
/// # Errors
/// When the message is over [`MAX_FRAME`].
pub fn encode<T: Serialize>(msg: &T, out: &mut Vec<u8>) -> Result<(), ProtoError> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    let mut buf = postcard::to_extend(msg, std::mem::take(out))?;
    let len = buf.len() - start - 4;
    let head = u32::try_from(len).ok().filter(|_| len <= MAX_FRAME);
    let Some(head) = head else {
        buf.truncate(start);
        *out = buf;
        return Err(ProtoError::TooLong(len));
    };
    buf[start..start + 4].copy_from_slice(&head.to_le_bytes());
    *out = buf;
    Ok(())
}

/// Writes one message to a blocking stream, in one write.
///
/// # Errors
/// When the stream fails or the message is too long.
pub fn write_msg<T: Serialize>(w: &mut impl Write, msg: &T) -> Result<(), ProtoError> {
    let mut out = Vec::with_capacity(64);
    encode(msg, &mut out)?;
    w.write_all(&out)?;
    Ok(w.flush()?)
}

/// Reads one message from a blocking stream; `None` at its end.
///
/// # Errors
/// When the stream fails or the bytes are no message.
pub fn read_msg<T: DeserializeOwned>(r: &mut impl Read) -> Result<Option<T>, ProtoError> {
    let mut head = [0; 4];
    match r.read_exact(&mut head) {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let len = u32::from_le_bytes(head) as usize;
    if len > MAX_FRAME {
        return Err(ProtoError::TooLong(len));
    }
    let mut body = Vec::new();
    let got = r.take(len as u64).read_to_end(&mut body)?;
    if got < len {
        return Ok(None);
    }
    Ok(Some(postcard::from_bytes(&body)?))
}

/// Collects bytes of a non-blocking stream and takes messages off their front.
#[derive(Debug, Default)]
pub struct FrameBuf {
    buf: Vec<u8>,
    at: usize,
}

impl FrameBuf {
    /// An empty buffer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes that were read.
    pub fn push(&mut self, data: &[u8]) {
        if self.at > 0 {
            self.buf.drain(..self.at);
            self.at = 0;
        }
        self.buf.extend_from_slice(data);
    }

    /// The bytes that were not taken yet.
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        &self.buf[self.at..]
    }

    /// Drops the first `n` bytes.
    pub fn skip(&mut self, n: usize) {
        self.at = (self.at + n).min(self.buf.len());
    }

    /// The next whole message, if there is one.
    ///
    /// # Errors
    /// When the bytes are no message, or a frame is over [`MAX_FRAME`]; the stream cannot be read on after that.
    pub fn take_msg<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ProtoError> {
        let rest = self.rest();
        let Some(head) = rest.first_chunk::<4>() else {
            return Ok(None);
        };
        let len = u32::from_le_bytes(*head) as usize;
        if len > MAX_FRAME {
            return Err(ProtoError::TooLong(len));
        }
        let Some(body) = rest.get(4..4 + len) else {
            return Ok(None);
        };
        let msg = postcard::from_bytes(body)?;
        self.skip(4 + len);
        Ok(Some(msg))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{ClientMsg, ServerMsg};

    proptest! {
        #[test]
        fn frames_survive_any_cut(bytes in prop::collection::vec(any::<u8>(), 0..500), cut in 1usize..40) {
            let msgs = vec![
                ServerMsg::Frame { number: 7, bytes: bytes.clone() },
                ServerMsg::Detached { reason: String::from_utf8_lossy(&bytes).into_owned() },
                ServerMsg::Frame { number: 8, bytes },
            ];
            let mut wire = Vec::new();
            for m in &msgs { encode(m, &mut wire).unwrap(); }
            let mut fb = FrameBuf::new();
            let mut got = Vec::new();
            for part in wire.chunks(cut) {
                fb.push(part);
                while let Some(m) = fb.take_msg::<ServerMsg>().unwrap() { got.push(m); }
            }
            prop_assert_eq!(&got, &msgs);
            let mut r = &wire[..];
            let first = read_msg::<ServerMsg>(&mut r).unwrap();
            prop_assert!(first.as_ref() == msgs.first());
        }

        #[test]
        fn arbitrary_bytes_never_panic(data in prop::collection::vec(any::<u8>(), 0..300)) {
            crate::fuzz::frames(&data);
        }
    }

    #[test]
    fn fuzz_for_as_long_as_asked() {
        let secs = std::env::var("QD_FUZZ_SECONDS")
            .ok()
            .and_then(|s| s.parse().ok())
            .unwrap_or(1);
        let end = std::time::Instant::now() + std::time::Duration::from_secs(secs);
        let mut x = 0x9e37_79b9_7f4a_7c15u64;
        let mut seed = Vec::new();
        encode(
            &ClientMsg::Input(vec![qd_tty::InputEvent::Paste(b"abc".to_vec())]),
            &mut seed,
        )
        .unwrap();
        while std::time::Instant::now() < end {
            let mut data = seed.clone();
            for _ in 0..8 {
                x = x
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                let at = (x >> 33) as usize % (data.len() + 1);
                if x & 1 == 0 {
                    data.insert(at, (x >> 24) as u8)
                } else if at < data.len() {
                    data[at] = (x >> 24) as u8
                }
            }
            crate::fuzz::frames(&data);
        }
    }

    #[test]
    fn a_mismatch_names_both_versions() {
        let theirs = Hello {
            protocol: PROTOCOL + 7,
            build: "9.9.9".into(),
        };
        let text = read_hello(&mut &theirs.to_bytes()[..]).unwrap_err().to_string();
        assert!(
            text.contains("9.9.9") && text.contains(&format!("protocol {PROTOCOL})")) && text.contains("protocol 9)"),
            "{text}"
        );
        assert!(matches!(
            read_hello(&mut &b"HTTP/1.1 200"[..]),
            Err(ProtoError::NotOurs)
        ));
    }

    #[test]
    fn a_huge_frame_is_refused_before_it_is_read() {
        let mut fb = FrameBuf::new();
        fb.push(&u32::MAX.to_le_bytes());
        assert!(matches!(fb.take_msg::<ClientMsg>(), Err(ProtoError::TooLong(_))));
    }
}
