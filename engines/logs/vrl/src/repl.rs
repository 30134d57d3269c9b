//! The read–eval–print loop of `qd logs vrl`, without the terminal.

use qd_logs_model::{LogEvent, Value};
use vrl::compiler::{CompileConfig, TypeState, runtime::Runtime};

use crate::{CompileError, Program, functions, target::LogTarget};

/// Evaluates lines of VRL; variables and `.` live from line to line.
pub struct Repl {
    event: LogEvent,
    runtime: Runtime,
    state: TypeState,
    zone: Option<String>,
}

impl Default for Repl {
    fn default() -> Self {
        Repl::new(Value::Object(Default::default()), None)
    }
}

impl Repl {
    /// A loop with this value as `.`; `timezone` is that of times without one.
    pub fn new(object: Value, timezone: Option<String>) -> Repl {
        Repl {
            event: LogEvent::new(object),
            runtime: Runtime::default(),
            state: TypeState::default(),
            zone: timezone,
        }
    }

    /// What `.` is now.
    pub fn object(&self) -> &Value {
        &self.event.value
    }

    /// The names of functions that begin so, for completion; all with an empty beginning.
    pub fn functions(beginning: &str) -> Vec<&'static str> {
        let mut names: Vec<_> = functions::all()
            .iter()
            .map(|f| f.identifier())
            .filter(|n| n.starts_with(beginning))
            .collect();
        names.sort_unstable();
        names
    }

    /// Evaluates one line (or several that belong together) and gives what to show: the value in VRL's notation, or the
    /// compiler's or the program's error. An empty line gives nothing.
    pub fn eval(&mut self, line: &str) -> String {
        match self.value(line) {
            Ok(None) => String::new(),
            Ok(Some(v)) => v.to_string(),
            Err(e) => e,
        }
    }

    fn value(&mut self, line: &str) -> Result<Option<Value>, String> {
        if line.trim().is_empty() {
            return Ok(None);
        }
        let config = || {
            let mut config = CompileConfig::default();
            config.disable_unused_expression_check();
            config.set_custom(crate::enrichment::current());
            config
        };
        let program = Program::with(line, self.zone.as_deref(), &self.state, &config).map_err(|CompileError(e)| e)?;
        let result = program.resolve(&mut self.runtime, &mut LogTarget(&mut self.event));
        // What was assigned before an error is there, and is known to be.
        self.state = program.inner().final_type_info().state;
        result.map(Some).map_err(|e| e.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_lives_on() {
        let mut r = Repl::default();
        assert_eq!(r.eval(".a = 1"), "1");
        assert_eq!(r.eval("x = int!(.a) + 1"), "2");
        assert_eq!(r.eval("x * 2"), "4");
        assert_eq!(r.eval("."), r#"{ "a": 1 }"#);
        assert_eq!(r.eval("  "), "");
        assert!(r.eval("y").contains("undefined variable"));
        assert!(r.eval("parse_json!(s'{')").contains("unable to parse json"));
        assert_eq!(r.eval("x"), "2");
    }

    #[test]
    fn completes() {
        assert!(Repl::functions("parse_js").contains(&"parse_json"));
    }
}
