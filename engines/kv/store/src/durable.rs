use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use qd_kv_model::RegionId;

/// How far each region's data is durably applied. One value, shared by the data (which knows) and the log (which must).
#[derive(Debug, Clone, Default)]
pub struct Durable(Arc<Mutex<BTreeMap<RegionId, u64>>>);

impl Durable {
    /// With nothing durable.
    pub fn new() -> Self {
        Self::default()
    }

    /// Up to which index a region's data would survive a loss of power.
    pub fn index(&self, region: RegionId) -> u64 {
        self.0.lock().get(&region).copied().unwrap_or(0)
    }

    /// All regions with their indexes.
    pub fn all(&self) -> Vec<(RegionId, u64)> {
        self.0.lock().iter().map(|(r, i)| (*r, *i)).collect()
    }

    pub(crate) fn set(&self, applied: &BTreeMap<RegionId, u64>) {
        *self.0.lock() = applied.clone();
    }
}
