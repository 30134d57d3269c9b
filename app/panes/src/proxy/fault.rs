//! A fault as it is typed: what happens, to how many, for how long, to which requests.

use std::time::Duration;

use qd_core::filter::Filter;
use qd_proxy::policy::{Fault, FaultAction};

/// How long a fault lasts when nothing is said.
const LIFE: Duration = Duration::from_secs(60);

/// Reads `delay 200ms 50% for 30s path:/api/*`.
///
/// # Errors
/// What is missing or is none, in a sentence.
pub(super) fn parse(text: &str) -> Result<Fault, String> {
    let mut words = text.split_whitespace().peekable();
    let value = |what: &str, words: &mut dyn Iterator<Item = &str>| {
        words
            .next()
            .map(str::to_owned)
            .ok_or_else(|| format!("{what} is missing"))
    };
    let action = match words.next() {
        Some("delay") => {
            let time = value("how long the delay is, such as 200ms,", &mut words)?;
            FaultAction::Delay(qd_core::units::parse_duration(&time).map_err(|e| format!("{time}: {e}"))?)
        }
        Some("abort") => {
            let status = value("the status, such as 503,", &mut words)?;
            let number = status.parse();
            FaultAction::Abort(number.map_err(|_| format!("`{status}` is no status; a number from 200 to 599 is"))?)
        }
        Some("reset") => FaultAction::Reset,
        Some(other) => return Err(format!("`{other}` is no fault: delay 200ms, abort 503 or reset")),
        None => return Err("what shall happen: delay 200ms, abort 503 or reset".to_owned()),
    };
    let mut fault = Fault {
        action,
        percent: 100.0,
        route: None,
        filter: Filter::default(),
        life: LIFE,
    };
    let mut rest = Vec::new();
    while let Some(word) = words.next() {
        if word == "for" && rest.is_empty() {
            let time = value("how long the fault lasts, such as 30s,", &mut words)?;
            fault.life = qd_core::units::parse_duration(&time).map_err(|e| format!("{time}: {e}"))?;
        } else if let Some(percent) = word.strip_suffix('%').filter(|_| rest.is_empty()) {
            let number = percent.parse::<f64>().ok().filter(|n| (0.0..=100.0).contains(n));
            fault.percent = number.ok_or_else(|| format!("`{word}` is no percentage"))?;
        } else {
            rest.push(word);
        }
    }
    if !rest.is_empty() {
        let made = qd_proxy::telemetry::filter(&rest.join(" "), &super::now());
        fault.filter = made.map_err(|all| all.first().map(ToString::to_string).unwrap_or_default())?;
    }
    Ok(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_read() {
        let f = parse("abort 503 50% for 30s path:/api/*").unwrap();
        assert_eq!(
            (f.action, f.percent, f.life),
            (FaultAction::Abort(503), 50.0, Duration::from_secs(30))
        );
        let f = parse("delay 200ms").unwrap();
        assert_eq!(
            (f.action, f.percent, f.life),
            (FaultAction::Delay(Duration::from_millis(200)), 100.0, LIFE)
        );
        assert_eq!(parse("reset for 5s").unwrap().life, Duration::from_secs(5));
        for bad in [
            "",
            "explode",
            "abort",
            "abort x",
            "delay soon",
            "reset 101%",
            "reset for",
            "reset status:abc",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
