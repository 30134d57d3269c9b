//! What every sink that sends requests shares: events are gathered by key ([`batcher`]), requests are made and sent with
//! retries ([`driver`]), limited in number ([`concurrency`]) and rate ([`rate`]), and failed ones are sent again after a
//! delay ([`backoff`]).

pub mod backoff;
pub(crate) mod batcher;
pub mod concurrency;
pub(crate) mod driver;
pub(crate) mod encoded;
pub(crate) mod rate;

pub(crate) use batcher::Batcher;
pub(crate) use driver::{Driver, Intake, RequestSettings, Service, Verdict};
