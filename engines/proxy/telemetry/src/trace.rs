//! The trace context of the W3C: `traceparent` and `tracestate`.

use std::fmt;

/// Bytes of a `tracestate` that are passed on; longer ones are dropped, as the recommendation allows.
pub const MAX_STATE: usize = 512;

/// One span of a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace; never all zero.
    pub trace: [u8; 16],
    /// The span: of the caller when it was read, our own when it is sent. Never all zero.
    pub span: [u8; 8],
    /// Whether the caller records it.
    pub sampled: bool,
    /// What other vendors keep in it, as it came.
    pub state: Option<String>,
}

/// Lower-case hex digits as bytes; `None` for anything else.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    if text.len() != N * 2 {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

impl TraceContext {
    /// Reads the headers of a request. `None` when there is no `traceparent` or a broken one: a new trace begins then, and a
    /// `tracestate` without its parent is dropped.
    pub fn parse(parent: &[u8], state: Option<&[u8]>) -> Option<TraceContext> {
        let parent = parent.trim_ascii();
        let mut parts = parent.splitn(5, |b| *b == b'-');
        let version: [u8; 1] = hex(parts.next()?)?;
        let trace: [u8; 16] = hex(parts.next()?)?;
        let span: [u8; 8] = hex(parts.next()?)?;
        let flags: [u8; 1] = hex(parts.next()?)?;
        // Version 0 ends here; later ones may go on; 255 is none.
        let more = parts.next().is_some();
        if version == [0xff] || version == [0] && more || trace == [0; 16] || span == [0; 8] {
            return None;
        }
        let state = state
            .map(<[u8]>::trim_ascii)
            .filter(|s| !s.is_empty() && s.len() <= MAX_STATE && s.iter().all(|b| (b' '..0x7f).contains(b)))
            .map(|s| String::from_utf8_lossy(s).into_owned());
        Some(TraceContext {
            trace,
            span,
            sampled: flags.first().is_some_and(|f| f & 1 == 1),
            state,
        })
    }

    /// A new trace; `chance` gives random numbers.
    pub fn new(sampled: bool, mut chance: impl FnMut() -> u64) -> TraceContext {
        let mut trace = [0; 16];
        let (high, low) = (chance(), chance().max(1));
        trace
            .iter_mut()
            .zip(high.to_be_bytes().into_iter().chain(low.to_be_bytes()))
            .for_each(|(b, n)| *b = n);
        TraceContext {
            trace,
            span: chance().max(1).to_be_bytes(),
            sampled,
            state: None,
        }
    }

    /// A span of our own in the same trace: what is sent on.
    #[must_use]
    pub fn child(&self, mut chance: impl FnMut() -> u64) -> TraceContext {
        TraceContext {
            span: chance().max(1).to_be_bytes(),
            ..self.clone()
        }
    }
}

impl fmt::Display for TraceContext {
    /// The value of `traceparent`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("00-")?;
        self.trace.iter().try_for_each(|b| write!(f, "{b:02x}"))?;
        f.write_str("-")?;
        self.span.iter().try_for_each(|b| write!(f, "{b:02x}"))?;
        write!(f, "-{:02x}", u8::from(self.sampled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn the_header_is_read_and_written() {
        let context = TraceContext::parse(PARENT.as_bytes(), Some(b"a=1,b=2")).unwrap();
        assert_eq!(context.to_string(), PARENT);
        assert_eq!((context.sampled, context.state.as_deref()), (true, Some("a=1,b=2")));
        let child = context.child(|| 7);
        assert_eq!((child.trace, child.span[7]), (context.trace, 7));
        assert_eq!(child.state, context.state);
        // A later version may say more; what we know of it is taken.
        assert!(TraceContext::parse(PARENT.replacen("00", "cc", 1).as_bytes(), None).is_some());
        assert!(TraceContext::parse(format!("{}-x", PARENT.replacen("00", "cc", 1)).as_bytes(), None).is_some());
    }

    #[test]
    fn broken_ones_begin_a_new_trace() {
        let cases = [
            "".to_owned(),
            PARENT.to_uppercase(),
            format!("{PARENT}-x"),
            PARENT.replacen("00", "ff", 1),
            "00-00000000000000000000000000000000-b7ad6b7169203331-01".to_owned(),
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01".to_owned(),
            PARENT.replace("-01", "-1"),
            PARENT.replace('-', "_"),
        ];
        for case in cases {
            assert_eq!(TraceContext::parse(case.as_bytes(), None), None, "{case}");
        }
        let long = "a".repeat(MAX_STATE + 1);
        assert_eq!(
            TraceContext::parse(PARENT.as_bytes(), Some(long.as_bytes()))
                .unwrap()
                .state,
            None
        );
        assert_eq!(
            TraceContext::parse(PARENT.as_bytes(), Some(b"a=\x01")).unwrap().state,
            None
        );
    }

    proptest! {
        #[test]
        fn nothing_panics_and_what_is_made_is_read(bytes in prop::collection::vec(any::<u8>(), 0..70), seed in any::<u64>()) {
            let _ = TraceContext::parse(&bytes, Some(&bytes));
            let made = TraceContext::new(seed % 2 == 0, || seed);
            prop_assert_eq!(TraceContext::parse(made.to_string().as_bytes(), None), Some(made));
        }
    }
}
