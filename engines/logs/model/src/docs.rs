//! Documents as text: JSON objects whose fields can be looked up, replaced and written again without making values.
//!
//! A document is a row of fields sorted by key, each the text `"key":value` as Vector's `json` encoding writes it: no
//! white space, objects sorted, numbers and escapes in one form. The text lies in the block of bytes the lines came in
//! where it stood there in that form already, else in an arena of its own, so that writing a document is copying spans.
//! [`DocsBuilder`] makes documents. What it can't represent exactly (a root that is no object, bytes that are not UTF-8,
//! anything that `parse_json` refuses) it declines, and the caller goes the way over values.

mod scan;
mod value;

use bytes::Bytes;
use vrl::value::ObjectMap;

use crate::Value;

/// Offsets from here on lie in the documents' own arena.
const OWN: u32 = 1 << 31;

/// What a field's text stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// The JSON value.
    Json,
    /// A time, written as text; its value is a timestamp.
    Time,
}

/// `"key":value` somewhere.
#[derive(Debug, Clone, Copy)]
struct Field {
    at: u32,
    len: u32,
    /// Length of the key with its quotes.
    key: u16,
    kind: FieldKind,
}

#[derive(Debug, Clone, Copy)]
struct Doc {
    first: u32,
    count: u32,
}

/// A field of a document as it lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldSpan<'a> {
    /// `"key":value`, canonical.
    pub text: &'a [u8],
    /// Bytes of the key at the front, with its quotes.
    pub key: u16,
    /// What the value stands for.
    pub kind: FieldKind,
}

/// The documents of a batch.
#[derive(Debug, Clone, Default)]
pub struct Docs {
    block: Bytes,
    own: Vec<u8>,
    fields: Vec<Field>,
    docs: Vec<Doc>,
}

impl Docs {
    /// How many documents.
    pub fn len(&self) -> usize {
        self.docs.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.docs.is_empty()
    }

    /// About how many bytes of memory they hold.
    pub fn size(&self) -> usize {
        let text: usize = self
            .docs
            .iter()
            .flat_map(|d| self.row(*d))
            .map(|f| f.len as usize)
            .sum();
        text + self.fields.len() * size_of::<Field>() + self.docs.len() * size_of::<Doc>()
    }

    fn row(&self, d: Doc) -> &[Field] {
        self.fields
            .get(d.first as usize..(d.first + d.count) as usize)
            .unwrap_or_default()
    }

    /// Document `i` as a value; null beyond the end.
    pub fn value(&self, i: usize) -> Value {
        let Some(d) = self.docs.get(i) else {
            return Value::Null;
        };
        let mut object = ObjectMap::new();
        for f in self.row(*d) {
            let text = text_of(&self.block, &self.own, f);
            object.insert(value::key(key_of(text, f)), value::of(value_of(text, f), f.kind));
        }
        Value::Object(object)
    }

    /// The canonical JSON text of a top-level field and what it stands for; `key` is unescaped. `None` if document `i` has
    /// no such field.
    pub fn get(&self, i: usize, key: &str) -> Option<(&[u8], FieldKind)> {
        find(&self.block, &self.own, self.row(*self.docs.get(i)?), key)
    }

    /// The top-level field of document `i` as a value.
    pub fn field(&self, i: usize, key: &str) -> Option<Value> {
        self.get(i, key).map(|(text, kind)| value::of(text, kind))
    }

    /// The fields of document `i` as they lie in memory, sorted by key; none beyond the end.
    pub fn spans(&self, i: usize) -> impl ExactSizeIterator<Item = FieldSpan<'_>> {
        let row = self.docs.get(i).map(|d| self.row(*d)).unwrap_or_default();
        row.iter().map(|f| FieldSpan {
            text: text_of(&self.block, &self.own, f),
            key: f.key,
            kind: f.kind,
        })
    }

    /// Keeps the documents for which `keep` is true.
    pub fn retain(&mut self, mut keep: impl FnMut(usize) -> bool) {
        let mut i = 0..;
        self.docs.retain(|_| i.next().is_some_and(&mut keep));
    }

    /// Appends document `i` as JSON text, as Vector's `json` encoding writes it: keys sorted, no white space.
    pub fn write_json(&self, i: usize, out: &mut Vec<u8>) {
        let row = self.docs.get(i).map(|d| self.row(*d)).unwrap_or_default();
        let len: usize = row.iter().map(|f| f.len as usize + 1).sum();
        out.reserve(len + 2);
        out.push(b'{');
        let mut fields = row.iter();
        if let Some(f) = fields.next() {
            out.extend_from_slice(text_of(&self.block, &self.own, f));
        }
        for f in fields {
            out.push(b',');
            out.extend_from_slice(text_of(&self.block, &self.own, f));
        }
        out.push(b'}');
    }

    /// A builder for documents with the text of these at hand, to change them row by row with [`DocsBuilder::load`].
    pub fn edit(&self) -> DocsBuilder {
        DocsBuilder {
            kept: self.own.len(),
            docs: Docs {
                block: self.block.clone(),
                own: self.own.clone(),
                fields: Vec::with_capacity(self.fields.len()),
                docs: Vec::with_capacity(self.docs.len()),
            },
            ..DocsBuilder::default()
        }
    }
}

