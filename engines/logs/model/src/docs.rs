//! Documents as text: JSON objects whose fields can be looked up, replaced and written again without making values.

use crate::Value;

/// The documents of a batch.
#[derive(Debug, Clone, Default)]
pub struct Docs {
    docs: Vec<Value>,
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
        self.docs.iter().map(crate::batch::value_size).sum()
    }

    /// Document `i` as a value; null beyond the end.
    pub fn value(&self, i: usize) -> Value {
        self.docs.get(i).cloned().unwrap_or(Value::Null)
    }

    /// Keeps the documents for which `keep` is true.
    pub fn retain(&mut self, mut keep: impl FnMut(usize) -> bool) {
        let mut i = 0..;
        self.docs.retain(|_| i.next().is_some_and(&mut keep));
    }

    /// Appends document `i` as JSON text, as Vector's `json` encoding writes it: keys sorted, no white space.
    pub fn write_json(&self, i: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(self.value(i).to_string().as_bytes());
    }
}
