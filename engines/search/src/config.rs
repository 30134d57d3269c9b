//! The configuration file: one argument a line, read before those of the command line.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use bstr::ByteSlice;

use crate::report::Report;

/// The environment variable that names the file.
const VARIABLE: &str = "RIPGREP_CONFIG_PATH";

/// The arguments in the configuration file, none when there is no file. What is wrong with it is said and left out.
pub(crate) fn arguments(report: &Report) -> Vec<OsString> {
    let Some(path) = std::env::var_os(VARIABLE).filter(|p| !p.is_empty()).map(PathBuf::from) else {
        log::debug!("{VARIABLE} is not set, so there is no configuration file");
        return Vec::new();
    };
    match std::fs::read(&path) {
        Ok(text) => {
            let arguments = lines(&text, |number| {
                report.note(format_args!("{}:{number}: the line is not valid UTF-8", path.display()));
            });
            log::debug!(
                "{}: arguments from the configuration file: {arguments:?}",
                path.display()
            );
            arguments
        }
        Err(error) => {
            let path = path.display();
            report.note(format_args!(
                "the configuration file of {VARIABLE} cannot be read: {path}: {error}"
            ));
            Vec::new()
        }
    }
}

/// The arguments in `text`: every line without the blanks around it, except empty ones and comments.
fn lines(text: &[u8], mut bad: impl FnMut(usize)) -> Vec<OsString> {
    let mut arguments = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        match line.to_os_str() {
            Ok(argument) => arguments.push(OsStr::to_owned(argument)),
            Err(_) => bad(index + 1),
        }
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_arguments_and_comments_are_not() {
        let text = b"# mine\n--smart-case\n\n  --glob=!*.min.js \r\n\t# indented\n-e\nfoo bar\n#";
        let got = lines(text, |n| panic!("line {n}"));
        assert_eq!(got, ["--smart-case", "--glob=!*.min.js", "-e", "foo bar"]);
    }

    #[cfg(unix)]
    #[test]
    fn arguments_need_not_be_text() {
        use std::os::unix::ffi::OsStrExt;
        let got = lines(b"a\xFFb", |n| panic!("line {n}"));
        assert_eq!(got, [OsStr::from_bytes(b"a\xFFb")]);
    }
}
