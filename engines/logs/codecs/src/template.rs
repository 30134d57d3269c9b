//! Templates: text with references to an event's fields and with strftime specifiers.
//!
//! `{{ path }}` is replaced by the field's text, everything else goes through strftime with the event's time (the field
//! at `log_schema.timestamp_key`; the present if the event has none). A metric's fields are `name`, `namespace` and
//! `tags.<name>`.

use std::{borrow::Cow, fmt, sync::Arc};

use chrono::{
    DateTime, FixedOffset, Offset, Utc,
    format::{Item, Numeric, StrftimeItems},
};
use parking_lot::Mutex;
use qd_logs_model::{Batch, Lines, LogBatch, LogSchema, Metric, Rows, TagValue, Value};
use serde::{Deserialize, Deserializer, de::Error as _};
use vrl::{
    compiler::TimeZone,
    path::{OwnedSegment, OwnedTargetPath, OwnedValuePath, PathPrefix, parse_target_path},
};

use crate::confine::{Confinement, ConfinementError};

/// A text that is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A specifier strftime does not know.
    #[error("invalid strftime specifier in `{0}`")]
    Strftime(String),
    /// A reference that is no path.
    #[error("invalid field reference `{{{{ {0} }}}}`")]
    Path(String),
    /// A constant that should have been a number.
    #[error("`{0}` is not a whole number that is zero or more")]
    Number(String),
}

/// A template that could not be rendered with an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The event has not all the fields.
    #[error("the event has no field {}", .0.iter().map(|f| format!("`{f}`")).collect::<Vec<_>>().join(", "))]
    Missing(Vec<String>),
    /// The event's fields lead out of where the template may lead.
    #[error(transparent)]
    Confined(#[from] crate::confine::ConfineError),
    /// The rendered text should have been a number.
    #[error("`{0}` is not a whole number that is zero or more")]
    Number(String),
}

