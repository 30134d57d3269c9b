//! Sorted results on their way out: what files printed, and what was said of them, in the order of the files.

use std::io::{self, Write};

use crate::plan::Plan;
use crate::report::{Report, Said};

/// What one batch of haystacks came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Results {
    /// What all of them printed.
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

/// What one haystack came to, or what was said between two.
#[derive(Clone, Debug)]
struct Entry {
    /// The end of what it printed.
    end: usize,
    matched: bool,
    said: Vec<Said>,
}

impl Results {
    /// Adds a haystack that printed the bytes up to `end`, and messages that come after them.
    pub(crate) fn add(&mut self, end: usize, matched: bool, said: Vec<Said>) {
        let start = self.entries.last().map_or(0, |e| e.end);
        if end > start || matched || !said.is_empty() {
            self.entries.push(Entry { end, matched, said });
        }
    }

    /// Adds all that was printed.
    pub(crate) fn print(&mut self, bytes: &[u8]) {
        self.bytes = bytes.to_vec();
    }

    /// How much memory it takes, in bytes.
    pub(crate) fn size(&self) -> usize {
        let said = self.entries.iter().flat_map(|e| &e.said).map(Said::size).sum::<usize>();
        self.bytes.len() + self.entries.len() * size_of::<Entry>() + said
    }
}

/// Standard output of sorted results. What each file printed begins with the separator, as if there were something before it.
pub(crate) struct Sheet<W: Write> {
    out: io::BufWriter<W>,
    separator: Option<Vec<u8>>,
    watched: bool,
    begun: bool,
    /// The size of the separator that the first file printed for nothing.
    pub(crate) left_out: u64,
    /// A haystack matched, and all it printed was passed on.
    pub(crate) matched: bool,
}

impl<W: Write> Sheet<W> {
    /// A sheet for what the plan prints, on `out`.
    pub(crate) fn new(plan: &Plan, out: W) -> Self {
        let separator = plan.file_separator.clone().map(|mut line| {
            line.extend_from_slice(plan.line_terminator().as_bytes());
            line
        });
        Sheet {
            out: io::BufWriter::with_capacity(1 << 16, out),
            separator,
            watched: plan.is_watched(),
            begun: false,
            left_out: 0,
            matched: false,
        }
    }

    /// Writes results and says what there is to say, in order. After an error nothing more is written or said.
    pub(crate) fn write(&mut self, results: Results, report: &Report) -> io::Result<()> {
        let mut start = 0;
        for entry in results.entries {
            let mut bytes = &results.bytes[start..entry.end];
            start = entry.end;
            if !bytes.is_empty() {
                if let Some(separator) = self.separator.as_ref().filter(|_| !self.begun)
                    && let Some(rest) = bytes.strip_prefix(separator.as_slice())
                {
                    self.left_out = separator.len() as u64;
                    bytes = rest;
                }
                self.begun = true;
                self.out.write_all(bytes)?;
                if self.watched {
                    self.out.flush()?;
                }
            }
            self.matched |= entry.matched;
            for said in entry.said {
                report.say(said);
            }
        }
        Ok(())
    }

    /// Writes what comes after all results.
    pub(crate) fn end(mut self, last: &[u8]) -> io::Result<()> {
        self.out.write_all(last)?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::parse;

    /// Takes so many bytes, and then nobody reads any more.
    struct Pipe(usize);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let taken = bytes.len().min(self.0);
            self.0 -= taken;
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn results(report: &Report) -> Results {
        let held = report.holding();
        let mut results = Results::default();
        results.add(2, true, Vec::new());
        held.error("cannot be read");
        results.add(2, false, held.take());
        results.add(4, true, Vec::new());
        results.print(b"a\nb\n");
        results
    }

    #[test]
    fn what_comes_after_the_reader_left_is_not_said() {
        let plan = Plan::new(parse(["--line-buffered", "x", "src"].map(Into::into).into_iter()).unwrap()).unwrap();
        let report = Report::new("test");
        report.want(false, false);
        let mut sheet = Sheet::new(&plan, Pipe(0));
        assert!(sheet.write(results(&report), &report).is_err());
        assert!(!sheet.matched && !report.errored(), "the first file was not read");
        let mut sheet = Sheet::new(&plan, Pipe(2));
        assert!(sheet.write(results(&report), &report).is_err());
        assert!(
            sheet.matched && report.errored(),
            "the first file was, and then there was an error"
        );
    }

    #[test]
    fn the_separator_before_the_first_file_is_left_out() {
        let plan = Plan::new(parse(["--heading", "x", "src"].map(Into::into).into_iter()).unwrap()).unwrap();
        let (report, mut results) = (Report::new("test"), Results::default());
        results.add(3, true, Vec::new());
        results.add(6, true, Vec::new());
        results.print(b"\na\n\nb\n");
        let mut out = Vec::new();
        let mut sheet = Sheet::new(&plan, &mut out);
        sheet.write(results, &report).unwrap();
        assert_eq!(sheet.left_out, 1);
        sheet.end(b"end").unwrap();
        assert_eq!(out, b"a\n\nb\nend");
    }
}
