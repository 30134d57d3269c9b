//! What is put into a store comes out of it, from memory and from disk, and the list is walked as it is shown.

use super::*;
use proptest::prelude::*;

fn entry(line: u64) -> Entry {
    Entry {
        line,
        offset: line * 37,
        column: line % 11,
        matches: 1 + (line % 3) as u32,
    }
}

fn filled(memory: usize, files: &[(&str, u64)]) -> Results {
    let r = Results::with_memory(memory);
    for (name, n) in files {
        let lines: Vec<Entry> = (1..=*n).map(entry).collect();
        let mut group = None;
        for chunk in lines.chunks(BLOCK_LINES) {
            group = r.push(group, 0, name.as_bytes(), chunk);
        }
    }
    r.settle();
    r
}

#[test]
fn what_was_put_in_comes_out_from_memory_and_from_disk() {
    for memory in [MEMORY, 100] {
        let r = filled(memory, &[("b", 5000), ("a", 1), ("c", 70_000)]);
        assert_eq!(r.totals().lines, 75_001);
        assert_eq!(r.totals().unlisted, 0);
        let names: Vec<Vec<u8>> = r.groups(0, 9).into_iter().map(|g| g.name).collect();
        assert_eq!(names, [b"a", b"b", b"c"]);
        let b = r.groups(1, 1)[0].id;
        assert_eq!(r.entries(b, 0, 10_000), (1..=5000).map(entry).collect::<Vec<_>>());
        assert_eq!(r.entries(b, 1023, 3), [entry(1024), entry(1025), entry(1026)]);
        assert_eq!(r.entries(b, 5000, 1), []);
    }
}

#[test]
fn directories_stand_together() {
    let mut names: Vec<&[u8]> = vec![b"a-b/x", b"a/z", b"a.c", b"a/b/c"];
    names.sort_by(|a, b| by_path(a, b));
    assert_eq!(names, [&b"a/b/c"[..], b"a/z", b"a-b/x", b"a.c"]);
}

#[test]
fn the_list_takes_in_what_comes_later() {
    let r = filled(MEMORY, &[("m", 1), ("c", 2)]);
    r.push(None, 0, b"a", &[entry(1)]);
    r.push(None, 0, b"z", &[entry(1)]);
    assert_eq!(r.listed(), 2);
    r.settle();
    let names: String = r
        .groups(0, 9)
        .iter()
        .map(|g| String::from_utf8_lossy(&g.name).into_owned())
        .collect();
    assert_eq!(names, "acmz");
}

proptest! {
    #[test]
    fn stepping_is_walking_the_rows(sizes in prop::collection::vec(1u64..20, 1..8), fold in prop::collection::btree_set(0u32..8, 0..4),
        from in 0usize..60, by in -80i64..80)
    {
        let files: Vec<(String, u64)> = sizes.iter().enumerate().map(|(i, n)| (format!("f{i}"), *n)).collect();
        let list: Vec<(&str, u64)> = files.iter().map(|(n, c)| (n.as_str(), *c)).collect();
        let r = filled(MEMORY, &list);
        let mut rows = Vec::new();
        for g in r.groups(0, 99) {
            rows.push(Place { group: g.id, line: None });
            if !fold.contains(&g.id) {
                rows.extend((0..g.lines).map(|l| Place { group: g.id, line: Some(l) }));
            }
        }
        let from = from.min(rows.len() - 1);
        let to = (from as i64 + by).clamp(0, rows.len() as i64 - 1) as usize;
        prop_assert_eq!(r.step(rows[from], by, &fold), rows[to]);
        prop_assert_eq!(r.rows(rows[from], &fold), (from as u64, rows.len() as u64));
        prop_assert_eq!(r.last(&fold), rows.last().copied());
        prop_assert_eq!(r.first(), rows.first().copied());
    }
}