/// An event, in whatever form it is.
#[derive(Debug, Clone, Copy)]
pub enum EventRef<'a> {
    /// One event of a batch of logs or traces.
    Row(&'a LogBatch, usize),
    /// A log event as value.
    Value(&'a Value),
    /// A metric.
    Metric(&'a Metric),
}

impl<'a> EventRef<'a> {
    /// Event `i` of a batch; `None` beyond the end.
    pub fn of(batch: &'a Batch, i: usize) -> Option<EventRef<'a>> {
        match batch {
            Batch::Logs(b) => (i < b.len()).then_some(EventRef::Row(b, i)),
            Batch::Metrics(b) => b.metrics.get(i).map(EventRef::Metric),
        }
    }

    /// A field's text; `None` if there is no such field.
    pub fn text(&self, path: &OwnedTargetPath) -> Option<Cow<'a, str>> {
        self.with(path, |v| v.to_string_lossy().into_owned())
    }

    /// A copy of a field; `None` if there is no such field. Metrics have none.
    pub fn field(&self, path: &OwnedTargetPath) -> Option<Value> {
        match *self {
            EventRef::Value(v) if path.prefix == PathPrefix::Event => v.get(&path.path).cloned(),
            EventRef::Value(_) | EventRef::Metric(_) => None,
            EventRef::Row(batch, i) => match (&batch.rows, path.prefix) {
                (Rows::Events(events), PathPrefix::Event) => events.get(i)?.value.get(&path.path).cloned(),
                (Rows::Events(events), PathPrefix::Metadata) => {
                    events.get(i)?.metadata.value()?.get(&path.path).cloned()
                }
                (Rows::Lines(lines), PathPrefix::Event) => match line_field(lines, i, &path.path) {
                    LineField::Text(t) => Some(Value::Bytes(lines.block.slice_ref(t))),
                    LineField::Time(t) => Some(Value::Timestamp(t)),
                    LineField::Constant(v) => Some(v.clone()),
                    LineField::Absent => None,
                    LineField::Unknown => lines.value(i).get(&path.path).cloned(),
                },
                (Rows::Docs(docs), PathPrefix::Event) => match path.path.segments.as_slice() {
                    [OwnedSegment::Field(key)] => docs.field(i, key),
                    [OwnedSegment::Field(key), ..] => {
                        let rest = OwnedValuePath::from(path.path.segments.get(1..).unwrap_or_default().to_vec());
                        docs.field(i, key)?.get(&rest).cloned()
                    }
                    _ => docs.value(i).get(&path.path).cloned(),
                },
                (_, PathPrefix::Metadata) => None,
            },
        }
    }

    fn with(&self, path: &OwnedTargetPath, text: impl Fn(&Value) -> String) -> Option<Cow<'a, str>> {
        match *self {
            EventRef::Value(v) if path.prefix == PathPrefix::Event => v.get(&path.path).map(|v| Cow::Owned(text(v))),
            EventRef::Row(batch, i) => match &batch.rows {
                Rows::Lines(lines) if path.prefix == PathPrefix::Event => match line_field(lines, i, &path.path) {
                    LineField::Text(t) => Some(String::from_utf8_lossy(t)),
                    LineField::Constant(v) => Some(v.to_string_lossy()),
                    LineField::Time(t) => Some(Cow::Owned(text(&Value::Timestamp(t)))),
                    LineField::Absent => None,
                    LineField::Unknown => lines.value(i).get(&path.path).map(|v| Cow::Owned(text(v))),
                },
                Rows::Events(events) => match path.prefix {
                    PathPrefix::Event => events.get(i)?.value.get(&path.path).map(Value::to_string_lossy),
                    PathPrefix::Metadata => events
                        .get(i)?
                        .metadata
                        .value()?
                        .get(&path.path)
                        .map(Value::to_string_lossy),
                },
                _ => self.field(path).map(|v| Cow::Owned(text(&v))),
            },
            EventRef::Value(_) | EventRef::Metric(_) => None,
        }
    }

    fn time(&self, timestamp: Option<&OwnedTargetPath>) -> Option<DateTime<Utc>> {
        match self {
            EventRef::Metric(m) => m.timestamp,
            _ => self.field(timestamp?)?.as_timestamp().copied(),
        }
    }
}

enum LineField<'a> {
    Text(&'a [u8]),
    Time(DateTime<Utc>),
    Constant(&'a Value),
    Absent,
    Unknown,
}

/// A field of a line without making its value. The origin's later paths overwrite its earlier ones.
fn line_field<'a>(lines: &'a Lines, i: usize, path: &OwnedValuePath) -> LineField<'a> {
    let o = &lines.origin;
    let [segment] = path.segments.as_slice() else {
        return LineField::Unknown;
    };
    let begins = |p: &OwnedValuePath| p.segments.first() == Some(segment);
    if let Some((p, v)) = o.fields.iter().rev().find(|(p, _)| begins(p)) {
        return if p == path {
            LineField::Constant(v)
        } else {
            LineField::Unknown
        };
    }
    if o.offset.as_ref().is_some_and(begins) {
        return LineField::Unknown;
    }
    if let Some(p) = o.timestamp.as_ref().filter(|p| begins(p)) {
        return if p == path {
            LineField::Time(lines.read_at)
        } else {
            LineField::Unknown
        };
    }
    match begins(&o.message) {
        true if o.message == *path => LineField::Text(lines.text(i)),
        true => LineField::Unknown,
        false => LineField::Absent,
    }
}

#[derive(Clone)]
enum Part {
    Literal(String),
    Time(Strftime),
    Field(String, OwnedTargetPath),
}

/// A strftime format, and what it gave last: events that come together mostly share their second.
#[derive(Clone)]
struct Strftime {
    items: Arc<[Item<'static>]>,
    /// Whether nothing finer than a second is in it.
    coarse: bool,
    last: Arc<Mutex<Option<(i64, String)>>>,
}

impl Strftime {
    fn write(&self, time: DateTime<Utc>, offset: Option<FixedOffset>, out: &mut String) {
        use fmt::Write;
        let mut last = self.last.lock();
        if let Some((second, text)) = last.as_ref()
            && self.coarse
            && *second == time.timestamp()
        {
            out.push_str(text);
            return;
        }
        let mut text = String::new();
        let zone = offset.unwrap_or_else(|| Utc.fix());
        // Items that strftime cannot write have been refused when the template was read; a failure leaves them out.
        let _written = write!(
            text,
            "{}",
            time.with_timezone(&zone).format_with_items(self.items.iter())
        );
        out.push_str(&text);
        *last = Some((time.timestamp(), text));
    }
}

/// Text with fields and times in it.
#[derive(Clone)]
pub struct Template {
    source: String,
    parts: Vec<Part>,
    offset: Option<FixedOffset>,
    timestamp: Option<OwnedTargetPath>,
    confinement: Option<Confinement>,
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Template({:?})", self.source)
    }
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
            && self.offset == other.offset
            && self.timestamp == other.timestamp
            && self.confinement == other.confinement
    }
}

impl Eq for Template {}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Template::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl TryFrom<&str> for Template {
    type Error = TemplateError;

