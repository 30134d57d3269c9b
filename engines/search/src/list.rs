//! The paths that `--files` lists, from many threads.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use termcolor::{Buffer, BufferWriter};

use crate::haystack::Haystack;
use crate::plan::Plan;

/// A thread passes on the paths it has listed when they fill this.
const LISTED: usize = 16 << 10;

/// The paths that one thread lists: passed on in pieces, each of whole paths.
pub(crate) struct List<'a> {
    plan: &'a Plan,
    writer: &'a BufferWriter,
    failure: &'a Mutex<Option<io::Error>>,
    buffer: Buffer,
    limit: usize,
    /// Paths need no colour, links or other separators.
    plain: bool,
}

impl<'a> List<'a> {
    pub(crate) fn new(plan: &'a Plan, writer: &'a BufferWriter, failure: &'a Mutex<Option<io::Error>>) -> Self {
        List {
            plan,
            writer,
            failure,
            buffer: writer.buffer(),
            limit: if plan.is_watched() { 0 } else { LISTED },
            plain: plan.color == termcolor::ColorChoice::Never && plan.low.path_separator.is_none(),
        }
    }

    /// Adds a path. Says whether more can be written.
    pub(crate) fn add(&mut self, haystack: &Haystack) -> bool {
        let written = if self.plain {
            let path = haystack.path().as_os_str().as_encoded_bytes();
            let end = if self.plan.low.null { b"\0" } else { b"\n" };
            self.buffer.write_all(path).and_then(|()| self.buffer.write_all(end))
        } else {
            self.plan.path_printer().build(&mut self.buffer).write(haystack.path())
        };
        // Writing to memory does not fail.
        written.is_ok() && (self.buffer.len() <= self.limit || self.pass_on())
    }

    fn pass_on(&mut self) -> bool {
        let result = self.writer.print(&self.buffer);
        self.buffer.clear();
        match result {
            Ok(()) => true,
            Err(error) => {
                *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                false
            }
        }
    }
}

impl Drop for List<'_> {
    fn drop(&mut self) {
        self.pass_on();
    }
}
