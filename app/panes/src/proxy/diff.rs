//! How two flows differ, line by line.

use qd_ui::Role;

use super::{book::Seen, detail, draw::Line};

/// Lines of each side that are compared.
const LINES: usize = 1500;

/// The lines of a flow as they are compared: what was asked, what was answered.
fn text(seen: &Seen) -> Vec<String> {
    let mut all = detail::plain_request(seen);
    all.push(String::new());
    all.extend(detail::plain_response(seen));
    all.truncate(LINES);
    all
}

/// Where two lists go together: pairs of places, rising in both.
fn common(a: &[String], b: &[String]) -> Vec<(usize, usize)> {
    // The length of the longest common part of what is left, by both places.
    let width = b.len() + 1;
    let mut best = vec![0u16; (a.len() + 1) * width];
    let get = |best: &[u16], i: usize, j: usize| best.get(i * width + j).copied().unwrap_or(0);
    for (i, x) in a.iter().enumerate().rev() {
        for (j, y) in b.iter().enumerate().rev() {
            let n = match x == y {
                true => get(&best, i + 1, j + 1) + 1,
                false => get(&best, i + 1, j).max(get(&best, i, j + 1)),
            };
            if let Some(place) = best.get_mut(i * width + j) {
                *place = n;
            }
        }
    }
    let (mut i, mut j, mut pairs) = (0, 0, Vec::new());
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        if x == y {
            pairs.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if get(&best, i + 1, j) >= get(&best, i, j + 1) {
            i += 1;
        } else {
            j += 1;
        }
    }
    pairs
}

/// The lines of the difference: `-` only in the first, `+` only in the second.
pub(super) fn lines(a: &Seen, b: &Seen) -> Vec<Line> {
    let (left, right) = (text(a), text(b));
    let mut out: Vec<Line> = vec![
        vec![(format!("- {} {}", a.told.method, a.told.url()), Role::DiffRemoved)],
        vec![(format!("+ {} {}", b.told.method, b.told.url()), Role::DiffAdded)],
        Vec::new(),
    ];
    let mut pairs = common(&left, &right);
    pairs.push((left.len(), right.len()));
    let (mut i, mut j) = (0, 0);
    for (x, y) in pairs {
        let gone = left.get(i..x).unwrap_or_default().iter();
        out.extend(gone.map(|l| vec![(format!("- {l}"), Role::DiffRemoved)]));
        let new = right.get(j..y).unwrap_or_default().iter();
        out.extend(new.map(|l| vec![(format!("+ {l}"), Role::DiffAdded)]));
        if let Some(l) = left.get(x) {
            out.push(vec![(format!("  {l}"), Role::TextDim)]);
        }
        (i, j) = (x + 1, y + 1);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_common_stays_in_order() {
        let list = |t: &str| -> Vec<String> { t.split(' ').map(str::to_owned).collect() };
        assert_eq!(common(&list("a b c d"), &list("b x d")), [(1, 0), (3, 2)]);
        assert!(common(&list("a"), &list("b")).is_empty());
    }
}
