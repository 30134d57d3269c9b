//! Texts in memory as a source: scrollback, history, captured bodies, keys. They are taken when the search begins and are
//! shared, never copied.

use std::{
    io::{self, Cursor, Read},
    sync::{Arc, LazyLock},
};

use crate::{
    haystack::{Haystack, Kind, Scope, Source},
    work::{Go, Work},
};

/// Bytes, and the number that each of their lines has where it comes from, when that is not the one it has here.
type Body = (Arc<[u8]>, Option<Arc<[u64]>>);
type Make = Box<dyn FnOnce() -> Body + Send>;

/// One text with a name.
#[derive(Debug, Clone)]
pub struct Text {
    id: Vec<u8>,
    title: String,
    body: Arc<LazyLock<Body, Make>>,
}

impl Text {
    fn with(id: Vec<u8>, title: String, make: Make) -> Self {
        Self {
            id,
            title,
            body: Arc::new(LazyLock::new(make)),
        }
    }

    /// A text; `id` is what the caller finds it by again.
    #[must_use]
    pub fn new(id: impl Into<Vec<u8>>, title: impl Into<String>, bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        Self::with(id.into(), title.into(), Box::new(move || (bytes, None)))
    }

    /// A text that is made when it is first searched, on the thread that searches: its bytes, and the number that each of
    /// its lines has where it comes from.
    #[must_use]
    pub fn later(
        id: impl Into<Vec<u8>>,
        title: impl Into<String>,
        make: impl FnOnce() -> (Vec<u8>, Vec<u64>) + Send + 'static,
    ) -> Self {
        let make = move || {
            let (bytes, numbers) = make();
            (bytes.into(), Some(numbers.into()))
        };
        Self::with(id.into(), title.into(), Box::new(make))
    }
}

impl Text {
    /// The number that a line (from 1) has where it comes from.
    #[must_use]
    pub fn number(&self, line: u64) -> u64 {
        let at = usize::try_from(line.saturating_sub(1)).unwrap_or(usize::MAX);
        self.body.1.as_ref().and_then(|n| n.get(at)).copied().unwrap_or(line)
    }
}

/// What is left of shared bytes.
struct Rest(Cursor<Arc<[u8]>>);

impl Read for Rest {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Haystack for Text {
    fn id(&self) -> &[u8] {
        &self.id
    }

    fn open(&self, at: u64) -> io::Result<Box<dyn Read + Send>> {
        let bytes = &self.body.0;
        let mut c = Cursor::new(Arc::clone(bytes));
        c.set_position(at.min(bytes.len() as u64));
        Ok(Box::new(Rest(c)))
    }
}

/// A set of texts of one kind.
#[derive(Debug, Clone)]
pub struct Texts {
    kind: Kind,
    texts: Vec<Text>,
}

impl Texts {
    /// These texts.
    #[must_use]
    pub fn new(kind: Kind, texts: Vec<Text>) -> Self {
        Self { kind, texts }
    }

    fn find(&self, id: &[u8]) -> Option<&Text> {
        self.texts.iter().find(|t| t.id == id)
    }
}

impl Source for Texts {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn search(&self, scope: Scope<'_>, work: &Work<'_>) {
        let mut visitor = work.visitor();
        for t in &self.texts {
            let wanted = scope.only.is_none_or(|ids| ids.contains(&t.id));
            if wanted && visitor.visit(t) == Go::Stop {
                return;
            }
        }
    }

    fn again(&self, id: &[u8]) -> Option<Arc<dyn Haystack>> {
        Some(Arc::new(self.find(id)?.clone()))
    }

    fn number(&self, id: &[u8], line: u64) -> u64 {
        self.find(id).map_or(line, |t| t.number(line))
    }

    fn title(&self, id: &[u8]) -> String {
        self.find(id).map_or_else(String::new, |t| t.title.clone())
    }
}