    fn try_from(source: &str) -> Result<Self, Self::Error> {
        Template::parse(source)
    }
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// [`TemplateError`]: a bad specifier or a bad path.
    pub fn parse(source: &str) -> Result<Template, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = source;
        while let Some((start, inner, end)) = reference(rest) {
            if let Some(before) = rest.get(..start).filter(|s| !s.is_empty()) {
                parts.push(literal(before)?);
            }
            let path = inner.trim();
            let parsed = parse_target_path(path).map_err(|_| TemplateError::Path(path.to_owned()))?;
            parts.push(Part::Field(path.to_owned(), parsed));
            rest = rest.get(end..).unwrap_or_default();
        }
        if !rest.is_empty() {
            parts.push(literal(rest)?);
        }
        Ok(Template {
            source: source.to_owned(),
            parts,
            offset: None,
            timestamp: Some(OwnedTargetPath::event(OwnedValuePath::single_field("timestamp"))),
            confinement: None,
        })
    }

    /// The same with the paths of this schema: where an event's time is.
    pub fn with_schema(mut self, schema: &LogSchema) -> Template {
        self.timestamp = schema.timestamp_key.clone().map(OwnedTargetPath::event);
        self
    }

    /// The same with times shown at this offset from UTC, see [`timezone_offset`]; `None` is UTC.
    pub fn with_offset(mut self, offset: Option<FixedOffset>) -> Template {
        self.offset = offset;
        for part in &mut self.parts {
            if let Part::Time(t) = part {
                t.last = Arc::default();
            }
        }
        self
    }

    /// The same, but what it renders stays below its constant beginning: never another prefix, another host, or a way
    /// up by `..`. A template without fields is not confined.
    ///
    /// # Errors
    /// If there is no constant beginning to stay below.
    pub fn confined(mut self) -> Result<Template, ConfinementError> {
        self.confinement = Confinement::of(&self)?;
        Ok(self)
    }

    /// The text it was read from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it always renders the same.
    pub fn is_static(&self) -> bool {
        matches!(self.parts.as_slice(), [] | [Part::Literal(_)])
    }

    /// Whether it has references to fields.
    pub fn has_fields(&self) -> bool {
        self.parts.iter().any(|p| matches!(p, Part::Field(..)))
    }

    /// The fields it refers to, as they are written.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|p| match p {
            Part::Field(name, _) => Some(name.as_str()),
            _ => None,
        })
    }

    /// What every rendered text begins with: all before the first reference or specifier.
    pub fn literal_prefix(&self) -> &str {
        let s = &self.source;
        let end = [s.find("{{"), s.find('%')].into_iter().flatten().min();
        s.get(..end.unwrap_or(s.len())).unwrap_or_default()
    }

    /// Renders it with an event.
    ///
    /// # Errors
    /// [`RenderError`]: the fields that are missing, or where the rendered text would lead.
    pub fn render(&self, event: EventRef<'_>) -> Result<String, RenderError> {
        let mut out = String::new();
        self.render_into(event, &mut out)?;
        Ok(out)
    }

    /// Renders it with an event at the end of `out`, which on error may hold a part of it.
    ///
    /// # Errors
    /// [`RenderError`]: the fields that are missing, or where the rendered text would lead.
    pub fn render_into(&self, event: EventRef<'_>, out: &mut String) -> Result<(), RenderError> {
        if self.is_static() {
            out.push_str(&self.source);
            return Ok(());
        }
        let start = out.len();
        let mut missing = Vec::new();
        let mut now = None;
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Time(strftime) => {
                    let time = *now.get_or_insert_with(|| event.time(self.timestamp.as_ref()).unwrap_or_else(Utc::now));
                    strftime.write(time, self.offset, out);
                }
                Part::Field(name, path) => {
                    let text = match event {
                        EventRef::Metric(m) => metric_field(m, name),
                        _ => event.text(path),
                    };
                    match text {
                        Some(text) => out.push_str(&text),
                        None => missing.push(name.clone()),
                    }
                }
            }
        }
        if !missing.is_empty() {
            return Err(RenderError::Missing(missing));
        }
        if let Some(c) = &self.confinement {
            c.check(out.get(start..).unwrap_or_default())?;
        }
        Ok(())
    }
}

/// The first `{{ … }}`: where it begins, what is inside, where it ends. What is inside has no brace that closes.
fn reference(s: &str) -> Option<(usize, &str, usize)> {
    let mut from = 0;
    loop {
        let start = from + s.get(from..)?.find("{{")?;
        let inner = s.get(start + 2..)?;
        let close = inner.find('}')?;
        if close > 0 && inner.get(close..)?.starts_with("}}") {
            return Some((start, inner.get(..close)?, start + 2 + close + 2));
        }
        from = start + 1;
    }
}

