//! Sources and sinks on the network, and what they share: requests, batches, retries, concurrency.

pub mod request;
