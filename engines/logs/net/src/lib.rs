//! Sources and sinks on the network, and what they share: requests, batches, retries, concurrency.
//!
//! Every sink that sends requests has the same course, [`request`]: its events are encoded and gathered by a key (an
//! address, an object's prefix, a table), a request is made of them, and it is sent until the receiver has the events,
//! refuses them or the retries run out; only then whoever waits for the events hears of them. Keys, defaults and names
//! are those of Vector 0.58.

mod grpc;
mod http;
pub mod request;
mod server;
mod sinks;
mod sources;
mod wire;

use qd_logs_model::Catalog;

/// Every component of this crate.
pub fn catalog() -> Catalog {
    Catalog {
        sources: sources::entries(),
        transforms: Vec::new(),
        sinks: sinks::entries(),
    }
}
