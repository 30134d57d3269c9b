//! The whole configuration in one file, as `--config-file` takes it and `GET /vm/config` gives it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Fault;
use crate::config::{
    Balloon, BootSource, Drive, Entropy, Logger, Machine, Metrics, Mmds, NetworkInterface, Serial, Vsock,
};
use crate::cpu::CpuConfig;

/// The keys of the file; unknown ones are refused.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct VmConfig {
    /// Block devices, the root device first.
    #[serde(default)]
    pub drives: Vec<Drive>,
    /// What is started.
    pub boot_source: Option<BootSource>,
    /// Processors and memory.
    pub machine_config: Option<Machine>,
    /// A CPU template, or the path of its file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_config: Option<CpuSource>,
    /// Network devices.
    #[serde(default)]
    pub network_interfaces: Vec<NetworkInterface>,
    /// The vsock device.
    pub vsock: Option<Vsock>,
    /// The balloon.
    pub balloon: Option<Balloon>,
    /// The logger.
    pub logger: Option<Logger>,
    /// The metrics.
    pub metrics: Option<Metrics>,
    /// MMDS.
    pub mmds_config: Option<Mmds>,
    /// The entropy device.
    pub entropy: Option<Entropy>,
    /// The serial port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<Serial>,
    /// Persistent memory: refused unless it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pmem: Vec<Value>,
    /// Memory that can be plugged: refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_hotplug: Option<Value>,
}

/// A CPU template in the file: the path of one, as Firecracker takes it, or the template itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CpuSource {
    /// The template's file.
    Path(String),
    /// The template.
    Inline(CpuConfig),
}

impl VmConfig {
    /// Reads the file's text.
    ///
    /// # Errors
    /// No JSON, unknown or missing keys, with line and column.
    pub fn read(text: &str) -> Result<VmConfig, Fault> {
        Ok(serde_json::from_str(text)?)
    }
}