fn literal(s: &str) -> Result<Part, TemplateError> {
    let items = StrftimeItems::new(s)
        .parse_to_owned()
        .map_err(|_| TemplateError::Strftime(s.to_owned()))?;
    let dynamic = |i: &Item<'_>| matches!(i, Item::Numeric(..) | Item::Fixed(_));
    if !items.iter().any(dynamic) {
        return Ok(Part::Literal(s.to_owned()));
    }
    let fine = |i: &Item<'_>| {
        use chrono::format::Fixed;
        match i {
            Item::Numeric(n, _) => matches!(n, Numeric::Nanosecond),
            Item::Fixed(f) => !matches!(
                f,
                Fixed::ShortMonthName
                    | Fixed::LongMonthName
                    | Fixed::ShortWeekdayName
                    | Fixed::LongWeekdayName
                    | Fixed::LowerAmPm
                    | Fixed::UpperAmPm
                    | Fixed::TimezoneName
                    | Fixed::TimezoneOffset
                    | Fixed::TimezoneOffsetColon
                    | Fixed::TimezoneOffsetZ
                    | Fixed::TimezoneOffsetColonZ
                    | Fixed::RFC2822
            ),
            _ => false,
        }
    };
    let coarse = !items.iter().any(fine);
    Ok(Part::Time(Strftime {
        items: items.into(),
        coarse,
        last: Arc::default(),
    }))
}

fn metric_field<'a>(m: &'a Metric, name: &str) -> Option<Cow<'a, str>> {
    match name {
        "name" => Some(Cow::Borrowed(&m.name)),
        "namespace" => m.namespace.as_deref().map(Cow::Borrowed),
        _ => match m.tags.get(name.strip_prefix("tags.")?)? {
            TagValue::One(v) => Some(Cow::Borrowed(v)),
            TagValue::Many(values) => values.iter().rev().flatten().next().map(|v| Cow::Borrowed(v.as_str())),
            TagValue::Bare => None,
        },
    }
}

/// The offset from UTC that a time zone has now: `local` or a name of the IANA database. `None` for a name that is not
/// known. (Vector takes the offset once, when a sink starts.)
pub fn timezone_offset(name: &str) -> Option<FixedOffset> {
    let now = Utc::now();
    Some(match TimeZone::parse(name)? {
        TimeZone::Local => now.with_timezone(&chrono::Local).offset().fix(),
        TimeZone::Named(tz) => now.with_timezone(&tz).offset().fix(),
    })
}

/// A template for a whole number, or the number itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnsignedIntTemplate {
    /// Always this.
    Number(u64),
    /// What the template renders to.
    Template(Template),
}

impl UnsignedIntTemplate {
    /// Reads one from text.
    ///
    /// # Errors
    /// [`TemplateError`]: no template, or a constant that is no number.
    pub fn parse(source: &str) -> Result<UnsignedIntTemplate, TemplateError> {
        let t = Template::parse(source)?;
        if t.is_static() {
            return source
                .parse()
                .map(UnsignedIntTemplate::Number)
                .map_err(|_| TemplateError::Number(source.to_owned()));
        }
        Ok(UnsignedIntTemplate::Template(t))
    }

    /// The number for an event.
    ///
    /// # Errors
    /// [`RenderError`]: missing fields, or text that is no number.
    pub fn render(&self, event: EventRef<'_>) -> Result<u64, RenderError> {
        match self {
            UnsignedIntTemplate::Number(n) => Ok(*n),
            UnsignedIntTemplate::Template(t) => {
                let text = t.render(event)?;
                text.parse().map_err(|_| RenderError::Number(text))
            }
        }
    }
}

impl<'de> Deserialize<'de> for UnsignedIntTemplate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let node = qd_logs_config::Node::deserialize(deserializer)?;
        match &node.value {
            qd_logs_config::NodeValue::Int(i) => u64::try_from(*i)
                .map(UnsignedIntTemplate::Number)
                .map_err(|_| D::Error::custom("expected a whole number that is zero or more")),
            qd_logs_config::NodeValue::String(s) => UnsignedIntTemplate::parse(s).map_err(D::Error::custom),
            _ => Err(D::Error::custom(format!(
                "expected a whole number or a template, found {}",
                node.kind()
            ))),
        }
    }
}
