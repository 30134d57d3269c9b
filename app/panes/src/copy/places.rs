//! Places in the text: the next cell, character and word in either direction. It moves nothing.

use qd_terminal::{Pos, Vt};

/// The last cell of the screen.
pub(super) fn last_pos(vt: &Vt) -> Pos {
    let line = vt.screen_top_line() + u64::from(vt.size().rows.max(1)) - 1;
    Pos {
        line,
        col: vt.size().cols.saturating_sub(1),
    }
}

/// The cell before a place, in reading order.
pub(super) fn before(vt: &Vt, at: Pos) -> Pos {
    match at.col.checked_sub(1) {
        Some(col) => Pos { line: at.line, col },
        None if at.line > vt.first_line() => Pos {
            line: at.line - 1,
            col: vt.size().cols.saturating_sub(1),
        },
        None => last_pos(vt),
    }
}

/// The cell after a place, in reading order.
pub(super) fn after(vt: &Vt, at: Pos) -> Pos {
    if at.col + 1 < vt.size().cols {
        Pos {
            line: at.line,
            col: at.col + 1,
        }
    } else {
        Pos {
            line: at.line + 1,
            col: 0,
        }
    }
}

/// The characters of a line with the column each begins at.
fn columns(vt: &Vt, line: u64) -> Vec<(u16, char)> {
    let mut out = Vec::new();
    let mut col = 0u16;
    for c in vt.line_text(line).unwrap_or_default().chars() {
        let w = unicode_width::UnicodeWidthChar::width(c).unwrap_or(0);
        if w > 0 {
            out.push((col, c));
            col = col.saturating_add(u16::try_from(w).unwrap_or(0));
        }
    }
    out
}

/// The column of a line's last character.
pub(super) fn line_end(vt: &Vt, line: u64) -> u16 {
    columns(vt, line)
        .iter()
        .rev()
        .find(|(_, c)| !c.is_whitespace())
        .map_or(0, |(col, _)| *col)
}

/// The character before a place, in its line.
pub(super) fn step_left(vt: &Vt, at: Pos) -> Pos {
    let col = columns(vt, at.line).iter().rev().map(|(c, _)| *c).find(|c| *c < at.col);
    Pos {
        line: at.line,
        col: col.unwrap_or(at.col.saturating_sub(1)),
    }
}

/// The character after a place, in its line.
pub(super) fn step_right(vt: &Vt, at: Pos) -> Pos {
    let col = columns(vt, at.line).iter().map(|(c, _)| *c).find(|c| *c > at.col);
    Pos {
        line: at.line,
        col: col.unwrap_or(at.col.saturating_add(1)),
    }
}

/// What kind of character it is, for words: blank, part of a word, or a sign.
fn class(c: char) -> u8 {
    if c.is_whitespace() {
        0
    } else if c.is_alphanumeric() || "_-./~:@%+=".contains(c) {
        1
    } else {
        2
    }
}

/// Where the next word begins.
pub(super) fn word_right(vt: &Vt, at: Pos) -> Pos {
    let cols = columns(vt, at.line);
    let here = cols.iter().rposition(|(c, _)| *c <= at.col);
    if let Some(i) = here {
        let k = class(cols[i].1);
        let mut j = i;
        while j < cols.len() && k != 0 && class(cols[j].1) == k {
            j += 1;
        }
        while j < cols.len() && class(cols[j].1) == 0 {
            j += 1;
        }
        if let Some((col, _)) = cols.get(j) {
            return Pos {
                line: at.line,
                col: *col,
            };
        }
    }
    if at.line >= last_pos(vt).line {
        return at;
    }
    let first = columns(vt, at.line + 1)
        .iter()
        .find(|(_, c)| class(*c) != 0)
        .map_or(0, |(c, _)| *c);
    Pos {
        line: at.line + 1,
        col: first,
    }
}

/// Where the word begins, or the one before.
pub(super) fn word_left(vt: &Vt, at: Pos) -> Pos {
    let cols = columns(vt, at.line);
    let mut i = cols.iter().filter(|(c, _)| *c < at.col).count();
    while i > 0 && class(cols[i - 1].1) == 0 {
        i -= 1;
    }
    if i == 0 {
        if at.col > 0 || at.line <= vt.first_line() {
            return Pos { line: at.line, col: 0 };
        }
        return Pos {
            line: at.line - 1,
            col: line_end(vt, at.line - 1),
        };
    }
    let k = class(cols[i - 1].1);
    while i > 0 && class(cols[i - 1].1) == k {
        i -= 1;
    }
    Pos {
        line: at.line,
        col: cols[i].0,
    }
}

/// The ends of the word at a place (the place itself, where there is none).
pub(crate) fn word_at(vt: &Vt, at: Pos) -> (Pos, Pos) {
    let cols = columns(vt, at.line);
    let Some(i) = cols.iter().rposition(|(c, _)| *c <= at.col) else {
        return (at, at);
    };
    let k = class(cols[i].1);
    let start = cols[..i].iter().rposition(|(_, c)| class(*c) != k).map_or(0, |p| p + 1);
    let end = cols[i..]
        .iter()
        .position(|(_, c)| class(*c) != k)
        .map_or(cols.len(), |p| i + p)
        - 1;
    (
        Pos {
            line: at.line,
            col: cols[start].0,
        },
        Pos {
            line: at.line,
            col: cols[end].0,
        },
    )
}
