//! Plays fuzzer for as long as `QD_FUZZ_SECONDS` says (one second if it says nothing): random and mutated filters.

use std::time::{Duration, Instant};

/// A small xorshift generator: the inputs need variety, not quality.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap_or(0) % bound.max(1)
    }
}

const SEEDS: [&str; 12] = [
    "word \"a phrase\" /regex/i ~fuzzy",
    "field:value path:/api/* a:>=500 took:1ms..2s x:/re/",
    "-term a OR b (c d) NOT e AND f",
    "since:15m until:12:30 sort:-took,n limit:50",
    "size:4k..10MiB level:>=warn j:yes time:2026-11-23T12:00:00Z",
    "((((a OR -(b)))))",
    "\\( \\\" a\\*b \"x\\\\\\\"y\"",
    "http://host/path std::io 12:30 --force -",
    "é:ü..ö /ß+/i ~ñandú \u{3000}x",
    "a:..5 a:5.. a:\"1\"..\"2\" a:... a:../x",
    "n:!=-5 n:<1e3 n:=0x1f n:5*",
    "e:>15m e:yesterday..today e:12:30 e:@1700000000.5",
];

const SPLICES: [&str; 24] = [
    "(",
    ")",
    "\"",
    "/",
    "\\",
    "~",
    "-",
    ":",
    "..",
    "*",
    " OR ",
    " AND ",
    " NOT ",
    " ",
    "since:",
    "limit:",
    "sort:",
    ">=",
    "a:",
    "99999999999999999999",
    "ms",
    "é",
    "\u{0}",
    "\u{2028}",
];

#[test]
fn random_filters_hold_what_filters_promise() {
    let seconds = std::env::var("QD_FUZZ_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(1);
    let seed = std::env::var("QD_FUZZ_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0x9e37_79b9_7f4a_7c15);
    let mut random = Random(seed);
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut count = 0u64;
    // At least one round, however slow the machine.
    while count == 0 || Instant::now() < until {
        for _ in 0..200 {
            let mut input = SEEDS[random.below(SEEDS.len())].as_bytes().to_vec();
            for _ in 0..random.below(12) {
                let at = random.below(input.len() + 1);
                match random.below(6) {
                    0 => drop(input.splice(at..at, SPLICES[random.below(SPLICES.len())].bytes())),
                    1 => drop(input.splice(at..at, SEEDS[random.below(SEEDS.len())].bytes())),
                    2 => input.truncate(at),
                    3 => drop(input.drain(at..(at + random.below(8)).min(input.len()))),
                    4 => input.insert(at, u8::try_from(random.below(256)).unwrap_or(0)),
                    _ => input.extend_from_within(at..),
                }
            }
            let outcome = std::panic::catch_unwind(|| qd_core::fuzz::filter(&input));
            assert!(
                outcome.is_ok(),
                "seed {seed}, input {:?}",
                String::from_utf8_lossy(&input)
            );
            count += 1;
        }
    }
}
