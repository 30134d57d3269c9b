//! What every sink that sends requests shares: how many are on their way at once ([`concurrency`]), and when a failed one
//! is sent again ([`backoff`]).

pub mod backoff;
pub mod concurrency;
