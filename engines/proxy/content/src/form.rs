//! Forms: `a=1&b=two+words`.

use crate::out::{Full, Out};
use crate::redact::COVER;

/// Text of a form with its escapes taken away; a `%` that begins none stays.
pub(crate) fn unescape(text: &[u8]) -> String {
    let digit = |at: usize| text.get(at).and_then(|b| char::from(*b).to_digit(16));
    let mut plain = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                plain.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                at += 3;
                continue;
            }
            (b'+', ..) => plain.push(b' '),
            _ => plain.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// One line for each field.
pub(crate) fn show(body: &[u8], out: &mut Out<'_>) -> Result<(), Full> {
    for pair in body.split(|b| *b == b'&').filter(|p| !p.is_empty()) {
        let at = pair.iter().position(|b| *b == b'=').unwrap_or(pair.len());
        let name = unescape(pair.get(..at).unwrap_or_default());
        let value = match out.rules.is_key(&name) {
            true => COVER.to_owned(),
            false => unescape(pair.get(at + 1..).unwrap_or_default()),
        };
        out.line(0, &format!("{name} = {value}"))?;
    }
    Ok(())
}
