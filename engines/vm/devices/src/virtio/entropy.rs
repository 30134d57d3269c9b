//! virtio-rng: random bytes from the host.

use super::queue::{Broken, Queue};
use super::{Device, Progress};
use crate::Memory;
use crate::limiter::Limiter;

/// Bytes that one request is given at most; the driver asks again for more.
const MOST: usize = 64 << 10;

/// Where random bytes come from.
pub type Source = Box<dyn FnMut(&mut [u8]) + Send>;

/// The device.
pub struct Entropy {
    limiter: Limiter,
    source: Source,
    /// Bytes that were given.
    pub given: u64,
    /// Requests that had to wait.
    pub throttled: u64,
}

impl std::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entropy")
            .field("given", &self.given)
            .finish_non_exhaustive()
    }
}

impl Entropy {
    /// One with a limit, on a source.
    pub fn new(limiter: Limiter, source: Source) -> Entropy {
        Entropy {
            limiter,
            source,
            given: 0,
            throttled: 0,
        }
    }
}

impl Device for Entropy {
    fn as_any(&mut self) -> &mut dyn std::any::Any {
        self
    }

    fn kind(&self) -> u32 {
        4
    }

    fn features(&self) -> u64 {
        0
    }

    fn queues(&self) -> &'static [u16] {
        &[256]
    }

    fn config(&self, _offset: u64, out: &mut [u8]) {
        out.fill(0);
    }

    fn activate(&mut self, _features: u64) {}

    fn reset(&mut self) {}

    fn work(&mut self, _index: usize, queue: &mut Queue, memory: &Memory, now: u64) -> Result<Progress, Broken> {
        let mut progress = Progress::default();
        let mut any = false;
        'queue: loop {
            while let Some(chain) = queue.pop(memory)? {
                let wanted: u64 = chain.writable.iter().map(|b| u64::from(b.len)).sum();
                let mut left = usize::try_from(wanted).map_or(MOST, |w| w.min(MOST));
                if let Err(wait) = self.limiter.take(u64::try_from(left).unwrap_or(0), now) {
                    queue.undo_pop();
                    self.throttled += 1;
                    progress.again = Some(wait);
                    break 'queue;
                }
                let (mut written, mut block) = (0u32, [0; 4096]);
                for buffer in &chain.writable {
                    // A buffer outside memory ends the request there.
                    let Some(slice) = buffer.slice(memory) else { break };
                    let mut at = 0;
                    while at < slice.len() && left > 0 {
                        let n = left.min(block.len()).min(slice.len() - at);
                        let Some(part) = block.get_mut(..n) else { break };
                        (self.source)(part);
                        let Ok(place) = slice.subslice(at, n) else { break };
                        place.copy_from(part);
                        (at, left) = (at + n, left - n);
                        written = written.saturating_add(u32::try_from(n).unwrap_or(0));
                    }
                }
                self.given += u64::from(written);
                queue.push(memory, chain.head, written)?;
                any = true;
            }
            if !queue.listen(memory)? {
                break;
            }
        }
        progress.interrupt = any && queue.wants_interrupt(memory)?;
        Ok(progress)
    }
}
