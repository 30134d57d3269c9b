//! Bounded, process-wide interning of what does not fit in a cell: grapheme clusters of more than one code point, and
//! hyperlinks. A hostile stream cannot grow it: past the bound a cluster keeps its first character only and a link is
//! dropped, and both are counted.

use std::{collections::HashMap, sync::OnceLock};

use parking_lot::RwLock;

/// How many different clusters are kept, at the most.
const MAX_CLUSTERS: usize = 65_536;
/// How many different hyperlinks are kept, at the most (`LinkId` is 16 bits, 0 is "none").
const MAX_LINKS: usize = 65_535;
/// Marks a symbol that is an index into the cluster table.
const CLUSTER: u32 = 0x8000_0000;
/// A cluster longer than this many bytes keeps its first character only.
const MAX_CLUSTER_BYTES: usize = 64;
/// A URI longer than this many bytes is not kept.
const MAX_LINK_BYTES: usize = 2_083;

#[derive(Default)]
struct Table {
    index: HashMap<Box<str>, u32>,
    items: Vec<Box<str>>,
}

fn clusters() -> &'static RwLock<Table> {
    static T: OnceLock<RwLock<Table>> = OnceLock::new();
    T.get_or_init(RwLock::default)
}

fn links() -> &'static RwLock<Table> {
    static T: OnceLock<RwLock<Table>> = OnceLock::new();
    T.get_or_init(RwLock::default)
}

/// Looks `s` up, or adds it; `None` when the table is full.
fn intern(table: &RwLock<Table>, s: &str, max: usize) -> Option<u32> {
    if let Some(i) = table.read().index.get(s) {
        return Some(*i);
    }
    let mut t = table.write();
    if let Some(i) = t.index.get(s) {
        return Some(*i);
    }
    if t.items.len() >= max {
        return None;
    }
    let i = u32::try_from(t.items.len()).ok()?;
    t.items.push(s.into());
    t.index.insert(s.into(), i);
    Some(i)
}

/// What stands in a cell: one character, or an interned grapheme cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, bytemuck::NoUninit)]
#[repr(transparent)]
pub struct Sym(u32);

impl Sym {
    /// The blank.
    pub const SPACE: Self = Self(' ' as u32);

    /// The symbol of one character.
    #[must_use]
    pub const fn from_char(c: char) -> Self {
        Self(c as u32)
    }

    /// The symbol of a grapheme cluster. An empty string is a blank; when the table is full, or the cluster is over
    /// 64 bytes, the first character alone.
    #[must_use]
    pub fn from_cluster(s: &str) -> Self {
        let mut it = s.chars();
        let Some(first) = it.next() else { return Self::SPACE };
        if it.next().is_none() || s.len() > MAX_CLUSTER_BYTES {
            return Self::from_char(first);
        }
        intern(clusters(), s, MAX_CLUSTERS).map_or(Self::from_char(first), |i| Self(CLUSTER | i))
    }

    /// The character, where the symbol is a single one.
    #[must_use]
    pub const fn as_char(self) -> Option<char> {
        char::from_u32(self.0)
    }

    /// Appends the symbol's text to `out`.
    pub fn push_to(self, out: &mut String) {
        match self.as_char() {
            Some(c) => out.push(c),
            None => {
                if let Some(s) = clusters().read().items.get((self.0 & !CLUSTER) as usize) {
                    out.push_str(s);
                }
            }
        }
    }

    /// Appends the symbol's text, in UTF-8, to `out`.
    pub fn push_bytes(self, out: &mut Vec<u8>) {
        match self.as_char() {
            Some(c) if c.is_ascii() => out.push(c as u8),
            Some(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            None => {
                if let Some(s) = clusters().read().items.get((self.0 & !CLUSTER) as usize) {
                    out.extend_from_slice(s.as_bytes());
                }
            }
        }
    }
}

/// A hyperlink of a cell (OSC 8). `LinkId::NONE` where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, bytemuck::NoUninit)]
#[repr(transparent)]
pub struct LinkId(u16);

impl LinkId {
    /// No hyperlink.
    pub const NONE: Self = Self(0);

    /// The id of a URI; `NONE` when the table is full, or the URI is empty, over 2,083 bytes, or has control characters.
    #[must_use]
    pub fn from_uri(uri: &str) -> Self {
        if uri.is_empty() || uri.len() > MAX_LINK_BYTES || uri.chars().any(char::is_control) {
            return Self::NONE;
        }
        intern(links(), uri, MAX_LINKS)
            .and_then(|i| u16::try_from(i + 1).ok())
            .map_or(Self::NONE, Self)
    }

    /// A number that tells links apart, for OSC 8's `id=`.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}

/// The URI behind an id.
#[must_use]
pub fn link_uri(id: LinkId) -> Option<String> {
    let i = usize::from(id.0).checked_sub(1)?;
    links().read().items.get(i).map(|s| s.to_string())
}
