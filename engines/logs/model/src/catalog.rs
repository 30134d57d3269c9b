//! The catalogue: which components there are, by the name of their `type`.

use qd_logs_config::{ConfigError, Node};

use crate::{SinkConfig, SourceConfig, TransformConfig};

/// Reads the configuration of one kind of component. The node is the component's table without `type`, `inputs` and the
/// keys the pipeline itself reads.
pub type Parse<T> = fn(&Node) -> Result<Box<T>, ConfigError>;

/// A kind of component.
#[derive(Clone, Copy)]
pub struct Entry<T: ?Sized> {
    /// The name of its `type`.
    pub name: &'static str,
    /// What it does, in a line.
    pub about: &'static str,
    /// Reads its configuration.
    pub parse: Parse<T>,
}

/// Every kind of component that is compiled in.
#[derive(Default)]
pub struct Catalog {
    /// The sources.
    pub sources: Vec<Entry<dyn SourceConfig>>,
    /// The transforms.
    pub transforms: Vec<Entry<dyn TransformConfig>>,
    /// The sinks.
    pub sinks: Vec<Entry<dyn SinkConfig>>,
}

impl Catalog {
    /// Adds all of another one.
    pub fn extend(&mut self, other: Catalog) {
        self.sources.extend(other.sources);
        self.transforms.extend(other.transforms);
        self.sinks.extend(other.sinks);
    }
}
