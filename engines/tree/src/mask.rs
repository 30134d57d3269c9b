//! Lines of configuration files as they may be shown: the values of keys that hold secrets are stars, as many as the value
//! has characters, so that marks below the line stay where they belong.

/// Words in the names of keys whose values are not shown.
const SECRET: [&str; 13] = [
    "password",
    "passwd",
    "passphrase",
    "key_pass",
    "secret",
    "token",
    "api_key",
    "apikey",
    "access_key",
    "credential",
    "authorization",
    "private_key",
    "cookie",
];
/// Whether the values of a key are not shown.
fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase().replace('-', "_");
    let last = key.rsplit('.').next().unwrap_or(&key);
    // Misspelt ones too.
    let near = |s: &str| strsim::osa_distance(last, s) <= s.len() / 4;
    SECRET.iter().any(|s| key.contains(s) || near(s))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// The line with stars for what is secret in it. Escapes, templates and interpolations hide with the rest.
pub(crate) fn masked(line: &str) -> String {
    let chars: Vec<char> = line.chars().collect();
    let mut out = chars.clone();
    let mut at = 0;
    while let Some(c) = chars.get(at) {
        if is_word(*c) {
            let begin = at;
            at += chars.iter().skip(at).take_while(|c| is_word(**c)).count();
            let word: String = chars.iter().skip(begin).take(at - begin).collect();
            let mut next = at;
            // A key may stand in quotes, and blanks around the sign.
            if matches!(chars.get(next), Some('"' | '\'')) {
                next += 1;
            }
            next += blanks(&chars, next);
            if matches!(chars.get(next), Some(':' | '=')) && is_secret(&word) {
                next += 1;
                next += blanks(&chars, next);
                at = hide(&chars, &mut out, next);
            }
        } else if chars.get(at..at + 3) == Some(&[':', '/', '/']) {
            // A name and a password before the host.
            at += 3;
            let rest = chars.iter().skip(at);
            let len = rest
                .take_while(|c| !c.is_whitespace() && !matches!(c, '/' | '"' | '\'' | '?'))
                .count();
            let host = chars.get(at..at + len).unwrap_or_default();
            if let Some(sign) = host.iter().rposition(|c| *c == '@') {
                let from = host
                    .iter()
                    .position(|c| *c == ':')
                    .filter(|i| *i < sign)
                    .map_or(0, |i| i + 1);
                for c in out.iter_mut().skip(at + from).take(sign - from) {
                    *c = '*';
                }
            }
            at += len;
        } else {
            at += 1;
        }
    }
    out.into_iter().collect()
}

fn blanks(chars: &[char], from: usize) -> usize {
    chars.iter().skip(from).take_while(|c| matches!(c, ' ' | '\t')).count()
}

/// Hides the value that begins here; gives where it ends. A list or table is hidden to the end of the line.
fn hide(chars: &[char], out: &mut [char], from: usize) -> usize {
    let (begin, end, next) = match chars.get(from) {
        Some(quote @ ('"' | '\'')) => {
            let mut i = from + 1;
            while let Some(c) = chars.get(i).filter(|c| *c != quote) {
                i += if *c == '\\' && *quote == '"' { 2 } else { 1 };
            }
            (from + 1, i, i + 1)
        }
        Some('[' | '{') => (from, chars.len(), chars.len()),
        _ => {
            let value = chars.iter().skip(from);
            let end = from
                + value
                    .take_while(|c| !matches!(c, ',' | '}' | ']' | '&' | '"' | '\''))
                    .count();
            (from, end, end)
        }
    };
    for c in out.iter_mut().take(end).skip(begin).filter(|c| **c != ' ') {
        *c = '*';
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_stars_and_nothing_else_is() {
        for (line, shown) in [
            (
                "auth: {user: me, pasword: hunter2}",
                "auth: {user: me, pasword: *******}",
            ),
            ("password = \"hun\\\"ter2\" # why", "password = \"*********\" # why"),
            ("  \"api_key\": \"abc\", \"a\": 1", "  \"api_key\": \"***\", \"a\": 1"),
            ("Authorization: Bearer abc", "Authorization: ****** ***"),
            ("tls.key_pass: 'x y'", "tls.key_pass: '* *'"),
            ("token: [a, b]", "token: *** **"),
            (
                "uri: http://me:pw@host/p?api_key=abc&b=c",
                "uri: http://me:**@host/p?api_key=***&b=c",
            ),
            ("uri: https://tok@host", "uri: https://***@host"),
            ("uri: http://host:80/a@b", "uri: http://host:80/a@b"),
            ("key_file: /etc/key.pem", "key_file: /etc/key.pem"),
            ("codec: jsn", "codec: jsn"),
            ("password:", "password:"),
            ("password: \"open", "password: \"****"),
        ] {
            assert_eq!(masked(line), shown);
        }
    }

    proptest::proptest! {
        #[test]
        fn the_width_stays(line in "\\PC{0,80}") {
            proptest::prop_assert_eq!(masked(&line).chars().count(), line.chars().count());
        }
    }
}
