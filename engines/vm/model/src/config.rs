//! The things a microVM is made of, as they are written in JSON.
//!
//! Each type is one object of the API: unknown keys are refused, keys that may be missing have their defaults. `check`
//! says whether a value can be at all, without looking at the host.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::Fault;

/// Most vCPUs a machine may have.
pub const MAX_VCPUS: u8 = 32;
/// Memory of a machine that was told nothing, in MiB.
pub const DEFAULT_MEM_MIB: u64 = 128;
/// The most memory a machine may be given, in MiB: what guest physical addresses of 46 bits reach is not all wanted.
pub const MAX_MEM_MIB: u64 = 1 << 24;
/// Longest kernel command line on x86-64 with the ending zero, in bytes.
pub const CMDLINE_MAX: usize = 2048;
/// The command line of a kernel that was given none.
pub const DEFAULT_BOOT_ARGS: &str =
    "reboot=k panic=1 nomodule 8250.nr_uarts=0 i8042.noaux i8042.nomux i8042.dumbkbd swiotlb=noforce";

/// Longest id of a drive or interface, in bytes.
pub const ID_MAX: usize = 64;

/// Whether an id may be: letters, digits and underscores, one at least.
///
/// # Errors
/// [`Fault::EmptyId`] or [`Fault::BadId`].
pub fn check_id(id: &str) -> Result<(), Fault> {
    if id.is_empty() {
        return Err(Fault::EmptyId);
    }
    let plain = id.chars().all(|c| c == '_' || c.is_alphanumeric());
    if plain && id.len() <= ID_MAX {
        Ok(())
    } else {
        Err(Fault::BadId)
    }
}

/// `BootSource`: what the machine starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootSource {
    /// The kernel's file: ELF64 or bzImage.
    pub kernel_image_path: String,
    /// The initial file system's file.
    pub initrd_path: Option<String>,
    /// The kernel's command line; [`DEFAULT_BOOT_ARGS`] if there is none.
    pub boot_args: Option<String>,
}

impl BootSource {
    /// The command line as it was given or by default.
    pub fn args(&self) -> &str {
        self.boot_args.as_deref().unwrap_or(DEFAULT_BOOT_ARGS)
    }

    /// Whether the command line can be.
    ///
    /// # Errors
    /// One that is longer than [`CMDLINE_MAX`] or has other characters than printable ASCII.
    pub fn check(&self) -> Result<(), Fault> {
        let bad = |why: &str| Err(Fault::BootSource(format!("The kernel command line is invalid: {why}")));
        let args = self.args();
        if args.len() >= CMDLINE_MAX {
            return bad(&format!(
                "it has {} bytes, and {} is the most.",
                args.len(),
                CMDLINE_MAX - 1
            ));
        }
        if !args.bytes().all(|b| (b' '..=b'~').contains(&b)) {
            return bad("it contains a character that is not printable ASCII.");
        }
        Ok(())
    }
}

/// What backs guest memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HugePages {
    /// Pages of 4 KiB.
    #[default]
    None,
    /// Pages of 2 MiB from hugetlbfs.
    #[serde(rename = "2M")]
    TwoMiB,
    /// Transparent huge pages.
    Transparent,
}

/// A CPU template that is known by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CpuTemplate {
    /// Intel: instances of the c3 family.
    C3,
    /// Intel: instances of the t2 family.
    T2,
    /// Intel: as T2, between Skylake and Cascade Lake.
    T2S,
    /// Intel: as T2, from Cascade Lake on.
    T2CL,
    /// AMD: features of T2.
    T2A,
    /// Arm: Neoverse V1.
    V1N1,
    /// The host's CPU as it is.
    None,
}

/// `MachineConfiguration`: processors and memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// vCPUs, 1 to [`MAX_VCPUS`]; 1 or an even number with `smt`.
    pub vcpu_count: u8,
    /// Memory in MiB.
    pub mem_size_mib: u64,
    /// Whether vCPUs are shown as threads of cores.
    #[serde(default)]
    pub smt: bool,
    /// A template by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_template: Option<CpuTemplate>,
    /// Whether pages that are written are noted, for diff snapshots.
    #[serde(default)]
    pub track_dirty_pages: bool,
    /// What backs memory.
    #[serde(default)]
    pub huge_pages: HugePages,
}

