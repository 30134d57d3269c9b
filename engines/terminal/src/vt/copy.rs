//! A copy of a terminal's lines that is taken where the terminal lives, as bytes, and made into lines elsewhere.

use crate::scrollback::Part;

/// The lines of a terminal at one moment.
#[derive(Debug)]
pub struct LinesCopy {
    cold: Vec<Part>,
    /// What follows the cold store: the rows of the grid.
    hot: String,
    /// The numbers of the rows in which the lines of `hot` begin.
    numbers: Vec<u64>,
    /// Whether the last row goes on.
    open: bool,
}

impl LinesCopy {
    pub(super) fn new(cold: Vec<Part>) -> Self {
        let open = cold.last().and_then(|p| p.pieces.last()).is_some_and(|p| p.open);
        Self {
            cold,
            hot: String::new(),
            numbers: Vec::new(),
            open,
        }
    }

    pub(super) fn push(&mut self, line: u64, wrapped: bool, text: impl FnOnce(&mut String)) {
        if !std::mem::replace(&mut self.open, wrapped) {
            self.numbers.push(line);
        }
        text(&mut self.hot);
        if !wrapped {
            self.hot.push('\n');
        }
    }

    /// The text, and the number of the row that each line begins in. Rows that were only wrapped are one line.
    #[must_use]
    pub fn text(self) -> (Vec<u8>, Vec<u64>) {
        let size = |p: &Part| p.text.len() + p.pieces.len();
        let mut text = Vec::with_capacity(self.cold.iter().map(size).sum::<usize>() + self.hot.len());
        let lines = self.cold.iter().map(|p| p.pieces.len()).sum::<usize>();
        let mut numbers = Vec::with_capacity(lines + self.numbers.len());
        let mut open = false;
        for part in &self.cold {
            let mut from = 0;
            for p in &part.pieces {
                if !std::mem::replace(&mut open, p.open) {
                    numbers.push(p.first);
                }
                let to = p.text_end as usize;
                text.extend_from_slice(part.text.get(from..to).unwrap_or_default());
                from = to;
                if !p.open {
                    text.push(b'\n');
                }
            }
        }
        text.extend_from_slice(self.hot.as_bytes());
        numbers.extend_from_slice(&self.numbers);
        (text, numbers)
    }
}
