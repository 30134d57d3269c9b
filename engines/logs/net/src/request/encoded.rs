//! Entries that are bytes: events encoded one by one.

use bytes::Bytes;
use qd_logs_codecs::{Encoder, EventRef, RenderError};
use qd_logs_model::Batch;

use super::driver::Report;

/// Where event `i` of a batch lies in the block of all its encoded events.
pub(crate) struct EncodedEvents {
    block: Bytes,
    ends: Vec<(usize, usize)>,
}

impl EncodedEvents {
    /// Encodes the events of a batch; those that can't be are reported and left out.
    pub(crate) fn of(encoder: &mut Encoder, batch: &Batch, report: &Report) -> Self {
        let mut out = Vec::with_capacity(batch.size());
        let mut ends = Vec::with_capacity(batch.len());
        let encoded = encoder.serialize_batch(batch, &mut out, |i, end| ends.push((i, end)));
        if let Some((_, first)) = encoded.failed.first() {
            let n = encoded.failed.len();
            if let Batch::Logs(logs) = batch {
                let event = |(i, _): &(usize, _)| serde_json::to_vec(&logs.value(*i)).unwrap_or_default();
                let events: Vec<Vec<u8>> = encoded.failed.iter().map(event).collect();
                report.dead.keep(&first.to_string(), events.iter().map(|e| &**e));
            }
            report.refuse(batch.finalizers(), n, "encoder_failed", || {
                format!("{n} events could not be encoded and are dropped: {first}")
            });
        }
        EncodedEvents {
            block: Bytes::from(out),
            ends,
        }
    }

    /// The events' indices in the batch and their bytes.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, Bytes)> + '_ {
        let mut start = 0;
        self.ends.iter().map(move |(i, end)| {
            let bytes = self.block.slice(start..*end);
            start = *end;
            (*i, bytes)
        })
    }
}

/// Renders keys of events; an event whose key can't be rendered is reported and left out.
pub(crate) fn rendered<T>(
    batch: &Batch,
    i: usize,
    report: &Report,
    render: impl FnOnce(EventRef<'_>) -> Result<T, RenderError>,
) -> Option<T> {
    let event = EventRef::of(batch, i)?;
    match render(event) {
        Ok(key) => Some(key),
        Err(error) => {
            report.refuse(batch.finalizers(), 1, "template_failed", || {
                format!("an event is dropped, a template can't be rendered: {error}")
            });
            None
        }
    }
}
