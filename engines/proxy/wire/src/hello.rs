//! The ClientHello of TLS, read without answering it.
//!
//! A listener that passes TLS through looks at the name the client asks for ([RFC 6066]) and the protocols it offers. The
//! message may be spread over several records, each of at most 16 KiB; more than 64 KiB of it is not looked at.
//!
//! [RFC 6066]: https://www.rfc-editor.org/rfc/rfc6066#section-3

/// What a client asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hello {
    /// The server's name, in lower case.
    pub name: Option<String>,
    /// Protocols that it offers, in its order.
    pub alpn: Vec<Vec<u8>>,
}

/// Why there is no [`Hello`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HelloError {
    /// More bytes are needed.
    #[error("the ClientHello is not complete yet")]
    More,
    /// It is none.
    #[error("it is no ClientHello of TLS")]
    Invalid,
}

const LARGEST: usize = 64 * 1024;

/// Reads through bytes and fails instead of passing the end.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], HelloError> {
        let (head, rest) = self.0.split_at_checked(n).ok_or(HelloError::Invalid)?;
        self.0 = rest;
        Ok(head)
    }

    fn number(&mut self, bytes: usize) -> Result<usize, HelloError> {
        Ok(self.take(bytes)?.iter().fold(0, |n, b| n << 8 | usize::from(*b)))
    }

    fn vector(&mut self, bytes: usize) -> Result<Reader<'a>, HelloError> {
        let n = self.number(bytes)?;
        self.take(n).map(Reader)
    }
}

/// Puts the handshake message together from its records.
fn message(mut bytes: &[u8]) -> Result<Vec<u8>, HelloError> {
    let mut out = Vec::new();
    loop {
        if let [kind, a, b, c, ..] = out[..] {
            if kind != 1 {
                return Err(HelloError::Invalid);
            }
            let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
            if length > LARGEST {
                return Err(HelloError::Invalid);
            }
            if let Some(body) = out.get(4..4 + length) {
                return Ok(body.to_vec());
            }
        }
        if bytes.len() < 5 {
            return match bytes.first() {
                Some(b) if *b != 22 => Err(HelloError::Invalid),
                _ => Err(HelloError::More),
            };
        }
        let (header, rest) = bytes.split_at(5);
        let [22, 3, _, high, low] = header else {
            return Err(HelloError::Invalid);
        };
        let length = usize::from(*high) << 8 | usize::from(*low);
        if length == 0 || length > (1 << 14) + 256 || out.len() > LARGEST {
            return Err(HelloError::Invalid);
        }
        let here = rest.len().min(length);
        out.extend_from_slice(rest.get(..here).unwrap_or_default());
        if here < length && !complete(&out) {
            return Err(HelloError::More);
        }
        bytes = rest.get(here..).unwrap_or_default();
    }
}

fn complete(out: &[u8]) -> bool {
    match out {
        [_, a, b, c, rest @ ..] => rest.len() >= usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c),
        _ => false,
    }
}

/// Reads it from the first bytes of a connection.
///
/// # Errors
/// [`HelloError::More`] until all of it is there.
pub fn parse(bytes: &[u8]) -> Result<Hello, HelloError> {
    let message = message(bytes)?;
    let mut r = Reader(&message);
    r.take(2 + 32)?;
    r.vector(1)?;
    r.vector(2)?;
    r.vector(1)?;
    let mut hello = Hello::default();
    if r.0.is_empty() {
        return Ok(hello);
    }
    let mut extensions = r.vector(2)?;
    while !extensions.0.is_empty() {
        let kind = extensions.number(2)?;
        let mut body = extensions.vector(2)?;
        match kind {
            0 => {
                let mut names = body.vector(2)?;
                while !names.0.is_empty() {
                    let kind = names.number(1)?;
                    let name = names.vector(2)?.0;
                    if kind == 0 && hello.name.is_none() {
                        let name = std::str::from_utf8(name).map_err(|_| HelloError::Invalid)?;
                        hello.name = Some(name.to_ascii_lowercase());
                    }
                }
            }
            16 => {
                let mut list = body.vector(2)?;
                while !list.0.is_empty() {
                    hello.alpn.push(list.vector(1)?.0.to_vec());
                }
            }
            _ => {}
        }
    }
    Ok(hello)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn vector(bytes: usize, body: &[u8]) -> Vec<u8> {
        let mut out = body.len().to_be_bytes()[8 - bytes..].to_vec();
        out.extend_from_slice(body);
        out
    }

    fn sample(record: usize) -> Vec<u8> {
        let name = [&[0][..], &vector(2, b"Api.Example")].concat();
        let sni = [&[0, 0][..], &vector(2, &vector(2, &name))].concat();
        let alpn = [
            &[0, 16][..],
            &vector(2, &vector(2, &[vector(1, b"h2"), vector(1, b"http/1.1")].concat())),
        ]
        .concat();
        let mut body = vec![3, 3];
        body.extend_from_slice(&[7; 32]);
        body.extend(vector(1, b""));
        body.extend(vector(2, &[0x13, 1]));
        body.extend(vector(1, &[0]));
        body.extend(vector(2, &[sni, alpn].concat()));
        let message = [&[1][..], &vector(3, &body)].concat();
        let records = message
            .chunks(record)
            .map(|c| [&[22, 3, 1][..], &vector(2, c)].concat());
        records.flatten().collect()
    }

    #[test]
    fn the_name_is_found_however_it_is_cut() {
        for record in [1, 7, 4000] {
            let bytes = sample(record);
            for end in 0..bytes.len() {
                assert_eq!(parse(&bytes[..end]), Err(HelloError::More), "{record} {end}");
            }
            let hello = parse(&bytes).unwrap();
            assert_eq!(hello.name.as_deref(), Some("api.example"));
            assert_eq!(hello.alpn, [b"h2".to_vec(), b"http/1.1".to_vec()]);
        }
        assert_eq!(parse(b"GET / HTTP/1.1"), Err(HelloError::Invalid));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0usize..200, b in any::<u8>()) {
            let _ = parse(&bytes);
            let mut near = sample(4000);
            if let Some(x) = near.get_mut(at) {
                *x = b;
            }
            let _ = parse(&near);
        }
    }
}
