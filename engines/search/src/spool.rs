//! Where one thread of a sorted search prints: into memory up to a size, and what is more straight to where results go, once
//! its turn has come.

use std::io::{self, Write};

use termcolor::{Buffer, ColorSpec, HyperlinkSpec, WriteColor};

use crate::report::Said;
use crate::sheet::Results;

/// Passes results on that belong to a piece of work, when its turn has come. After an error nothing more is wanted.
pub(crate) type Pass<'a> = &'a (dyn Fn(u64, Results) -> io::Result<()> + Sync);

/// What is printed of one piece of work. A clone is for another thread.
#[derive(Clone)]
pub(crate) struct Spool<'a> {
    buffer: Buffer,
    results: Results,
    number: u64,
    limit: usize,
    pass: Pass<'a>,
    left: bool,
}

impl<'a> Spool<'a> {
    /// Holds so many bytes in `buffer`, and a little more.
    pub(crate) fn new(buffer: Buffer, limit: usize, pass: Pass<'a>) -> Self {
        Spool {
            buffer,
            results: Results::default(),
            number: 0,
            limit,
            pass,
            left: false,
        }
    }

    /// Begins the piece of work of this number, with nothing.
    pub(crate) fn begin(&mut self, number: u64) {
        self.buffer.clear();
        (self.results, self.number, self.left) = (Results::default(), number, false);
    }

    /// Ends a haystack, or what comes between two.
    pub(crate) fn end(&mut self, matched: bool, said: Vec<Said>) {
        self.results.add(self.buffer.len(), matched, said);
    }

    /// What has not been passed on.
    pub(crate) fn take(&mut self) -> Results {
        let mut results = std::mem::take(&mut self.results);
        results.print(self.buffer.as_slice());
        self.buffer.clear();
        results
    }

    /// Nobody wants what comes now.
    pub(crate) fn is_left(&self) -> bool {
        self.left
    }

    fn pass_on(&mut self) -> io::Result<()> {
        self.end(false, Vec::new());
        let results = self.take();
        let passed = (self.pass)(self.number, results);
        self.left |= passed.is_err();
        passed
    }
}

impl Write for Spool<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() >= self.limit {
            self.pass_on()?;
        }
        self.buffer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl WriteColor for Spool<'_> {
    fn supports_color(&self) -> bool {
        self.buffer.supports_color()
    }

    fn supports_hyperlinks(&self) -> bool {
        self.buffer.supports_hyperlinks()
    }

    fn set_color(&mut self, spec: &ColorSpec) -> io::Result<()> {
        self.buffer.set_color(spec)
    }

    fn set_hyperlink(&mut self, link: &HyperlinkSpec<'_>) -> io::Result<()> {
        self.buffer.set_hyperlink(link)
    }

    fn reset(&mut self) -> io::Result<()> {
        self.buffer.reset()
    }

    fn is_synchronous(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::parse;
    use crate::plan::Plan;
    use crate::report::Report;
    use crate::sheet::Sheet;
    use std::sync::Mutex;

    #[test]
    fn what_is_too_much_goes_out_before_the_end_and_nothing_is_lost() {
        let plan = Plan::new(parse(["--heading", "x", "src"].map(Into::into).into_iter()).unwrap()).unwrap();
        let (report, mut out) = (Report::new("test"), Vec::new());
        {
            let sheet = Mutex::new(Sheet::new(&plan, &mut out));
            let passed = Mutex::new(Vec::new());
            let pass = |number, results: Results| {
                passed.lock().unwrap().push((number, results.size() < 200));
                sheet.lock().unwrap().write(results, &report)
            };
            let mut spool = Spool::new(Buffer::no_color(), 10, &pass);
            spool.begin(7);
            spool.write_all(b"\nfirst\n").unwrap();
            spool.end(true, Vec::new());
            for _ in 0..5 {
                spool.write_all(b"\nsecond\n").unwrap();
            }
            spool.end(true, Vec::new());
            assert_eq!(*passed.lock().unwrap(), [(7, true); 2]);
            sheet.lock().unwrap().write(spool.take(), &report).unwrap();
            assert!(sheet.lock().unwrap().matched && !spool.is_left());
            sheet.into_inner().unwrap().end(b"").unwrap();
        }
        assert_eq!(out, ["first\n".to_owned(), "\nsecond\n".repeat(5)].concat().as_bytes());
    }

    #[test]
    fn nothing_more_is_printed_when_nobody_wants_it() {
        let pass = |_, _| Err(io::ErrorKind::BrokenPipe.into());
        let mut spool = Spool::new(Buffer::no_color(), 1, &pass);
        spool.begin(0);
        spool.write_all(b"one").unwrap();
        assert!(spool.write_all(b"two").is_err() && spool.is_left());
    }
}
