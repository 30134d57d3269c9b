//! Cutting bytes into lines.

use std::ops::ControlFlow;

use memchr::{memchr_iter, memmem};

/// What ends a line, as bytes of the file.
#[derive(Debug, Clone)]
pub(crate) struct Delimiter {
    bytes: Vec<u8>,
    finder: memmem::Finder<'static>,
    /// Bytes of a unit of the character set: a delimiter begins at a multiple of it.
    unit: u64,
}

impl Delimiter {
    /// The delimiter `text` in a character set; `None` if it is empty or can't be said in it.
    pub(crate) fn new(text: &str, charset: Option<&'static encoding_rs::Encoding>) -> Option<Delimiter> {
        let (bytes, unit): (Vec<u8>, u64) = match charset.map(encoding_rs::Encoding::name) {
            Some("UTF-16LE") => (text.encode_utf16().flat_map(u16::to_le_bytes).collect(), 2),
            Some("UTF-16BE") => (text.encode_utf16().flat_map(u16::to_be_bytes).collect(), 2),
            Some(_) => {
                let (bytes, _, unmappable) = charset?.encode(text);
                if unmappable {
                    return None;
                }
                (bytes.into_owned(), 1)
            }
            None => (text.as_bytes().to_vec(), 1),
        };
        if bytes.is_empty() {
            return None;
        }
        let finder = memmem::Finder::new(&bytes).into_owned();
        Some(Delimiter { bytes, finder, unit })
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Calls `found` with the place of each delimiter in `data` from `from` on; `data` begins at `offset` of the file.
    pub(crate) fn each(&self, data: &[u8], from: usize, offset: u64, mut found: impl FnMut(usize) -> ControlFlow<()>) {
        let rest = data.get(from..).unwrap_or_default();
        if let [byte] = self.bytes[..] {
            for i in memchr_iter(byte, rest) {
                if found(from + i).is_break() {
                    return;
                }
            }
            return;
        }
        let mut at = from;
        while let Some(i) = data.get(at..).and_then(|d| self.finder.find(d)) {
            let place = at + i;
            if !(offset + place as u64).is_multiple_of(self.unit) {
                at = place + 1;
                continue;
            }
            if found(place).is_break() {
                return;
            }
            at = place + self.bytes.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(d: &Delimiter, data: &[u8], offset: u64) -> Vec<usize> {
        let mut all = Vec::new();
        d.each(data, 0, offset, |i| {
            all.push(i);
            ControlFlow::Continue(())
        });
        all
    }

    #[test]
    fn half_a_character_is_no_delimiter() {
        let d = Delimiter::new("\n", Some(encoding_rs::UTF_16LE)).expect("utf-16");
        // U+0A41 U+0041 '\n': the bytes 41 0A | 41 00 | 0A 00, and U+0A00-ish pairs before.
        let text: Vec<u8> = [0x0A41_u16, 0x0041, 0x000A]
            .iter()
            .flat_map(|u| u.to_le_bytes())
            .collect();
        assert_eq!(places(&d, &text, 0), [4]);
        let tricky: Vec<u8> = [0x0A41_u16, 0x4100, 0x000A]
            .iter()
            .flat_map(|u| u.to_le_bytes())
            .collect();
        assert_eq!(places(&d, &tricky, 0), [4], "0A 00 across two characters");
    }

    #[test]
    fn long_delimiters_do_not_overlap() {
        let d = Delimiter::new("||", None).expect("two bytes");
        assert_eq!(places(&d, b"a||||b||", 0), [1, 3, 6]);
        assert!(Delimiter::new("", None).is_none());
    }
}
