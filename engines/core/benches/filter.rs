//! Benchmarks of the filter language.
fn main() {}
