//! From bytes to blocks and their grams.
//!
//! A gram is three bytes in a row, none of them a line feed or NUL. A block is a stretch of about [`BLOCK`] bytes that ends
//! with a line, so a match within a line has all its grams in one block. The first NUL byte of a file ends a block too: what
//! a search that stops at NUL bytes sees of a file is whole blocks, the file's head.

/// A block ends with the first line that ends this many bytes after its beginning.
pub(crate) const BLOCK: usize = 16 << 10;

/// A block with more grams than this says nothing: it counts as one that has them all.
pub(crate) const MOST_GRAMS: usize = 8 << 10;

/// The number of grams there can be.
pub(crate) const GRAMS: usize = 1 << 24;

/// The gram of three bytes.
pub(crate) fn gram(bytes: [u8; 3]) -> u32 {
    u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]])
}

/// Whether a byte can be part of a gram.
pub(crate) fn counts(byte: u8) -> bool {
    byte != b'\n' && byte != 0
}

/// What is known of a block: its grams in no order, or that there are too many.
pub(crate) enum Content<'a> {
    Grams(&'a [u32]),
    TooMany,
}

/// Splits files into blocks. One is used for many files, one after the other.
pub(crate) struct Splitter {
    /// A bit for each gram of this block.
    seen: Vec<u64>,
    grams: Vec<u32>,
    length: usize,
    window: u32,
    /// Bytes since the last one that does not count, as far as they matter.
    run: u8,
    blocks: u32,
    head: Option<u32>,
}

/// How a file was split.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Split {
    /// How many blocks.
    pub(crate) blocks: u32,
    /// How many of them stand before the first NUL byte.
    pub(crate) head: u32,
}

impl Splitter {
    pub(crate) fn new() -> Self {
        Splitter {
            seen: vec![0; GRAMS / 64],
            grams: Vec::with_capacity(MOST_GRAMS + 1),
            length: 0,
            window: 0,
            run: 0,
            blocks: 0,
            head: None,
        }
    }

    /// How many blocks of this file are complete.
    pub(crate) fn blocks(&self) -> u32 {
        self.blocks
    }

