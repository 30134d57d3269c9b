//! What a replicated store speaks of: keys, timestamps, regions, and what is written in a Raft entry, as bytes.
//!
//! Everything here is a value. Nothing reads a file, a socket or a clock, and nothing knows Raft. Every decoder takes bytes
//! that somebody else may have written: it is bounded by what it is given and answers with [`CodecError`], never a panic.

mod codec;
mod command;
mod key;
mod log;
mod mem;
mod read;
mod region;
mod ts;

pub use codec::{CodecError, Reader, Writer};
pub use command::{Admin, Command, Modify, NewRegion, Payload};
pub use key::{KeyError, decode_bytes, encode_bytes, encoded_len, join_ts, split_ts};
pub use log::{HardState, LogEntry, LogWrite, RegionLog};
pub use mem::MemData;
pub use read::{Cf, Direction, Pair, Range, ReadError, Snapshot, contains};
pub use region::{ConfError, Epoch, NodeId, Peer, PeerChange, PeerId, Region, RegionId, RegionState, Role};
pub use ts::{LOGICAL_BITS, Ts};
