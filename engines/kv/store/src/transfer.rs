//! A region's data on its way to another node.
//!
//! Pieces of bounded size, each with a checksum; the last one says how many pairs there were, so that one that is missing is
//! missed. A piece is pairs of column family, key and value, in order.

use qd_kv_model::{Cf, CodecError, Direction, Modify, Range, ReadError, Reader, Region, RegionState, Snapshot, Writer};

use crate::{KvBatch, StoreError};

/// Why a region's data cannot be sent or taken.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// It cannot be read here.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It cannot be written here.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A piece is not one.
    #[error("piece {piece} of region {region}: {source}")]
    Piece {
        /// The region.
        region: u64,
        /// Which piece, from 0.
        piece: usize,
        /// What is wrong.
        source: CodecError,
    },
    /// A piece was changed on the way.
    #[error("piece {piece} of region {region} has a wrong checksum")]
    Checksum {
        /// The region.
        region: u64,
        /// Which piece, from 0.
        piece: usize,
    },
    /// A key that is not the region's.
    #[error("piece {piece} of region {region} has a key of another region")]
    Key {
        /// The region.
        region: u64,
        /// Which piece, from 0.
        piece: usize,
    },
    /// Not all of it came.
    #[error("region {region} has {wanted} pairs, and {found} came")]
    Missing {
        /// The region.
        region: u64,
        /// How many there are.
        wanted: u64,
        /// How many came.
        found: u64,
    },
}

/// Reads a region's data piece by piece.
#[derive(Debug)]
pub struct Export<'a, S> {
    snapshot: &'a S,
    region: &'a Region,
    piece: usize,
    at: Option<(usize, Vec<u8>)>,
    pairs: u64,
}

/// How many pairs are read at once.
const STEP: usize = 256;

impl<'a, S: Snapshot> Export<'a, S> {
    /// Pieces of about `piece` bytes; a single pair may be larger.
    pub fn new(snapshot: &'a S, region: &'a Region, piece: usize) -> Self {
        Self {
            snapshot,
            region,
            piece,
            at: Some((0, region.start.clone())),
            pairs: 0,
        }
    }

    /// The next piece, or nothing after the last.
    ///
    /// # Errors
    /// When the data cannot be read.
    pub fn next_piece(&mut self) -> Result<Option<Vec<u8>>, ReadError> {
        let Some((mut cf, mut from)) = self.at.take() else {
            return Ok(None);
        };
        let mut w = Writer::default();
        let mut size = 0;
        while cf < Cf::ALL.len() {
            let rows = self.snapshot.scan(
                Cf::ALL[cf],
                Range::new(&from, &self.region.end),
                STEP,
                Direction::Forward,
            )?;
            let all = rows.len() < STEP;
            for (k, v) in rows {
                w.byte(1).byte(Cf::ALL[cf] as u8).bytes(&k).bytes(&v);
                size += k.len() + v.len();
                self.pairs += 1;
                from = k;
                from.push(0);
                if size >= self.piece {
                    self.at = Some((cf, from));
                    return Ok(Some(seal(w)));
                }
            }
            if all {
                cf += 1;
                from = self.region.start.clone();
            }
        }
        w.byte(0).num(self.pairs);
        Ok(Some(seal(w)))
    }
}

fn seal(w: Writer) -> Vec<u8> {
    let mut bytes = w.finish();
    let sum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

/// Puts a region's data in the place of what is there, within one transaction. Nothing is committed here.
///
/// # Errors
/// When a piece is wrong or missing, or something cannot be written; the transaction must be dropped then.
pub fn install<'p>(
    batch: &mut KvBatch<'_>,
    state: &RegionState,
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> Result<(), TransferError> {
    let region = state.region.id;
    for cf in Cf::ALL {
        batch.modify(&Modify::DeleteRange(
            cf,
            state.region.start.clone(),
            state.region.end.clone(),
        ))?;
    }
    let mut found = 0;
    let mut wanted = None;
    for (piece, bytes) in pieces.into_iter().enumerate() {
        let (body, sum) = bytes
            .split_last_chunk::<4>()
            .ok_or(TransferError::Checksum { region, piece })?;
        if crc32c::crc32c(body) != u32::from_le_bytes(*sum) || wanted.is_some() {
            return Err(TransferError::Checksum { region, piece });
        }
        let wrong = |source| TransferError::Piece { region, piece, source };
        let mut r = Reader::new("piece", body);
        while r.left() > 0 {
            match r.byte().map_err(wrong)? {
                0 => wanted = Some(r.num().map_err(wrong)?),
                1 => {
                    let n = r.byte().map_err(wrong)?;
                    let cf = Cf::from_number(n).ok_or_else(|| wrong(r.kind(u64::from(n))))?;
                    let (k, v) = (r.bytes().map_err(wrong)?, r.bytes().map_err(wrong)?);
                    if !state.region.contains(k) {
                        return Err(TransferError::Key { region, piece });
                    }
                    batch.modify(&Modify::Put(cf, k.to_vec(), v.to_vec()))?;
                    found += 1;
                }
                n => return Err(wrong(r.kind(u64::from(n)))),
            }
        }
    }
    if wanted != Some(found) {
        return Err(TransferError::Missing {
            region,
            wanted: wanted.unwrap_or(0),
            found,
        });
    }
    batch.put_region(state)?;
    Ok(())
}
