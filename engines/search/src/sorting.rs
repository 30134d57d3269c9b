//! The order of haystacks, where one is asked for that is not that of the walk.

use std::io;
use std::time::SystemTime;

use crate::flags::low::{Sort, SortBy};
use crate::haystack::Haystack;

/// Sorts by what `sort` says. Files whose time is not known come last in ascending order.
pub(crate) fn sorted(mut haystacks: Vec<Haystack>, sort: Sort) -> Vec<Haystack> {
    let time: fn(&std::fs::Metadata) -> io::Result<SystemTime> = match sort.by {
        SortBy::Path => {
            haystacks.sort_by(|a, b| {
                if sort.reverse {
                    b.path().cmp(a.path())
                } else {
                    a.path().cmp(b.path())
                }
            });
            return haystacks;
        }
        SortBy::Modified => |m| m.modified(),
        SortBy::Accessed => |m| m.accessed(),
        SortBy::Created => |m| m.created(),
    };
    let dated = haystacks
        .into_iter()
        .map(|h| (h.path().metadata().and_then(|m| time(&m)).ok(), h));
    let mut dated: Vec<_> = dated.collect();
    // Files of the same time stay in the order they were found in, in both directions.
    dated.sort_by(|(a, _), (b, _)| {
        let order = a.is_none().cmp(&b.is_none()).then(a.cmp(b));
        if sort.reverse { order.reverse() } else { order }
    });
    dated.into_iter().map(|(_, h)| h).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Report;
    use std::time::Duration;

    fn haystacks(root: &std::path::Path) -> Vec<Haystack> {
        let report = Report::new("test");
        let walk = ignore::WalkBuilder::new(root)
            .sort_by_file_name(|a, b| a.cmp(b))
            .build();
        walk.filter_map(|r| Haystack::found(r, false, &report)).collect()
    }

    #[test]
    fn files_are_sorted_by_path_and_by_time_both_ways() {
        let dir = tempfile::tempdir().unwrap();
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        // `b` and `d` are of the same time.
        for (name, age) in [("a", 3), ("b", 1), ("c", 2), ("d", 1)] {
            let file = std::fs::File::create(dir.path().join(name)).unwrap();
            file.set_modified(start + Duration::from_secs(age)).unwrap();
        }
        let order = |by, reverse| -> String {
            let list = sorted(haystacks(dir.path()), Sort { by, reverse });
            list.iter()
                .map(|h| h.path().file_name().unwrap().to_str().unwrap())
                .collect()
        };
        assert_eq!(order(SortBy::Path, false), "abcd");
        assert_eq!(order(SortBy::Path, true), "dcba");
        assert_eq!(order(SortBy::Modified, false), "bdca");
        assert_eq!(order(SortBy::Modified, true), "acbd");
    }

    #[test]
    fn files_whose_time_is_not_known_come_last() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let list = haystacks(dir.path());
        std::fs::remove_file(dir.path().join("a")).unwrap();
        let list = sorted(
            list,
            Sort {
                by: SortBy::Modified,
                reverse: false,
            },
        );
        assert!(list.last().unwrap().path().ends_with("a"));
    }
}
