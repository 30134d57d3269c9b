//! Versions nobody can ask for any more.

use qd_kv_model::{Cf, Direction, Modify, Range, Snapshot, Ts, join_ts, split_ts};

use crate::{TxnError, Write, WriteKind};

/// What a round of collecting comes to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Collected {
    /// What goes.
    pub writes: Vec<Modify>,
    /// Where the next round begins, as a stored key; nothing when the range is done.
    pub next: Option<Vec<u8>>,
}

/// Looks at no more than `limit` records of a range of stored keys, for a safe point: a moment before which nobody reads
/// any more and all locks are resolved. Of each key's records at the safe point or before, the newest that says its value
/// stays, unless it says that there is none; all else goes.
///
/// # Errors
/// When the records cannot be read.
pub fn collect<S: Snapshot>(
    snapshot: &S,
    range: Range<'_>,
    safe_point: Ts,
    limit: usize,
) -> Result<Collected, TxnError> {
    let mut out = Collected::default();
    let rows = snapshot.scan(Cf::Write, range, limit, Direction::Forward)?;
    let full = rows.len() == limit;
    let mut key: Vec<u8> = Vec::new();
    // Whether the newest value at the safe point was met, and the deletion that stands for it.
    let (mut met, mut deletion): (bool, Option<Vec<u8>>) = (false, None);
    let mut last = None;
    let mut begun = None;
    for (stored, bytes) in rows {
        let (k, ts) = split_ts(&stored)?;
        if k != key {
            out.writes.extend(deletion.take().map(|d| Modify::Delete(Cf::Write, d)));
            key = k.to_vec();
            met = false;
            begun = Some(out.writes.len());
        }
        if ts <= safe_point {
            let w = Write::decode(&bytes)?;
            match w.kind {
                WriteKind::Put if met => {
                    if w.value.is_none() {
                        out.writes.push(Modify::Delete(Cf::Default, join_ts(&key, w.start_ts)));
                    }
                    out.writes.push(Modify::Delete(Cf::Write, stored.clone()));
                }
                WriteKind::Put => met = true,
                // The deletion itself goes last: while older versions are there it must hide them.
                WriteKind::Delete if !met => {
                    met = true;
                    deletion = Some(stored.clone());
                }
                _ => out.writes.push(Modify::Delete(Cf::Write, stored.clone())),
            }
        }
        last = Some(stored);
    }
    if full && let Some(last) = last {
        // The rest of the last key is looked at with all of it next time, unless it fills a round by itself.
        let whole = join_ts(&key, Ts::MAX);
        if whole.as_slice() > range.start {
            out.writes.truncate(begun.unwrap_or(0));
            out.next = Some(whole);
        } else {
            out.next = Some(far_behind(last));
        }
    } else {
        out.writes.extend(deletion.take().map(|d| Modify::Delete(Cf::Write, d)));
    }
    Ok(out)
}

fn far_behind(mut stored: Vec<u8>) -> Vec<u8> {
    stored.push(0);
    stored
}