fn text_of<'a>(block: &'a [u8], own: &'a [u8], f: &Field) -> &'a [u8] {
    let (arena, at) = if f.at < OWN {
        (block, f.at as usize)
    } else {
        (own, (f.at - OWN) as usize)
    };
    arena.get(at..at + f.len as usize).unwrap_or_default()
}

/// The key without its quotes, still escaped.
fn key_of<'a>(text: &'a [u8], f: &Field) -> &'a [u8] {
    text.get(1..(f.key as usize).saturating_sub(1)).unwrap_or_default()
}

fn value_of<'a>(text: &'a [u8], f: &Field) -> &'a [u8] {
    text.get(f.key as usize + 1..).unwrap_or_default()
}

fn find<'a>(block: &'a [u8], own: &'a [u8], row: &[Field], key: &str) -> Option<(&'a [u8], FieldKind)> {
    let at = position(block, own, row, key).ok()?;
    let f = row.get(at)?;
    Some((value_of(text_of(block, own, f), f), f.kind))
}

/// Keys in rows never need escapes, so that the order of their text is that of the keys.
fn position(block: &[u8], own: &[u8], row: &[Field], key: &str) -> Result<usize, usize> {
    row.binary_search_by(|f| key_of(text_of(block, own, f), f).cmp(key.as_bytes()))
}

/// Why a document was declined: the caller must go the way over values, which knows what to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Declined;

/// The order of the keys of the document before this one. Events of a source mostly look alike, so that keys are
/// compared instead of searched and their order is known.
#[derive(Debug, Clone, Default)]
struct Shape {
    /// `"key":` one after another, in the order of the text.
    keys: Vec<u8>,
    /// Where each ends in `keys`.
    ends: Vec<u32>,
    /// Which field of the text comes when sorted.
    order: Vec<u16>,
}

/// Makes documents, one row at a time.
#[derive(Debug, Clone, Default)]
pub struct DocsBuilder {
    docs: Docs,
    /// The row being made, sorted.
    row: Vec<Field>,
    /// Fields in the order of the text.
    found: Vec<Field>,
    /// Text that was rewritten while the row was scanned.
    made: Vec<u8>,
    /// How much of the arena rows yet to be made refer to.
    kept: usize,
    shape: Shape,
}

/// A row put aside with [`DocsBuilder::save`].
#[derive(Debug, Clone, Default)]
pub struct Row(Vec<Field>);

impl DocsBuilder {
    /// A builder over the bytes the documents' text lies in.
    pub fn new(block: Bytes) -> DocsBuilder {
        DocsBuilder {
            docs: Docs {
                block,
                ..Docs::default()
            },
            ..DocsBuilder::default()
        }
    }

    /// How many documents were made since the start or [`DocsBuilder::take`].
    pub fn len(&self) -> usize {
        self.docs.docs.len()
    }

    /// Whether none were.
    pub fn is_empty(&self) -> bool {
        self.docs.docs.is_empty()
    }

    /// The documents made so far; the builder goes on with the same block.
    pub fn take(&mut self) -> Docs {
        let next = Docs {
            block: self.docs.block.clone(),
            own: self.docs.own.get(..self.kept).unwrap_or_default().to_vec(),
            ..Docs::default()
        };
        std::mem::replace(&mut self.docs, next)
    }

    /// Starts a row without fields.
    pub fn clear(&mut self) {
        self.row.clear();
    }

    /// Adds a field to the end of the row, whose text lies in the block from byte `at` on, `len` bytes long, the first
    /// `key` of them the key with its quotes: what [`Docs::spans`] gave, in that order.
    ///
    /// # Errors
    /// [`Declined`] when the block does not hold such a text, or the key does not come after the one before it.
    pub fn push(&mut self, at: u32, len: u32, key: u16, kind: FieldKind) -> Result<(), Declined> {
        let field = Field { at, len, key, kind };
        let block = &self.docs.block;
        let end = at.checked_add(len).filter(|end| *end < OWN).ok_or(Declined)?;
        let text = block.get(at as usize..end as usize).ok_or(Declined)?;
        let (name, value) = text.split_at_checked(key as usize).ok_or(Declined)?;
        let quoted = matches!(name, [b'"', .., b'"']);
        let sorted = self
            .row
            .last()
            .is_none_or(|f| key_of(text_of(block, &self.docs.own, f), f) < key_of(text, &field));
        if !quoted || !sorted || value.len() < 2 || value.first() != Some(&b':') {
            return Err(Declined);
        }
        self.row.push(field);
        Ok(())
    }

