//! Finds out whether a new picture is the old one, scrolled. It owns the fingerprints of rows; it never decides what is
//! drawn afterwards, so that a wrong guess costs bytes and nothing else.

use std::hash::{Hash, Hasher};

use qd_tty::{Cell, Sym};

/// A row's fingerprint and how many cells of it are not empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Print {
    hash: u64,
    weight: u32,
}

struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for b in bytes {
            self.write_u32(u32::from(*b));
        }
    }

    fn write_u32(&mut self, n: u32) {
        self.0 = (self.0.rotate_left(5) ^ u64::from(n)).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Print {
    /// The fingerprint of a row's symbols.
    pub(crate) fn of(row: &[Cell]) -> Self {
        let mut h = Mix(0);
        let mut weight = 0;
        for c in row {
            c.sym.hash(&mut h);
            weight += u32::from(c.sym != Sym::SPACE);
        }
        Self { hash: h.0, weight }
    }
}

/// A scrolled region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scroll {
    /// First row of the region.
    pub(crate) top: usize,
    /// The row below the region.
    pub(crate) bottom: usize,
    /// How many rows the content went up (down, when negative).
    pub(crate) up: isize,
}

/// What a scroll costs in bytes, roughly, with its region set and reset.
const COST: i64 = 24;

/// The scroll that saves most, if one saves anything.
pub(crate) fn find(old: &[Print], new: &[Print]) -> Option<Scroll> {
    let n = old.len().min(new.len());
    let mut best: Option<(i64, Scroll)> = None;
    for k in 1..n {
        for up in [k as isize, -(k as isize)] {
            let mut y = 0;
            while y < n {
                let source = y.checked_add_signed(up).filter(|s| *s < n);
                let same = |y: usize, s: usize| matches!((new.get(y), old.get(s)), (Some(a), Some(b)) if a == b);
                if !source.is_some_and(|s| same(y, s)) {
                    y += 1;
                    continue;
                }
                let first = y;
                let mut saved = 0i64;
                while let Some(s) = y.checked_add_signed(up).filter(|s| *s < n)
                    && same(y, s)
                {
                    if !same(y, y) {
                        saved += new.get(y).map_or(0, |p| i64::from(p.weight));
                    }
                    y += 1;
                }
                let (top, bottom) = if up > 0 { (first, y + k) } else { (first - k, y) };
                let exposed = if up > 0 { y..bottom } else { top..first };
                let lost: i64 = exposed
                    .filter(|r| same(*r, *r))
                    .filter_map(|r| new.get(r))
                    .map(|p| i64::from(p.weight))
                    .sum();
                let gain = saved - lost - COST;
                if gain > best.map_or(0, |b| b.0) {
                    best = Some((gain, Scroll { top, bottom, up }));
                }
            }
        }
    }
    best.map(|b| b.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &[&str]) -> Vec<Print> {
        let row = |t: &&str| {
            t.chars()
                .map(|c| Cell {
                    sym: Sym::from_char(c),
                    ..Cell::BLANK
                })
                .collect::<Vec<_>>()
        };
        text.iter().map(|t| Print::of(&row(t))).collect()
    }

    #[test]
    fn a_scrolled_region_is_found_between_bars_that_stay() {
        let line = |s: &str| s.repeat(20);
        let (bar, end) = (line("="), line("-"));
        let l: Vec<String> = (0..9).map(|i| line(&i.to_string())).collect();
        let old = rows(&[&bar, &l[0], &l[1], &l[2], &l[3], &end]);
        let new = rows(&[&bar, &l[1], &l[2], &l[3], &l[4], &end]);
        assert_eq!(
            find(&old, &new),
            Some(Scroll {
                top: 1,
                bottom: 5,
                up: 1
            })
        );
        assert_eq!(
            find(&new, &old),
            Some(Scroll {
                top: 1,
                bottom: 5,
                up: -1
            })
        );
        assert_eq!(find(&old, &old), None);
        let other = rows(&[&bar, &l[5], &l[6], &l[7], &l[8], &end]);
        assert_eq!(find(&old, &other), None);
    }

    #[test]
    fn short_lines_are_not_worth_it() {
        assert_eq!(find(&rows(&["a", "b", "c", "d"]), &rows(&["b", "c", "d", "e"])), None);
    }
}
