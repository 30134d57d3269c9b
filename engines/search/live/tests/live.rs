//! Searching as one types, by the engine: what is found, what is cancelled, what is looked at again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::{self, Read},
    os::unix::ffi::OsStrExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use qd_core::{
    RealClock, SourceId, Supervisor,
    supervise::{EngineHandle, Policy},
};
use qd_search_live::{
    Field, Files, Go, Haystack, Kind, Place, Query, Scope, Source, Text, Texts, Work,
    engine::{Command, Config, LiveEngine, Replace, State, View},
    look::{Look, Row},
};

/// How long a condition may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

struct House {
    _runtime: tokio::runtime::Runtime,
    handle: EngineHandle<LiveEngine>,
}

impl House {
    fn new(sources: Vec<Arc<dyn Source>>, state: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let supervisor = Supervisor::new(runtime.handle().clone(), Arc::new(RealClock::new()));
        let config = Config {
            sources,
            state: state.to_owned(),
        };
        let handle = supervisor
            .start::<LiveEngine>(SourceId::new("search"), config, Policy::default())
            .unwrap();
        let house = Self {
            _runtime: runtime,
            handle,
        };
        house.until("it runs", |_| !house.handle.view_sources().is_empty());
        house
    }

    fn ask(&self, c: Command) -> Result<(), qd_search_live::QueryError> {
        self.handle.call(c).unwrap().wait().unwrap()
    }

    fn search(&self, text: &str) {
        self.ask(Command::Search(q(text))).unwrap();
    }