impl Default for Machine {
    fn default() -> Machine {
        Machine {
            vcpu_count: 1,
            mem_size_mib: DEFAULT_MEM_MIB,
            smt: false,
            cpu_template: None,
            track_dirty_pages: false,
            huge_pages: HugePages::None,
        }
    }
}

impl Machine {
    /// Whether the numbers can be.
    ///
    /// # Errors
    /// vCPUs or memory out of bounds, huge pages that do not divide the memory, a template of another architecture.
    pub fn check(&self) -> Result<(), Fault> {
        let bad = |why: &str| Err(Fault::Machine(why.to_owned()));
        let odd = self.smt && self.vcpu_count > 1 && !self.vcpu_count.is_multiple_of(2);
        if self.vcpu_count == 0 || self.vcpu_count > MAX_VCPUS || odd {
            return bad(
                "The number of vCPUs must be greater than 0, at most 32 and must be 1 or an even number if SMT is enabled.",
            );
        }
        let step = if self.huge_pages == HugePages::None { 1 } else { 2 };
        if self.mem_size_mib == 0 || !self.mem_size_mib.is_multiple_of(step) {
            return bad("The memory size (MiB) is either 0, or not a multiple of the configured page size.");
        }
        if self.mem_size_mib > MAX_MEM_MIB {
            return bad(&format!("The memory size (MiB) is above {MAX_MEM_MIB}."));
        }
        if self.cpu_template == Some(CpuTemplate::V1N1) {
            return bad("The CPU template V1N1 is one of aarch64.");
        }
        Ok(())
    }
}

/// `PATCH /machine-config`: what is missing stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineUpdate {
    /// vCPUs.
    pub vcpu_count: Option<u8>,
    /// Memory in MiB.
    pub mem_size_mib: Option<u64>,
    /// Whether vCPUs are shown as threads of cores.
    pub smt: Option<bool>,
    /// A template by name.
    pub cpu_template: Option<CpuTemplate>,
    /// Whether pages that are written are noted.
    pub track_dirty_pages: Option<bool>,
    /// What backs memory.
    pub huge_pages: Option<HugePages>,
}

impl MachineUpdate {
    /// The machine with these changes.
    pub fn over(&self, old: &Machine) -> Machine {
        Machine {
            vcpu_count: self.vcpu_count.unwrap_or(old.vcpu_count),
            mem_size_mib: self.mem_size_mib.unwrap_or(old.mem_size_mib),
            smt: self.smt.unwrap_or(old.smt),
            cpu_template: match self.cpu_template {
                Some(CpuTemplate::None) => None,
                Some(t) => Some(t),
                None => old.cpu_template,
            },
            track_dirty_pages: self.track_dirty_pages.unwrap_or(old.track_dirty_pages),
            huge_pages: self.huge_pages.unwrap_or(old.huge_pages),
        }
    }
}

/// `TokenBucket`: so much in so much time, and a burst at the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenBucket {
    /// Tokens the bucket holds: bytes or operations.
    pub size: u64,
    /// Tokens on top that are never refilled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub one_time_burst: Option<u64>,
    /// Milliseconds in which an empty bucket becomes full.
    pub refill_time: u64,
}

/// `RateLimiter`: bytes and operations. A bucket of size or time 0 does not limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimiter {
    /// Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<TokenBucket>,
    /// Operations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ops: Option<TokenBucket>,
}

/// How a drive's writes reach the disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CacheType {
    /// The guest is not told that there is a cache, and cannot flush it.
    #[default]
    Unsafe,
    /// The guest's flush is a flush of the file.
    Writeback,
}

/// How a drive's file is read and written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum IoEngine {
    /// By system calls, one after the other.
    #[default]
    Sync,
    /// By io_uring.
    Async,
}