    /// Takes the next bytes of a file and gives each block that is complete to `emit`.
    pub(crate) fn feed<E>(
        &mut self,
        bytes: &[u8],
        emit: &mut dyn FnMut(Content<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(nul) = memchr::memchr(0, bytes).filter(|_| self.head.is_none()) else {
            return self.text(bytes, emit);
        };
        self.text(&bytes[..nul], emit)?;
        self.end_block(emit)?;
        self.head = Some(self.blocks);
        self.text(&bytes[nul..], emit)
    }

    fn text<E>(&mut self, mut bytes: &[u8], emit: &mut dyn FnMut(Content<'_>) -> Result<(), E>) -> Result<(), E> {
        loop {
            // As much as surely belongs to this block, then up to the end of the line.
            let sure = BLOCK.saturating_sub(self.length).min(bytes.len());
            let end = memchr::memchr(b'\n', &bytes[sure..]).map(|n| sure + n + 1);
            let (block, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            self.collect(block);
            self.length = self.length.saturating_add(block.len());
            if end.is_none() {
                return Ok(());
            }
            self.end_block(emit)?;
            bytes = rest;
            if bytes.is_empty() {
                return Ok(());
            }
        }
    }

    fn collect(&mut self, bytes: &[u8]) {
        if self.grams.len() > MOST_GRAMS {
            return;
        }
        let (mut window, mut run) = (self.window, self.run);
        for &byte in bytes {
            if !counts(byte) {
                run = 0;
                continue;
            }
            window = (window << 8 | u32::from(byte)) & 0xFF_FFFF;
            if run < 2 {
                run += 1;
                continue;
            }
            let (word, bit) = (&mut self.seen[window as usize / 64], 1 << (window % 64));
            if *word & bit == 0 {
                *word |= bit;
                self.grams.push(window);
                if self.grams.len() > MOST_GRAMS {
                    break;
                }
            }
        }
        (self.window, self.run) = (window, run);
    }

    fn end_block<E>(&mut self, emit: &mut dyn FnMut(Content<'_>) -> Result<(), E>) -> Result<(), E> {
        if self.length == 0 {
            return Ok(());
        }
        for &gram in &self.grams {
            self.seen[gram as usize / 64] = 0;
        }
        let content = if self.grams.len() > MOST_GRAMS {
            Content::TooMany
        } else {
            Content::Grams(&self.grams)
        };
        let result = emit(content);
        self.grams.clear();
        (self.length, self.run) = (0, 0);
        self.blocks += 1;
        result
    }

    /// Ends the file. The next bytes are another's.
    pub(crate) fn end<E>(&mut self, emit: &mut dyn FnMut(Content<'_>) -> Result<(), E>) -> Result<Split, E> {
        self.end_block(emit)?;
        let blocks = std::mem::take(&mut self.blocks);
        let head = self.head.take().unwrap_or(blocks);
        Ok(Split { blocks, head })
    }

    /// Forgets what was fed of a file that cannot be read to its end.
    pub(crate) fn abandon(&mut self) -> u32 {
        for &gram in &self.grams {
            self.seen[gram as usize / 64] = 0;
        }
        self.grams.clear();
        (self.length, self.run, self.head) = (0, 0, None);
        std::mem::take(&mut self.blocks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::convert::Infallible;

    fn split(parts: &[&[u8]]) -> (Vec<Option<BTreeSet<u32>>>, Split) {
        let (mut splitter, mut blocks) = (Splitter::new(), Vec::new());
        let mut emit = |content: Content<'_>| -> Result<(), Infallible> {
            blocks.push(match content {
                Content::Grams(list) => Some(list.iter().copied().collect::<BTreeSet<_>>()),
                Content::TooMany => None,
            });
            Ok(())
        };
        for part in parts {
            splitter.feed(part, &mut emit).unwrap();
        }
        let split = splitter.end(&mut emit).unwrap();
        (blocks, split)
    }

    fn set(list: &[&[u8; 3]]) -> Option<BTreeSet<u32>> {
        Some(list.iter().map(|g| gram(**g)).collect())
    }

    #[test]
    fn grams_do_not_cross_lines() {
        let (blocks, split) = split(&[b"abcd\nef", b"g\nhi\n"]);
        assert_eq!(blocks, [set(&[b"abc", b"bcd", b"efg"])]);
        assert_eq!(split, Split { blocks: 1, head: 1 });
    }

    #[test]
    fn the_first_nul_ends_the_head() {
        let (blocks, split) = split(&[b"abc\nde", b"f\0ghi\0\0jkl"]);
        assert_eq!(blocks, [set(&[b"abc", b"def"]), set(&[b"ghi", b"jkl"])]);
        assert_eq!(split, Split { blocks: 2, head: 1 });
        let (blocks, split) = self::split(&[b"\0abc"]);
        assert_eq!(blocks, [set(&[b"abc"])]);
        assert_eq!(split, Split { blocks: 1, head: 0 });
        assert_eq!(self::split(&[]).1, Split::default());
    }

    #[test]
    fn blocks_end_with_lines_however_the_bytes_come() {
        let mut text = Vec::new();
        for line in 0..9000_u32 {
            text.extend(format!("line {line:x} of many\n").bytes());
        }
        let whole = split(&[&text]);
        assert!(whole.0.len() > 8, "{}", whole.0.len());
        for size in [1, 7, 4096, BLOCK, BLOCK + 1] {
            let parts: Vec<&[u8]> = text.chunks(size).collect();
            assert!(split(&parts) == whole, "pieces of {size}");
        }
        // Every line's grams are in one block.
        for line in text.split(|b| *b == b'\n') {
            let need: BTreeSet<u32> = line.windows(3).map(|w| gram([w[0], w[1], w[2]])).collect();
            assert!(whole.0.iter().flatten().any(|b| b.is_superset(&need)));
        }
    }

    #[test]
    fn a_block_of_noise_says_nothing() {
        let mut state = 1_u32;
        let noise: Vec<u8> = (0..3 * BLOCK)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8 | 1
            })
            .collect();
        let (blocks, _) = split(&[&noise, b"\nplain\n"]);
        assert!(blocks.iter().any(Option::is_none));
        let mut noise_on_one_line = noise;
        noise_on_one_line.retain(|b| *b != b'\n');
        let (blocks, _) = split(&[&noise_on_one_line, b"\n", b"plain\n"]);
        assert_eq!(blocks, [None, set(&[b"pla", b"lai", b"ain"])]);
    }
}
