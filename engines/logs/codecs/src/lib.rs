//! Framing, decoding, encoding and compression of events.
