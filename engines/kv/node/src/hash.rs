use qd_kv_model::{Cf, Direction, Range, ReadError, Region, Snapshot};

const STEP: usize = 256;

/// A hash of all a region has (FNV-1a of the pairs in order, with their column family and lengths). Replicas that applied
/// the same entries have the same.
///
/// # Errors
/// When the data cannot be read.
pub fn region_hash<S: Snapshot>(data: &S, region: &Region) -> Result<u64, ReadError> {
    let mut h = 0xcbf2_9ce4_8422_2325u64;
    let mut eat = |bytes: &[u8]| {
        for b in (bytes.len() as u64).to_le_bytes().iter().chain(bytes) {
            h = (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for cf in Cf::ALL {
        let mut from = region.start.clone();
        loop {
            let rows = data.scan(cf, Range::new(&from, &region.end), STEP, Direction::Forward)?;
            let more = rows.len() == STEP;
            for (k, v) in rows {
                eat(&[cf as u8]);
                eat(&k);
                eat(&v);
                from = k;
            }
            if !more {
                break;
            }
            from.push(0);
        }
    }
    Ok(h)
}
