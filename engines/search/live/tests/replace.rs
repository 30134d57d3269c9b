//! Replacing in files: what is kept of them, what is refused, and what is left when the process is killed in between.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use qd_search_live::{
    Files, Generations, Progress, Query, Results, Source,
    replace::{Plan, Work},
    run,
};

fn plan(root: &Path, text: &str, regex: bool, template: &str) -> Plan {
    let query = Query {
        text: text.into(),
        regex,
        ..Query::default()
    };
    let compiled = query.compile().unwrap();
    let sources: Vec<Arc<dyn Source>> = vec![Arc::new(Files::new(root))];
    let (results, progress) = (Results::default(), Progress::default());
    let token = Generations::default().begin();
    run::search(&compiled, &sources, None, &token, &results, &progress, &|| {});
    results.settle();
    Plan::make(&results, &sources, &compiled, template).unwrap()
}

fn names(list: &[PathBuf]) -> Vec<String> {
    let mut out: Vec<String> = list
        .iter()
        .map(|p| p.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    out.sort();
    out
}

#[test]
fn a_file_keeps_what_belongs_to_it() {
    let (dir, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = dir.path().join("f");
    fs::write(&path, "old one\r\nkeep\nold two").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4751)).unwrap();
    let attribute = rustix::fs::setxattr(&path, "user.note", b"mine", rustix::fs::XattrFlags::empty()).is_ok();
    let before = fs::metadata(&path).unwrap();
    let p = plan(dir.path(), "old (one|two)", true, "new $1");
    let done = Work::new(state.path()).apply(&p, &BTreeSet::new()).unwrap();
    assert_eq!((done.done.len(), done.refused.len()), (1, 0), "{done:?}");
    assert_eq!(fs::read(&path).unwrap(), b"new one\r\nkeep\nnew two");
    let after = fs::metadata(&path).unwrap();
    assert_eq!(
        (after.mode(), after.uid(), after.gid()),
        (before.mode(), before.uid(), before.gid())
    );
    if attribute {
        let mut buf = [0; 16];
        let n = rustix::fs::getxattr(&path, "user.note", &mut buf[..]).unwrap();
        assert_eq!(&buf[..n], b"mine");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    Work::new(state.path()).undo().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"old one\r\nkeep\nold two");
    assert_eq!(fs::metadata(&path).unwrap().mode(), before.mode());
}

#[test]
fn what_has_changed_since_the_preview_is_refused() {
    let (dir, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let put = |n: &str, t: &str| fs::write(dir.path().join(n), t).unwrap();
    for n in ["a", "b", "c", "d", "e"] {
        put(n, "old\n");
    }
    fs::hard_link(dir.path().join("e"), dir.path().join("e2")).unwrap();
    let p = plan(dir.path(), "old", false, "new");
    put("b", "old, and more\n");
    fs::remove_file(dir.path().join("c")).unwrap();
    // The same text in another file of the same name.
    put("d2", "old\n");
    fs::rename(dir.path().join("d2"), dir.path().join("d")).unwrap();
    let work = Work::new(state.path());
    let r = work.apply(&p, &BTreeSet::new()).unwrap();
    assert_eq!(names(&r.done), ["a"]);
    let refused: Vec<PathBuf> = r.refused.iter().map(|(p, _)| p.clone()).collect();
    assert_eq!(names(&refused), ["b", "c", "d", "e", "e2"]);
    assert_eq!(fs::read_to_string(dir.path().join("b")).unwrap(), "old, and more\n");
    // What was changed after the replacement is not taken back, and can be tried again.
    put("a", "new and edited\n");
    let r = work.undo().unwrap();
    assert_eq!(
        (r.done.len(), names(&[r.refused[0].0.clone()])),
        (0, vec!["a".to_owned()])
    );
    put("a", "new\n");
    assert_eq!(names(&work.undo().unwrap().done), ["a"]);
    assert!(work.undo().is_err());
}

#[test]
fn what_is_no_text_is_left_out_of_the_plan() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("text"), "old\n").unwrap();
    fs::write(
        dir.path().join("late"),
        [b"old\n".as_slice(), &[b'x'; 100_000], &[0], b"old\n"].concat(),
    )
    .unwrap();
    let p = plan(dir.path(), "old", false, "new");
    assert_eq!(p.files.len(), 1);
    assert!(
        p.skipped.iter().all(|(_, why)| why.contains("binary")),
        "{:?}",
        p.skipped
    );
}

/// How many files are replaced while the process is killed.
const MANY: usize = 1000;
const CHILD: &str = "QD_TEST_REPLACE_IN";

/// Run by the test below in a process of its own.
#[test]
fn replacing_child() {
    let Ok(dir) = std::env::var(CHILD) else { return };
    let dir = PathBuf::from(dir);
    let p = plan(&dir.join("tree"), "old", false, "new");
    assert_eq!(p.files.len(), MANY);
    Work::new(&dir.join("state")).apply(&p, &BTreeSet::new()).unwrap();
}

#[test]
fn killed_in_the_middle_every_file_is_whole_and_all_is_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    fs::create_dir_all(&tree).unwrap();
    let text = |i: usize, word: &str| format!("{i} {word}\n").repeat(50);
    let path = |i: usize| tree.join(format!("f{i:04}"));
    for i in 0..MANY {
        fs::write(path(i), text(i, "old")).unwrap();
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "replacing_child", "--nocapture"])
        .env(CHILD, dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let changed = || {
        (0..MANY)
            .filter(|i| fs::read_to_string(path(*i)).unwrap() == text(*i, "new"))
            .count()
    };
    let end = Instant::now() + Duration::from_secs(120);
    // The first that is changed is enough: the others follow at once.
    while changed() == 0 {
        assert!(Instant::now() < end, "nothing was ever replaced");
        assert!(
            child.try_wait().unwrap().is_none_or(|s| s.success()),
            "the child failed"
        );
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let n = changed();
    let old = (0..MANY)
        .filter(|i| fs::read_to_string(path(*i)).unwrap() == text(*i, "old"))
        .count();
    assert_eq!(n + old, MANY, "a file is neither old nor new");
    assert!(n > 0);
    let report = Work::new(&dir.path().join("state")).undo().unwrap();
    assert_eq!((report.done.len(), report.refused.len()), (n, 0));
    for i in 0..MANY {
        assert_eq!(fs::read_to_string(path(i)).unwrap(), text(i, "old"));
    }
    // Nothing is left beside the files either.
    assert_eq!(fs::read_dir(&tree).unwrap().count(), MANY);
}
