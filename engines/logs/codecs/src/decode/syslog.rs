//! Syslog, RFC 3164 and RFC 5424, told apart by the version number.

use chrono::{DateTime, Datelike, Utc};
use qd_logs_model::{LogSchema, Value};
use syslog_loose::{IncompleteDate, ProcId, Protocol, Variant};
use vrl::{path::OwnedValuePath, value::ObjectMap};

use super::Parsed;

pub(super) fn parse(frame: &[u8], lossy: bool, schema: &LogSchema, out: &mut Parsed) -> Result<(), String> {
    let text = super::text(frame, lossy)?;
    out.log(message(text.trim(), schema)?);
    Ok(())
}

/// December's messages that come in January are of the year before.
fn year((month, ..): IncompleteDate) -> i32 {
    let now = Utc::now();
    now.year() - i32::from(now.month() == 1 && month == 12)
}

fn message(line: &str, schema: &LogSchema) -> Result<Value, String> {
    let m = syslog_loose::parse_message_with_year_exact(line, year, Variant::Either).map_err(|e| e.to_string())?;
    let mut value = Value::Object(ObjectMap::new());
    value.insert(&schema.message_key, Value::from(m.msg));
    if let (Some(path), Some(t)) = (&schema.timestamp_key, m.timestamp) {
        value.insert(path, Value::Timestamp(DateTime::<Utc>::from(t)));
    }
    let mut set = |name: &str, v: Value| {
        value.insert(&OwnedValuePath::single_field(name), v);
    };
    if let Some(host) = m.hostname {
        set("hostname", host.into());
    }
    if let Some(severity) = m.severity {
        set("severity", severity.as_str().into());
    }
    if let Some(facility) = m.facility {
        set("facility", facility.as_str().into());
    }
    if let Protocol::RFC5424(version) = m.protocol {
        set("version", i64::from(version).into());
    }
    if let Some(name) = m.appname {
        set("appname", name.into());
    }
    if let Some(id) = m.msgid {
        set("msgid", id.into());
    }
    match m.procid {
        Some(ProcId::PID(pid)) => set("procid", i64::from(pid).into()),
        Some(ProcId::Name(name)) => set("procid", name.into()),
        None => {}
    }
    for element in &m.structured_data {
        let params: ObjectMap = element
            .params()
            .map(|(name, v)| (name.to_string().into(), Value::from(v)))
            .collect();
        set(element.id, Value::Object(params));
    }
    Ok(value)
}
