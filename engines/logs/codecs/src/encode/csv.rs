//! CSV: the text of some fields, in a fixed order. What is no scalar, and what is missing, is empty.

use csv_core::{WriteResult, Writer, WriterBuilder};
use qd_logs_model::Value;
use vrl::path::{OwnedTargetPath, PathPrefix};

use super::{CsvOptions, QuoteStyle};

/// A writer of records without their ends.
#[derive(Debug)]
pub(super) struct Csv {
    writer: Writer,
    fields: Vec<OwnedTargetPath>,
}

impl Csv {
    /// A writer as configured.
    ///
    /// # Errors
    /// If there are no fields.
    pub(super) fn new(options: &CsvOptions) -> Result<Csv, String> {
        if options.fields.is_empty() {
            return Err("a record needs one field at least".to_owned());
        }
        let style = match options.quote_style {
            QuoteStyle::Always => csv_core::QuoteStyle::Always,
            QuoteStyle::Necessary => csv_core::QuoteStyle::Necessary,
            QuoteStyle::NonNumeric => csv_core::QuoteStyle::NonNumeric,
            QuoteStyle::Never => csv_core::QuoteStyle::Never,
        };
        Ok(Csv {
            writer: WriterBuilder::new()
                .delimiter(options.delimiter)
                .double_quote(options.double_quote)
                .escape(options.escape)
                .quote(options.quote)
                .quote_style(style)
                .build(),
            fields: options.fields.clone(),
        })
    }

    pub(super) fn write(&mut self, event: &Value, out: &mut Vec<u8>) {
        let mut buffer = [0; 512];
        for (i, path) in self.fields.iter().enumerate() {
            if i > 0 {
                drain(&mut buffer, out, |b| self.writer.delimiter(b));
            }
            let value = match path.prefix {
                PathPrefix::Event => event.get(&path.path),
                PathPrefix::Metadata => None,
            };
            let text = match value {
                Some(Value::Object(_) | Value::Array(_) | Value::Null | Value::Regex(_)) | None => Default::default(),
                Some(scalar) => scalar.to_string_lossy(),
            };
            let mut rest = text.as_bytes();
            drain(&mut buffer, out, |b| {
                let (result, read, written) = self.writer.field(rest, b);
                rest = rest.get(read..).unwrap_or_default();
                (result, written)
            });
        }
        drain(&mut buffer, out, |b| self.writer.finish(b));
    }
}

fn drain(buffer: &mut [u8], out: &mut Vec<u8>, mut step: impl FnMut(&mut [u8]) -> (WriteResult, usize)) {
    loop {
        let (result, written) = step(buffer);
        out.extend_from_slice(buffer.get(..written).unwrap_or_default());
        if matches!(result, WriteResult::InputEmpty) {
            return;
        }
    }
}
