//! What is easily skipped in a proxy, over raw sockets, as the server of a client and as the client of an upstream.
//!
//! The modules follow the twelve groups of cases: hop-by-hop headers, framing, bodies, trailers and streams, truncation, tunnels,
//! time, limits, pools, headers, addresses, numbers. Both ends are played by the test, byte by byte where that matters; no
//! test waits for a time to pass but for something to happen, and every wait gives up after a while.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod addresses;
mod balance;
mod bodies;
mod framing;
mod h2_client;
mod h2_server;
mod harness;
mod headers;
mod hold;
mod hop;
mod limits;
mod modes;
mod policies;
mod pool;
mod process;
mod swap;
mod switches;
mod tap;
mod telling;
mod times;
mod tls;
mod trailers;
mod truncation;
mod tunnels;