    /// Puts the row aside, to start others from it.
    pub fn save(&mut self) -> Row {
        self.kept = self.docs.own.len();
        Row(self.row.clone())
    }

    /// Starts a row as the one that was put aside.
    pub fn restore(&mut self, row: &Row) {
        self.row.clear();
        self.row.extend_from_slice(&row.0);
    }

    /// Starts a row as document `i` of the documents this builder was made from with [`Docs::edit`].
    pub fn load(&mut self, from: &Docs, i: usize) {
        self.row.clear();
        if let Some(d) = from.docs.get(i) {
            self.row.extend_from_slice(from.row(*d));
        }
    }

    /// Starts a row with the fields of the JSON object that is the block's text from `start` to `end`.
    ///
    /// # Errors
    /// [`Declined`] when that is no object in valid JSON, or one the text form can't hold; the row is empty then.
    pub fn parse(&mut self, start: u32, end: u32) -> Result<(), Declined> {
        self.row.clear();
        if self.docs.block.len() >= OWN as usize {
            return Err(Declined);
        }
        let text = self.docs.block.get(start as usize..end as usize).ok_or(Declined)?;
        let mut scanner = scan::Scanner {
            text,
            base: start,
            found: &mut self.found,
            made: &mut self.made,
        };
        let same_shape = scanner.run(&self.shape).ok_or(Declined)?;
        self.settle(same_shape)
    }

    /// Starts a row with the fields of the JSON object that is the string in field `key` of the row before.
    ///
    /// # Errors
    /// [`Declined`] as [`DocsBuilder::parse`], and when the field is not there or no string.
    pub fn parse_field(&mut self, key: &str) -> Result<(), Declined> {
        let (text, kind) = self.get(key).ok_or(Declined)?;
        if kind != FieldKind::Json || text.first() != Some(&b'"') {
            return Err(Declined);
        }
        let decoded = value::string(text).into_owned();
        let at = self.docs.own.len();
        self.room(decoded.len())?;
        self.docs.own.extend_from_slice(decoded.as_bytes());
        self.row.clear();
        // The scanner reads the arena, so what it makes is kept apart until it is done.
        let text = self.docs.own.get(at..).unwrap_or_default();
        let mut scanner = scan::Scanner {
            text,
            base: OWN + u32::try_from(at).map_err(|_| Declined)?,
            found: &mut self.found,
            made: &mut self.made,
        };
        let same_shape = scanner.run(&self.shape).ok_or(Declined)?;
        self.settle(same_shape)
    }

    /// Adds the fields of the JSON object from `start` to `end` of the block to the row; those of the object win.
    ///
    /// # Errors
    /// [`Declined`] as [`DocsBuilder::parse`].
    pub fn merge(&mut self, start: u32, end: u32) -> Result<(), Declined> {
        let before = std::mem::take(&mut self.row);
        self.parse(start, end)?;
        self.add_missing(&before);
        Ok(())
    }

    /// As [`DocsBuilder::merge`], with the object in the string of field `key`.
    ///
    /// # Errors
    /// [`Declined`] as [`DocsBuilder::parse_field`].
    pub fn merge_field(&mut self, key: &str) -> Result<(), Declined> {
        let before = self.row.clone();
        self.parse_field(key)?;
        self.add_missing(&before);
        Ok(())
    }

    fn add_missing(&mut self, before: &[Field]) {
        for f in before {
            let text = text_of(&self.docs.block, &self.docs.own, f);
            let key = key_of(text, f);
            let at = self
                .row
                .binary_search_by(|g| key_of(text_of(&self.docs.block, &self.docs.own, g), g).cmp(key));
            if let Err(at) = at {
                self.row.insert(at, *f);
            }
        }
    }

    /// Whether so many more bytes fit into the arena.
    fn room(&self, more: usize) -> Result<(), Declined> {
        if self.docs.own.len() + more < (scan::MADE - OWN) as usize {
            Ok(())
        } else {
            Err(Declined)
        }
    }

