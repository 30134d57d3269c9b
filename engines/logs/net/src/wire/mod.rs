//! Protobuf messages that others share, written by hand: field numbers and types are the protocol.

pub(crate) mod event;
mod event_convert;

use chrono::{DateTime, Utc};
use prost::Message;

/// `google.protobuf.Timestamp`.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct Timestamp {
    /// Seconds since the epoch.
    #[prost(int64, tag = "1")]
    pub(crate) seconds: i64,
    /// Nanoseconds on top, 0 to 999,999,999.
    #[prost(int32, tag = "2")]
    pub(crate) nanos: i32,
}

impl Timestamp {
    /// A time as nanoseconds since the epoch.
    pub(crate) fn from_nanos(nanos: i64) -> Timestamp {
        const SECOND: i64 = 1_000_000_000;
        Timestamp {
            seconds: nanos.div_euclid(SECOND),
            nanos: i32::try_from(nanos.rem_euclid(SECOND)).unwrap_or_default(),
        }
    }

    /// As a time; `None` if there is no such.
    pub(crate) fn time(self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp(self.seconds, u32::try_from(self.nanos).ok()?)
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(t: DateTime<Utc>) -> Timestamp {
        Timestamp {
            seconds: t.timestamp(),
            nanos: i32::try_from(t.timestamp_subsec_nanos()).unwrap_or(999_999_999),
        }
    }
}
