//! One open file: what is encoded for it, and who waits for that.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
    time::Instant,
};

use qd_logs_codecs::{StreamCompression, members};
use qd_logs_model::{Counter, Finalizers};

/// A file with what is to be written to it.
pub(super) struct OutFile {
    file: File,
    compression: StreamCompression,
    pub(super) opened: Instant,
    /// When an event for it came last.
    pub(super) used: Instant,
    /// Encoded events.
    pub(super) pending: Vec<u8>,
    /// How many events there are in `pending`.
    pub(super) events: usize,
    /// Since when there are any.
    pub(super) since: Option<Instant>,
    /// Who waits for what is pending, of each batch once.
    pub(super) waiting: Vec<Finalizers>,
    /// What goes to the file: `pending`, compressed. Of it, `done` bytes are written.
    packed: Vec<u8>,
    done: usize,
    /// Bytes written, by file; where that is asked for.
    pub(super) tagged: Option<Counter>,
}

impl OutFile {
    /// Opens a file to append to it, or to write it anew. Where events end with `delimiter`, a file that ends with
    /// something else gets one first: what a killed process left of an event must not spoil the next one.
    ///
    /// # Errors
    /// What the system says, or that there is a file of another format.
    pub(super) fn open(
        path: &Path,
        compression: StreamCompression,
        delimiter: Option<u8>,
        empty: bool,
        follow: bool,
    ) -> io::Result<OutFile> {
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        // A pipe that is opened to be read too would never tell that nobody reads it.
        let regular = std::fs::metadata(path).is_ok_and(|m| m.is_file());
        options.read(regular);
        if !follow {
            options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32);
        }
        let file = match options.open(path) {
            Err(e)
                if regular && e.kind() == io::ErrorKind::PermissionDenied && compression == StreamCompression::None =>
            {
                options.read(false).open(path)?
            }
            other => other?,
        };
        let mut out = OutFile {
            compression,
            opened: Instant::now(),
            used: Instant::now(),
            pending: Vec::new(),
            events: 0,
            since: None,
            waiting: Vec::new(),
            packed: Vec::new(),
            done: 0,
            tagged: None,
            file,
        };
        if empty {
            out.file.set_len(0)?;
        } else if !regular {
            return Ok(out);
        } else if compression == StreamCompression::None {
            let mut last = [0];
            let len = out.file.metadata()?.len();
            if let Some(delimiter) = delimiter
                && len > 0
                && out.file.read_at(&mut last, len - 1).is_ok_and(|n| n == 1)
                && last != [delimiter]
            {
                out.packed.push(delimiter);
            }
        } else {
            let whole = members::whole(&out.file, compression)?;
            if whole.len < out.file.metadata()?.len() {
                out.file.set_len(whole.len)?;
                compression.append(&whole.rescued, &mut out.packed)?;
            }
        }
        Ok(out)
    }

    /// Whether everything that came has been written.
    pub(super) fn is_clean(&self) -> bool {
        self.pending.is_empty() && self.packed.is_empty()
    }

    /// Writes all that is pending. After an error the next call goes on where this one stopped.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn flush(&mut self) -> io::Result<usize> {
        let mut written = 0;
        loop {
            while let Some(rest) = self.packed.get(self.done..).filter(|r| !r.is_empty()) {
                match self.file.write(rest) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(n) => {
                        self.done += n;
                        written += n;
                    }
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) => return Err(e),
                }
            }
            self.packed.clear();
            self.done = 0;
            if self.pending.is_empty() {
                return Ok(written);
            }
            match self.compression {
                StreamCompression::None => std::mem::swap(&mut self.pending, &mut self.packed),
                packing => {
                    packing.append(&self.pending, &mut self.packed)?;
                    self.pending.clear();
                }
            }
        }
    }

    /// Forgets what could not be written. A piece that is written in part is taken back, if it can be.
    pub(super) fn give_up(&mut self) {
        if self.done > 0
            && let Ok(len) = self.file.metadata().map(|m| m.len())
        {
            let _taken_back = self.file.set_len(len.saturating_sub(self.done as u64));
        }
        self.packed.clear();
        self.pending.clear();
        self.done = 0;
        self.events = 0;
        self.since = None;
    }

    /// Puts all that was written on the disk.
    ///
    /// # Errors
    /// What the system says; pipes and devices can't be synced, which is no error.
    pub(super) fn sync(&self) -> io::Result<()> {
        match self.file.sync_all() {
            Err(e) if e.kind() == io::ErrorKind::InvalidInput => Ok(()),
            other => other,
        }
    }
}
