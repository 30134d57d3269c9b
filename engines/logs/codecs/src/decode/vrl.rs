//! Decoding by a VRL program. It finds the frame as message; what `.` is at its end is the event, a list is many.

use std::sync::Arc;

use bytes::Bytes;
use qd_logs_model::{BuildError, LogSchema, Value};
use vrl::{
    compiler::{TargetValue, TimeZone, runtime::Runtime},
    diagnostic::Formatter,
    value::{ObjectMap, Secrets},
};

use super::Parsed;

/// A compiled program.
#[derive(Clone)]
pub(super) struct Program {
    program: Arc<vrl::compiler::Program>,
    zone: TimeZone,
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Program")
    }
}

impl Program {
    /// Compiles it.
    ///
    /// # Errors
    /// The compiler's findings, or an unknown time zone.
    pub(super) fn compile(source: &str, timezone: Option<&str>) -> Result<Program, BuildError> {
        let zone = match timezone {
            None => TimeZone::Local,
            Some(name) => TimeZone::parse(name)
                .ok_or_else(|| BuildError::of("decoding.vrl.timezone", format!("unknown time zone `{name}`")))?,
        };
        let compiled = vrl::compiler::compile(source, &vrl::stdlib::all())
            .map_err(|found| BuildError::of("decoding.vrl.source", Formatter::new(source, found).to_string()))?;
        Ok(Program {
            program: Arc::new(compiled.program),
            zone,
        })
    }

    pub(super) fn run(&self, frame: Bytes, schema: &LogSchema, out: &mut Parsed) -> Result<(), String> {
        let mut value = Value::Object(ObjectMap::new());
        value.insert(&schema.message_key, Value::Bytes(frame));
        let mut target = TargetValue {
            value,
            metadata: Value::Object(ObjectMap::new()),
            secrets: Secrets::default(),
        };
        Runtime::default()
            .resolve(&mut target, &self.program, &self.zone)
            .map_err(|e| e.to_string())?;
        let values = match target.value {
            Value::Array(values) => values,
            one => vec![one],
        };
        for value in values {
            out.log(match value {
                Value::Object(_) => value,
                other => {
                    let mut value = Value::Object(ObjectMap::new());
                    value.insert(&schema.message_key, other);
                    value
                }
            });
        }
        Ok(())
    }
}