    /// Sorts what the scanner found into the row.
    fn settle(&mut self, same_shape: bool) -> Result<(), Declined> {
        if !self.made.is_empty() {
            self.room(self.made.len())?;
            let base = OWN + u32::try_from(self.docs.own.len()).map_err(|_| Declined)?;
            self.docs.own.append(&mut self.made);
            for f in &mut self.found {
                if f.at >= scan::MADE {
                    f.at = base + (f.at - scan::MADE);
                }
            }
        }
        if same_shape {
            self.row
                .extend(self.shape.order.iter().filter_map(|i| self.found.get(*i as usize)));
            return Ok(());
        }
        let (block, own) = (&self.docs.block, &self.docs.own);
        let key = |f: &Field| key_of(text_of(block, own, f), f);
        let mut order: Vec<u16> = (0..u16::try_from(self.found.len()).map_err(|_| Declined)?).collect();
        let field = |i: &u16| self.found.get(*i as usize).map(key).unwrap_or_default();
        order.sort_by(|a, b| field(a).cmp(field(b)));
        self.row
            .extend(order.iter().filter_map(|i| self.found.get(*i as usize)));
        // Of a repeated key the last one counts; the sort kept their order.
        let repeated = |w: &[Field]| matches!(w, [a, b] if key(a) == key(b));
        if self.row.windows(2).any(repeated) {
            self.row.reverse();
            self.row.dedup_by(|b, a| key(a) == key(b));
            self.row.reverse();
            self.shape = Shape::default();
            return Ok(());
        }
        let shape = &mut self.shape;
        shape.keys.clear();
        shape.ends.clear();
        for f in &self.found {
            let text = text_of(&self.docs.block, &self.docs.own, f);
            shape
                .keys
                .extend_from_slice(text.get(..f.key as usize + 1).unwrap_or_default());
            shape.ends.push(u32::try_from(shape.keys.len()).map_err(|_| Declined)?);
        }
        shape.order = order;
        Ok(())
    }

    /// A field of the row: its canonical JSON text and what it stands for; `key` is unescaped.
    pub fn get(&self, key: &str) -> Option<(&[u8], FieldKind)> {
        find(&self.docs.block, &self.docs.own, &self.row, key)
    }

    /// As [`DocsBuilder::get`], looking first at the place in the row where the field was the last time.
    pub fn get_near(&self, key: &str, hint: &mut usize) -> Option<(&[u8], FieldKind)> {
        let (block, own) = (&self.docs.block, &self.docs.own);
        if let Some(f) = self.row.get(*hint) {
            let text = text_of(block, own, f);
            if key_of(text, f) == key.as_bytes() {
                return Some((value_of(text, f), f.kind));
            }
        }
        *hint = position(block, own, &self.row, key).ok()?;
        find(block, own, &self.row, key)
    }

    /// Writes a field of the row. `value` must be canonical JSON, as [`DocsBuilder::get`] gives it or `serde_json` writes
    /// a [`Value`]; `key` is unescaped.
    ///
    /// # Errors
    /// [`Declined`] for a key that needs escapes or is longer than 65,000 bytes, and when the arena is full.
    pub fn set(&mut self, key: &str, value: &[u8], kind: FieldKind) -> Result<(), Declined> {
        let plain = |b: &u8| *b >= 0x20 && *b != b'"' && *b != b'\\';
        if key.len() > 65_000 || !key.as_bytes().iter().all(plain) {
            return Err(Declined);
        }
        self.room(key.len() + value.len() + 3)?;
        let own = &mut self.docs.own;
        let at = own.len();
        own.push(b'"');
        own.extend_from_slice(key.as_bytes());
        own.extend_from_slice(b"\":");
        own.extend_from_slice(value);
        let field = Field {
            at: OWN + u32::try_from(at).map_err(|_| Declined)?,
            len: u32::try_from(own.len() - at).map_err(|_| Declined)?,
            key: u16::try_from(key.len() + 2).map_err(|_| Declined)?,
            kind,
        };
        match position(&self.docs.block, &self.docs.own, &self.row, key) {
            Ok(i) => {
                if let Some(f) = self.row.get_mut(i) {
                    *f = field;
                }
            }
            Err(i) => self.row.insert(i, field),
        }
        Ok(())
    }

    /// Removes a field of the row, if it is there.
    pub fn remove(&mut self, key: &str) {
        if let Ok(i) = position(&self.docs.block, &self.docs.own, &self.row, key) {
            self.row.remove(i);
        }
    }

    /// Ends the row: it becomes the next document.
    pub fn commit(&mut self) {
        let first = self.docs.fields.len();
        self.docs.fields.extend_from_slice(&self.row);
        // Rows are bounded by the block's 2 GiB, and fields take at least five bytes of it.
        self.docs.docs.push(Doc {
            first: u32::try_from(first).unwrap_or(u32::MAX),
            count: u32::try_from(self.row.len()).unwrap_or_default(),
        });
    }
}

#[cfg(test)]
mod tests;
