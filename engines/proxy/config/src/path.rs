//! The form in which paths are compared.
//!
//! `/%61dmin`, `/x/../admin` and `/./admin` name the same thing as `/admin` (RFC 3986, 6.2.2), and a rule for `/admin` must
//! not be passed by writing it in another way. So a path is compared with the letters, digits and `-._~` unescaped and
//! without `.` and `..`; everything else stays, `%2F` and `//` included. What is sent on is the path as it came.

use std::borrow::Cow;

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// The path to compare. Borrowed if it is in that form already; `*` is `/`.
pub fn match_form(path: &[u8]) -> Cow<'_, [u8]> {
    if path == b"*" || path.is_empty() {
        return Cow::Borrowed(b"/");
    }
    // Every `.` or `..` that is a segment follows a slash.
    let dots = path.windows(2).any(|w| w == b"/.");
    if !dots && !path.contains(&b'%') {
        return Cow::Borrowed(path);
    }
    let mut plain = Vec::with_capacity(path.len());
    let mut at = 0;
    while let Some(&byte) = path.get(at) {
        let escaped = (byte == b'%')
            .then(|| Some(hex(*path.get(at + 1)?)? << 4 | hex(*path.get(at + 2)?)?))
            .flatten()
            .filter(|b| is_unreserved(*b));
        plain.push(escaped.unwrap_or(byte));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    let Some(rest) = plain.strip_prefix(b"/") else {
        return Cow::Owned(plain);
    };
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut segments = rest.split(|b| *b == b'/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            b"." | b".." => {
                if segment == b".." {
                    kept.pop();
                }
                // `/a/..` is the directory `/`, so its slash stays.
                if last {
                    kept.push(b"");
                }
            }
            segment => kept.push(segment),
        }
    }
    let mut form = Vec::with_capacity(plain.len());
    for segment in kept {
        form.push(b'/');
        form.extend_from_slice(segment);
    }
    if form.is_empty() {
        form.push(b'/');
    }
    Cow::Owned(form)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_same_thing_has_one_form() {
        let form = |path: &str| String::from_utf8(match_form(path.as_bytes()).into_owned()).unwrap();
        for same in [
            "/admin",
            "/%61dmin",
            "/x/../admin",
            "/./admin",
            "/../admin",
            "/%2e%2E/admin",
            "/a/b/../../admin",
        ] {
            assert_eq!(form(same), "/admin", "{same}");
        }
        assert_eq!(form("/a/.."), "/");
        assert_eq!(form("/a/b/."), "/a/b/");
        assert_eq!(form("*"), "/");
        // These are other things, and stay.
        for other in [
            "/a%2Fb",
            "//a",
            "/a//b",
            "/.well-known",
            "/a/...",
            "/%zz",
            "/%2",
            "/a%20b",
            "/%E4",
        ] {
            assert_eq!(form(other), other);
        }
    }

    proptest! {
        #[test]
        fn the_form_has_no_other_form(path in "/[a%2Ee./~F]{0,24}") {
            let form = match_form(path.as_bytes()).into_owned();
            prop_assert!(form.starts_with(b"/"));
            prop_assert!(!form.split(|b| *b == b'/').any(|s| s == b"." || s == b".."), "{path}");
            // Unescaping happens once, as at whoever serves the path, so the form of a form may differ only by that.
            if !form.contains(&b'%') {
                prop_assert_eq!(match_form(&form).into_owned(), form);
            }
        }

        #[test]
        fn nothing_panics(path in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = match_form(&path);
        }
    }
}