/// `Drive`: a block device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drive {
    /// Its name.
    pub drive_id: String,
    /// Whether it is what the kernel mounts as root.
    pub is_root_device: bool,
    /// The partition to mount, by its unique id.
    pub partuuid: Option<String>,
    /// How writes reach the disk.
    #[serde(default)]
    pub cache_type: CacheType,
    /// Whether it may only be read.
    pub is_read_only: Option<bool>,
    /// Its file.
    pub path_on_host: Option<String>,
    /// What limits it.
    pub rate_limiter: Option<RateLimiter>,
    /// How the file is read and written.
    pub io_engine: Option<IoEngine>,
    /// The socket of a vhost-user backend.
    pub socket: Option<String>,
}

impl Drive {
    /// Whether it can be, and by this engine.
    ///
    /// # Errors
    /// Neither or both of file and socket; a vhost-user socket; io_uring.
    pub fn check(&self) -> Result<(), Fault> {
        let bad = |why: &str| Err(Fault::Drive(format!("Unable to create the virtio block device: {why}")));
        match (&self.path_on_host, &self.socket) {
            (Some(_), None) => {}
            (None, Some(_)) => return Err(Fault::NotSupported("vhost-user drives (`socket`).".to_owned())),
            _ => return bad("Exactly one of `path_on_host` and `socket` must be given."),
        }
        if self.io_engine == Some(IoEngine::Async) {
            return Err(Fault::NotSupported(
                "the io_engine `Async` (io_uring); use `Sync`.".to_owned(),
            ));
        }
        Ok(())
    }

    /// Whether it may only be read.
    pub fn read_only(&self) -> bool {
        self.is_read_only.unwrap_or(false)
    }
}

/// `PATCH /drives/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DriveUpdate {
    /// Its name.
    pub drive_id: String,
    /// Another file.
    pub path_on_host: Option<String>,
    /// Other limits.
    pub rate_limiter: Option<RateLimiter>,
}

/// `NetworkInterface`: a network device on a tap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkInterface {
    /// Its name.
    pub iface_id: String,
    /// The tap's name on the host.
    pub host_dev_name: String,
    /// The guest's address.
    pub guest_mac: Option<Mac>,
    /// The greatest packet the guest is told of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u16>,
    /// What limits what the guest gets.
    pub rx_rate_limiter: Option<RateLimiter>,
    /// What limits what the guest sends.
    pub tx_rate_limiter: Option<RateLimiter>,
}

/// `PATCH /network-interfaces/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkUpdate {
    /// Its name.
    pub iface_id: String,
    /// What limits what the guest gets.
    pub rx_rate_limiter: Option<RateLimiter>,
    /// What limits what the guest sends.
    pub tx_rate_limiter: Option<RateLimiter>,
}

/// An Ethernet address, written `06:00:ac:10:00:02`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mac(pub [u8; 6]);

impl std::fmt::Display for Mac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl std::str::FromStr for Mac {
    type Err = String;

    fn from_str(s: &str) -> Result<Mac, String> {
        let bad = || format!("`{s}` is not an Ethernet address of six pairs of hex digits");
        let mut out = [0; 6];
        let mut parts = s.split(':');
        for byte in &mut out {
            let part = parts.next().ok_or_else(bad)?;
            if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(bad());
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| bad())?;
        }
        if parts.next().is_some() {
            Err(bad())
        } else {
            Ok(Mac(out))
        }
    }
}

impl Serialize for Mac {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mac {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Mac, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// `Vsock`: a socket between host and guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vsock {
    /// Deprecated, and ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vsock_id: Option<String>,
    /// The guest's number, 3 at least.
    pub guest_cid: u32,
    /// The unix socket on the host.
    pub uds_path: String,
}

impl Vsock {
    /// Whether the number can be a guest's, and the path a socket's.
    ///
    /// # Errors
    /// A number below 3 or the one that means any; a path that is empty or longer than the kernel takes.
    pub fn check(&self) -> Result<(), Fault> {
        if self.guest_cid < 3 || self.guest_cid == u32::MAX {
            return Err(Fault::Vsock(format!(
                "Cannot create vsock device: the guest_cid {} is reserved; 3 is the least.",
                self.guest_cid
            )));
        }
        // sun_path has 108 bytes, one of them the ending zero.
        if self.uds_path.is_empty() || self.uds_path.len() > 107 {
            return Err(Fault::Vsock(
                "Cannot create backend for vsock device: the path of the socket must have 1 to 107 bytes.".to_owned(),
            ));
        }
        Ok(())
    }
}

/// `Balloon`: memory that the guest gives back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Balloon {
    /// MiB the guest shall give back.
    pub amount_mib: u32,
    /// Whether the guest may take memory out of it when it has no other.
    pub deflate_on_oom: bool,
    /// Seconds between statistics, 0 for none.
    #[serde(default)]
    pub stats_polling_interval_s: u16,
    /// Whether the guest is asked for free pages.
    #[serde(default)]
    pub free_page_hinting: bool,
    /// Whether the guest reports free pages by itself.
    #[serde(default)]
    pub free_page_reporting: bool,
}