    fn until(&self, what: &str, cond: impl Fn(&View) -> bool) -> Arc<View> {
        let end = Instant::now() + PATIENCE;
        loop {
            let v = self.handle.snapshot();
            if cond(&v) {
                return v;
            }
            assert!(Instant::now() < end, "never came: {what}: {v:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until this text was searched for, everywhere, and the page is there.
    fn done(&self, text: &str) -> Arc<View> {
        self.until(&format!("{text} is done"), |v| {
            let page = v.totals.lines == 0 || v.page.is_some();
            v.state == State::Done && v.query.text == text && page
        })
    }
}

trait Sources {
    fn view_sources(&self) -> Vec<Kind>;
}

impl Sources for EngineHandle<LiveEngine> {
    fn view_sources(&self) -> Vec<Kind> {
        self.snapshot().sources.iter().map(|s| s.kind()).collect()
    }
}

fn q(text: &str) -> Query {
    Query {
        text: text.to_owned(),
        ..Query::default()
    }
}

fn texts(v: &View) -> Vec<String> {
    let rows = v.page.as_ref().map(|p| p.rows.clone()).unwrap_or_default();
    rows.iter()
        .map(|r| match r {
            Row::Heading { title, group, .. } => format!("{title} ({})", group.matches),
            Row::Line { entry, text, marks, .. } => {
                let marked: Vec<&str> = marks.iter().map(|m| &text[m.clone()]).collect();
                format!("{}:{}: {text} [{}]", entry.line, entry.column, marked.join(","))
            }
            Row::Context { line, text, .. } => format!("{line}- {text}"),
            Row::Gap => "--".to_owned(),
            Row::Gone { why, .. } => format!("gone: {why}"),
        })
        .collect()
}

fn tree() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &[u8]| {
        let path = dir.path().join(std::ffi::OsStr::from_bytes(name.as_bytes()));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    put("src/a.rs", b"fn one() {}\nlet x = foo + foobar;\n");
    put("src/b/c.rs", b"foo\n");
    put("notes.txt", b"nothing\n");
    put(".hidden", b"foo\n");
    put(".ignore", b"skipped\n");
    put("skipped", b"foo\n");
    dir
}

fn files(dir: &tempfile::TempDir) -> Vec<Arc<dyn Source>> {
    vec![Arc::new(Files::new(dir.path()))]
}

#[test]
fn what_is_found_is_listed_by_file_with_its_places() {
    let (dir, state) = (tree(), tempfile::tempdir().unwrap());
    let mut sources = files(&dir);
    let pane = Text::new("7", "pane 7", b"$ echo foo\nfoo\n".to_vec());
    sources.insert(0, Arc::new(Texts::new(Kind::Scrollback, vec![pane])));
    let house = House::new(sources, state.path());
    house.search("foo");
    let v = house.done("foo");
    assert_eq!(
        texts(&v),
        [
            "pane 7 (2)",
            "1:7: $ echo foo [foo]",
            "2:0: foo [foo]",
            "src/a.rs (2)",
            "2:8: let x = foo + foobar; [foo,foo]",
            "src/b/c.rs (1)",
            "1:0: foo [foo]",
        ]
    );
    assert_eq!((v.totals.groups, v.totals.lines, v.totals.matches), (3, 4, 5));
    assert!(v.first.is_some() && v.fault_count == 0);
    // Hidden files, and files by a glob or a type.
    let hidden = Query {
        hidden: true,
        ..q("foo")
    };
    house.ask(Command::Search(hidden)).unwrap();
    let v = house.until("hidden files too", |v| {
        v.query.hidden && v.state == State::Done && v.page.is_some()
    });
    assert!(texts(&v).contains(&".hidden (1)".to_owned()), "{:?}", texts(&v));
    let typed = Query {
        types: "rust".into(),
        globs: "!**/b/**".into(),
        ..q("foo")
    };
    house.ask(Command::Search(typed)).unwrap();
    let v = house.until("rust", |v| {
        v.query.types == "rust" && v.state == State::Done && v.page.is_some()
    });
    let headings = texts(&v).iter().filter(|t| t.contains('(')).count();
    // The glob is of files, the pane stays.
    assert_eq!(headings, 2, "{:?}", texts(&v));
}

#[test]
fn a_half_typed_expression_keeps_the_list_and_says_where_it_is_wrong() {
    let (dir, state) = (tree(), tempfile::tempdir().unwrap());
    let house = House::new(files(&dir), state.path());
    let re = |t: &str| Query { regex: true, ..q(t) };
    house.ask(Command::Search(re("fo+"))).unwrap();
    let before = house.done("fo+");
    let e = house.ask(Command::Search(re("fo+("))).unwrap_err();
    assert_eq!((e.field, e.span), (Field::Text, 3..4));
    let v = house.until("the error", |v| v.error.is_some());
    assert_eq!((v.number, texts(&v)), (before.number, texts(&before)));
    house.ask(Command::Search(re("fo+(b)"))).unwrap();
    let v = house.done("fo+(b)");
    assert!(v.error.is_none());
    assert_eq!(v.totals.lines, 1);
    house.search("");
    let v = house.until("nothing is searched for", |v| v.state == State::Idle);
    assert!(v.page.is_none() && v.totals.lines == 0);
}

#[test]
fn context_stands_around_lines_once() {
    let (dir, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let text: String = (1..=30)
        .map(|i| {
            if [3, 5, 20].contains(&i) {
                format!("hit {i}\n")
            } else {
                format!("{i}\n")
            }
        })
        .collect();
    fs::write(dir.path().join("f"), text).unwrap();
    let house = House::new(files(&dir), state.path());
    house.search("hit");
    let v = house.done("hit");
    let top = v.results.first().unwrap();
    let look = Look {
        top,
        rows: 50,
        context: 2,
        folded: Arc::default(),
    };
    house.ask(Command::Look(look)).unwrap();
    let v = house.until("the context", |v| v.page.as_ref().is_some_and(|p| p.look.context == 2));
    let rows = texts(&v);
    let want = "f (3)|1- 1|2- 2|3:0: hit 3 [hit]|4- 4|5:0: hit 5 [hit]|6- 6|7- 7|--|18- 18|19- 19|20:0: hit 20 [hit]|21- 21|22- 22";
    assert_eq!(rows.join("|"), want);
    // Folded, only the heading is left.
    let look = Look {
        top,
        rows: 50,
        context: 0,
        folded: Arc::new([top.group].into()),
    };
    house.ask(Command::Look(look)).unwrap();
    let v = house.until("it is folded", |v| v.page.as_ref().is_some_and(|p| p.rows.len() == 1));
    assert_eq!(
        v.results.last(&[top.group].into()),
        Some(Place {
            group: top.group,
            line: None
        })
    );
}

/// Text without end in which nothing matches, and which tells when nobody reads it any more.
struct Endless(Arc<AtomicUsize>);

struct Reading(Arc<AtomicUsize>);

impl Read for Reading {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        buf.fill(b'x');
        if let Some(last) = buf.last_mut() {
            *last = b'\n';
        }
        Ok(buf.len())
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Haystack for Endless {
    fn id(&self) -> &[u8] {
        b"endless"
    }

    fn open(&self, _at: u64) -> io::Result<Box<dyn Read + Send>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(Reading(Arc::clone(&self.0))))
    }
}

impl Source for Endless {
    fn kind(&self) -> Kind {
        Kind::Bodies
    }

    fn search(&self, _scope: Scope<'_>, work: &Work<'_>) {
        let _ = work.visitor().visit(self);
    }

    fn again(&self, _id: &[u8]) -> Option<Arc<dyn Haystack>> {
        None
    }
}

#[test]
fn a_query_that_finds_nothing_in_what_never_ends_is_cancelled_too() {
    let state = tempfile::tempdir().unwrap();
    let open = Arc::new(AtomicUsize::new(0));
    let house = House::new(vec![Arc::new(Endless(Arc::clone(&open)))], state.path());
    house.search("y");
    house.until("it is read", |v| v.bytes > 1 << 20);
    // Each keystroke ends the query before: there is never more than one at the end.
    for t in ["yy", "yyy", "yyyy"] {
        house.search(t);
    }
    house.until("the last is read", |v| {
        v.query.text == "yyyy" && v.bytes > 0 && open.load(Ordering::SeqCst) == 1
    });
    house.ask(Command::Cancel).unwrap();
    let v = house.until("nobody reads", |_| open.load(Ordering::SeqCst) == 0);
    drop(v);
    assert_eq!(
        house.until("it says so", |v| v.state != State::Running).state,
        State::Cancelled
    );
}

/// Files that count how often they are looked at.
struct Counted(Texts, AtomicUsize);

impl Source for Counted {
    fn kind(&self) -> Kind {
        self.0.kind()
    }

    fn search(&self, scope: Scope<'_>, work: &Work<'_>) {
        let n = scope.only.map_or(99, <[Vec<u8>]>::len);
        self.1.store(n, Ordering::SeqCst);
        self.0.search(scope, work);
    }

    fn again(&self, id: &[u8]) -> Option<Arc<dyn Haystack>> {
        self.0.again(id)
    }
}

#[test]
fn an_extended_text_is_looked_for_where_the_shorter_one_was() {
    let state = tempfile::tempdir().unwrap();
    let text = |n: u8, t: &str| Text::new(vec![n], n.to_string(), t.as_bytes().to_vec());
    let all = vec![
        text(1, "foo"),
        text(2, "foobar"),
        text(3, "bar"),
        text(4, "foob\nFOOBX\n"),
    ];
    let source = Arc::new(Counted(Texts::new(Kind::Keys, all), AtomicUsize::new(0)));
    let house = House::new(vec![source.clone()], state.path());
    house.search("foo");
    assert_eq!(house.done("foo").totals.groups, 3);
    assert_eq!(source.1.load(Ordering::SeqCst), 99);
    house.search("foob");
    assert_eq!(house.done("foob").totals.lines, 3);
    assert_eq!(source.1.load(Ordering::SeqCst), 3);
    // Asked for again, it is looked for everywhere; so is what does not extend it.
    house.ask(Command::Again).unwrap();
    house.until("everywhere", |v| {
        v.state == State::Done && source.1.load(Ordering::SeqCst) == 99
    });
    house.search("bar");
    assert_eq!(house.done("bar").totals.groups, 2);
}

#[test]
fn what_cannot_be_searched_is_listed_and_holds_nothing_up() {
    let (dir, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let p = |n: &[u8]| dir.path().join(std::ffi::OsStr::from_bytes(n));
    fs::write(p(b"good"), "needle\n").unwrap();
    fs::write(p(b"odd\xff name"), "needle\n").unwrap();
    fs::write(p(b"binary"), b"needle one\n\0\0 needle two\n").unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, p(b"fifo"), rustix::fs::Mode::RUSR).unwrap();
    std::os::unix::fs::symlink(p(b"."), p(b"loop")).unwrap();
    let utf16: Vec<u8> = [0xff, 0xfe]
        .into_iter()
        .chain("l1\nx needle y\n".encode_utf16().flat_map(u16::to_le_bytes))
        .collect();
    fs::write(p(b"utf16"), utf16).unwrap();
    fs::write(p(b"mark"), b"\xef\xbb\xbfa\nneedle\n").unwrap();
    let long = fs::File::create(p(b"long")).unwrap();
    let mut text = vec![b'a'; 20 << 20];
    text.extend_from_slice(b"needle\n");
    io::Write::write_all(&mut &long, &text).unwrap();
    let house = House::new(files(&dir), state.path());
    house.search("needle");
    let v = house.done("needle");
    assert_eq!(v.fault_count, 1, "{:?}", v.faults);
    assert_eq!(v.faults[0].what, "long");
    assert!(v.faults[0].why.contains("longer than 4 MiB"), "{:?}", v.faults);
    let rows = texts(&v);
    assert!(rows.contains(&"2:2: x needle y [needle]".to_owned()), "{rows:?}");
    assert!(rows.contains(&"2:0: needle [needle]".to_owned()), "{rows:?}");
    assert!(rows.contains(&"odd\u{fffd} name (1)".to_owned()), "{rows:?}");
    // A file that is gone when it is looked at says so.
    fs::remove_file(p(b"good")).unwrap();
    let group = v
        .results
        .groups(0, 99)
        .into_iter()
        .find(|g| g.name == b"good")
        .unwrap()
        .id;
    let look = Look {
        top: Place { group, line: Some(0) },
        rows: 1,
        context: 0,
        folded: Arc::default(),
    };
    house.ask(Command::Look(look)).unwrap();
    house.until("gone", |v| texts(v).iter().any(|t| t.starts_with("gone")));
}

#[test]
fn replacing_is_planned_done_and_taken_back() {
    let (dir, state) = (tree(), tempfile::tempdir().unwrap());
    let house = House::new(files(&dir), state.path());
    house.search("foo");
    house.done("foo");
    house.ask(Command::Plan("quux".into())).unwrap();
    let v = house.until("a plan", |v| matches!(v.replace, Replace::Planned(_)));
    let Replace::Planned(plan) = &v.replace else {
        unreachable!()
    };
    assert_eq!((plan.files.len(), plan.hunk_count()), (2, 2));
    house.ask(Command::Apply([(1, 0)].into())).unwrap();
    house.until(
        "it is done",
        |v| matches!(&v.replace, Replace::Applied(r) if r.done.len() == 1),
    );
    let read = |n: &str| fs::read_to_string(dir.path().join(n)).unwrap();
    assert_eq!(read("src/a.rs"), "fn one() {}\nlet x = quux + quuxbar;\n");
    assert_eq!(read("src/b/c.rs"), "foo\n");
    house.ask(Command::Undo).unwrap();
    house.until(
        "it is taken back",
        |v| matches!(&v.replace, Replace::Undone(r) if r.done.len() == 1),
    );
    assert_eq!(read("src/a.rs"), "fn one() {}\nlet x = foo + foobar;\n");
    house.ask(Command::Undo).unwrap();
    house.until(
        "nothing is left",
        |v| matches!(&v.replace, Replace::Refused(e) if e.contains("nothing to take back")),
    );
}

#[test]
fn work_says_stop_when_the_query_is_over() {
    let all = qd_search_live::Generations::default();
    let token = all.begin();
    let c = q("x").compile().unwrap();
    let (results, progress) = (qd_search_live::Results::default(), qd_search_live::Progress::default());
    all.cancel();
    struct Once;
    impl Source for Once {
        fn kind(&self) -> Kind {
            Kind::Keys
        }
        fn search(&self, _s: Scope<'_>, work: &Work<'_>) {
            assert_eq!(work.visitor().visit(&Text::new("a", "a", b"x".to_vec())), Go::Stop);
        }
        fn again(&self, _id: &[u8]) -> Option<Arc<dyn Haystack>> {
            None
        }
    }
    let sources: Vec<Arc<dyn Source>> = vec![Arc::new(Once)];
    qd_search_live::run::search(&c, &sources, None, &token, &results, &progress, &|| {});
    assert_eq!(results.totals().lines, 0);
}
