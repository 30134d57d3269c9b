//! Programs that an older VRL took.

#![allow(clippy::panic, clippy::expect_used, clippy::unwrap_used, reason = "a test may panic")]

use qd_logs_model::{LogEvent, Value};
use qd_logs_vrl::{Program, program::Options};

const TIME: &str = "2026-11-01T00:00:00.123456789Z";

fn event() -> LogEvent {
    LogEvent::new(Value::from(
        serde_json::json!({"time": TIME, "year": "0001-01-01T00:00:00Z"}),
    ))
}

fn compiled(source: &str) -> Program {
    Program::compile(source, &Options::default()).unwrap()
}

#[test]
fn nanoseconds_need_no_handling_of_errors() {
    let program = compiled(r#".nanos = to_unix_timestamp(parse_timestamp!(.time, "%+"), unit: "nanoseconds")"#);
    assert!(program.warnings().unwrap().contains("since VRL 0.38"));
    let mut event = event();
    program.run(&mut event).unwrap();
    let nanos = event.value.as_object().unwrap().get("nanos").unwrap();
    assert_eq!(nanos, &Value::from(1_793_491_200_123_456_789_i64));
}

#[test]
fn a_time_without_such_a_number_ends_the_program() {
    let program = compiled(r#".nanos = to_unix_timestamp(parse_timestamp!(.year, "%+"), unit: "nanoseconds")"#);
    let mut event = event();
    let error = program.run(&mut event).unwrap_err();
    assert!(!error.aborted, "{error}");
}

#[test]
fn what_this_vrl_takes_is_taken_as_it_says() {
    for source in [
        r#".nanos = to_unix_timestamp!(parse_timestamp!(.time, "%+"), unit: "nanoseconds")"#,
        r#".nanos, .err = to_unix_timestamp(parse_timestamp!(.time, "%+"), unit: "nanoseconds")"#,
        r#".s = to_unix_timestamp(parse_timestamp!(.time, "%+"))"#,
    ] {
        assert_eq!(compiled(source).warnings(), None, "{source}");
    }
    // Other faults are told as they are.
    let fault = Program::compile(".x = to_unix_timestamp(.time) + nosuch()", &Options::default()).unwrap_err();
    assert!(fault.to_string().contains("nosuch"), "{fault}");
}