/// `PATCH /balloon`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BalloonUpdate {
    /// MiB the guest shall give back.
    pub amount_mib: u32,
}

/// `PATCH /balloon/statistics`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BalloonStatsUpdate {
    /// Seconds between statistics, 0 for none.
    pub stats_polling_interval_s: u16,
}

/// `EntropyDevice`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entropy {
    /// What limits it.
    pub rate_limiter: Option<RateLimiter>,
}

/// `SerialDevice`: where the console's output goes besides the pane.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Serial {
    /// A file or named pipe.
    pub serial_out_path: Option<String>,
    /// What limits it, in bytes.
    pub rate_limiter: Option<TokenBucket>,
}

/// Which of the two ways of asking MMDS is spoken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MmdsVersion {
    /// Plain requests.
    #[default]
    V1,
    /// Requests with a token.
    V2,
}

/// `MmdsConfig`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mmds {
    /// How it is asked.
    #[serde(default)]
    pub version: MmdsVersion,
    /// The interfaces that reach it.
    pub network_interfaces: Vec<String>,
    /// Its address; 169.254.169.254 if there is none.
    pub ipv4_address: Option<Ipv4Addr>,
    /// Whether answers are in the format of EC2's service whatever is asked for.
    #[serde(default)]
    pub imds_compat: bool,
}

impl Mmds {
    /// Its address.
    pub fn address(&self) -> Ipv4Addr {
        self.ipv4_address.unwrap_or(Ipv4Addr::new(169, 254, 169, 254))
    }

    /// Whether it can be with these interfaces.
    ///
    /// # Errors
    /// No interface, one that is not there, an address that is not link-local.
    pub fn check(&self, interfaces: &[NetworkInterface]) -> Result<(), Fault> {
        let bad = |why: &str| Err(Fault::MmdsConfig(why.to_owned()));
        if self.network_interfaces.is_empty() {
            return bad("The list of network interface IDs that allow forwarding MMDS requests is empty.");
        }
        // RFC 3927: the first and the last 256 addresses are reserved.
        let [a, b, c, _] = self.address().octets();
        if (a, b) != (169, 254) || c == 0 || c == 255 {
            return bad("The MMDS IPv4 address is not link local.");
        }
        let known = |id: &String| interfaces.iter().any(|i| i.iface_id == *id);
        if !self.network_interfaces.iter().all(known) {
            return bad(
                "The list of network interface IDs provided contains at least one ID that does not correspond to any existing network interface.",
            );
        }
        Ok(())
    }
}

/// How much the logger says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Level {
    /// Nothing.
    #[serde(alias = "OFF")]
    Off,
    /// What went wrong.
    #[serde(alias = "ERROR")]
    Error,
    /// What looks wrong.
    #[serde(alias = "WARNING", alias = "WARN", alias = "Warn")]
    Warning,
    /// What happens.
    #[default]
    #[serde(alias = "INFO")]
    Info,
    /// Details.
    #[serde(alias = "DEBUG")]
    Debug,
    /// Everything.
    #[serde(alias = "TRACE")]
    Trace,
}

/// `Logger`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logger {
    /// A file or named pipe.
    pub log_path: Option<String>,
    /// How much is said.
    pub level: Option<Level>,
    /// Whether each line has its level.
    pub show_level: Option<bool>,
    /// Whether each line has the place in the source it comes from.
    pub show_log_origin: Option<bool>,
    /// Only what this module says.
    pub module: Option<String>,
}

/// `Metrics`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// A file or named pipe.
    pub metrics_path: String,
}
