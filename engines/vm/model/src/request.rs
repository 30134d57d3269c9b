//! Requests: a method, a path and a body become an [`Action`].
//!
//! This module knows the paths of the API and nothing of the order in which they may be asked; that is
//! [`crate::controller`]'s.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::Fault;
use crate::config::{
    Balloon, BalloonStatsUpdate, BalloonUpdate, BootSource, Drive, DriveUpdate, Entropy, Logger, Machine,
    MachineUpdate, Metrics, Mmds, NetworkInterface, NetworkUpdate, Serial, Vsock, check_id,
};
use crate::cpu::CpuConfig;
use crate::snapshot::{Create, Load};

/// The methods the API has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `GET`.
    Get,
    /// `PUT`.
    Put,
    /// `PATCH`.
    Patch,
    /// `DELETE`.
    Delete,
}

impl Method {
    /// As it is written on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }

    /// The method of that name.
    pub fn of(name: &str) -> Option<Method> {
        [Method::Get, Method::Put, Method::Patch, Method::Delete]
            .into_iter()
            .find(|m| m.name() == name)
    }
}

/// What a client asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Who is this.
    GetInfo,
    /// The API's version.
    GetVersion,
    /// Processors and memory.
    GetMachine,
    /// Everything that is configured.
    GetConfig,
    /// The balloon.
    GetBalloon,
    /// The balloon's statistics.
    GetBalloonStats,
    /// What MMDS holds.
    GetMmds,
    /// How far free page hinting is.
    GetHinting,
    /// Start the machine.
    Start,
    /// Press Ctrl-Alt-Del.
    CtrlAltDel,
    /// Write metrics now.
    FlushMetrics,
    /// What to start.
    BootSource(BootSource),
    /// A CPU template.
    Cpu(CpuConfig),
    /// A drive.
    Drive(Drive),
    /// A network device.
    Network(NetworkInterface),
    /// The vsock device.
    Vsock(Vsock),
    /// The balloon.
    Balloon(Balloon),
    /// The entropy device.
    Entropy(Entropy),
    /// The serial port.
    Serial(Serial),
    /// The logger.
    Logger(Logger),
    /// The metrics.
    Metrics(Metrics),
    /// Processors and memory, all of them said or some.
    Machine(MachineUpdate),
    /// MMDS.
    MmdsConfig(Mmds),
    /// What MMDS shall hold.
    PutMmds(Value),
    /// What of it changes (RFC 7396).
    PatchMmds(Value),
    /// Write a snapshot.
    SnapshotCreate(Create),
    /// Load a snapshot.
    SnapshotLoad(Load),
    /// Pause the machine.
    Pause,
    /// Let it go on.
    Resume,
    /// Change a drive.
    DriveUpdate(DriveUpdate),
    /// Change a network device.
    NetworkUpdate(NetworkUpdate),
    /// Change the balloon.
    BalloonUpdate(BalloonUpdate),
    /// Change how often the balloon's statistics are taken.
    BalloonStatsUpdate(BalloonStatsUpdate),
    /// Ask the guest for free pages.
    HintingStart(HintingStart),
    /// Stop asking.
    HintingStop,
    /// Something Firecracker does and this engine does not: its name.
    Unsupported(&'static str),
}

/// `PATCH /balloon/hinting/start`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HintingStart {
    /// Whether the run ends when the guest has said all.
    #[serde(default)]
    pub acknowledge_on_stop: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ActionBody {
    action_type: ActionType,
}

#[derive(Deserialize)]
enum ActionType {
    FlushMetrics,
    InstanceStart,
    SendCtrlAltDel,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VmBody {
    state: VmState,
}

#[derive(Deserialize)]
enum VmState {
    Paused,
    Resumed,
}

fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    // A list of a type's values in order would do for the reader of JSON.
    if body.trim_ascii_start().first() == Some(&b'[') {
        return Err(Fault::Json("invalid type: sequence, expected an object".to_owned()));
    }
    Ok(serde_json::from_slice(body)?)
}

/// A body whose id has to be the path's.
fn named<T: DeserializeOwned>(path: Option<&str>, body: &[u8], id: fn(&T) -> &str) -> Result<T, Fault> {
    let path = path.ok_or(Fault::EmptyId)?;
    check_id(path)?;
    let value: T = json(body)?;
    if id(&value) == path {
        return Ok(value);
    }
    Err(Fault::IdMismatch {
        path: path.to_owned(),
        body: id(&value).to_owned(),
    })
}

impl Action {
    /// What a request asks for. `path` is the absolute path without a query; `body` is `None` where the request has none.
    ///
    /// # Errors
    /// An unknown path, a body that is missing, not wanted, no JSON or not of the path's shape, a bad id.
    pub fn parse(method: Method, path: &str, body: Option<&[u8]>) -> Result<Action, Fault> {
        let body = body.filter(|b| !b.is_empty());
        let mut parts = path.trim_start_matches('/').split_terminator('/');
        let first = parts.next().unwrap_or("");
        let second = parts.next();
        let third = parts.next();
        let unknown = || {
            Err(Fault::Path {
                method: method.name(),
                path: path.chars().take(256).collect(),
            })
        };
        if parts.next().is_some() {
            return unknown();
        }
        match (method, body) {
            (Method::Get, Some(_)) => Err(Fault::GetWithBody),
            (Method::Get, None) => match (first, second, third) {
                ("", None, None) => Ok(Action::GetInfo),
                ("version", None, None) => Ok(Action::GetVersion),
                ("machine-config", None, None) => Ok(Action::GetMachine),
                ("vm", Some("config"), None) => Ok(Action::GetConfig),
                ("balloon", None, None) => Ok(Action::GetBalloon),
                ("balloon", Some("statistics"), None) => Ok(Action::GetBalloonStats),
                ("balloon", Some("hinting"), Some("status")) => Ok(Action::GetHinting),
                ("mmds", None, None) => Ok(Action::GetMmds),
                ("hotplug", Some("memory"), None) => Ok(Action::Unsupported("memory hotplug")),
                _ => unknown(),
            },
            (Method::Patch, body) if (first, second) == ("balloon", Some("hinting")) => match (third, body) {
                (Some("start"), None) => Ok(Action::HintingStart(HintingStart::default())),
                (Some("start"), Some(body)) => json(body).map(Action::HintingStart),
                (Some("stop"), _) => Ok(Action::HintingStop),
                _ => unknown(),
            },
            (Method::Put | Method::Patch, None) => Err(Fault::Empty(method.name())),
            (Method::Put, Some(body)) => put(first, second, third, body).unwrap_or_else(unknown),
            (Method::Patch, Some(body)) => patch(first, second, third, body).unwrap_or_else(unknown),
            (Method::Delete, None) => match (first, second) {
                ("drives" | "pmem" | "network-interfaces", Some(id)) => {
                    check_id(id)?;
                    Ok(Action::Unsupported("taking devices away while the machine runs"))
                }
                ("drives" | "pmem" | "network-interfaces", None) => Err(Fault::EmptyId),
                _ => unknown(),
            },
            (Method::Delete, Some(_)) => Err(Fault::Empty("Delete")),
        }
    }
}

type Parsed = Option<Result<Action, Fault>>;

fn put(first: &str, second: Option<&str>, third: Option<&str>, body: &[u8]) -> Parsed {
    if third.is_some() {
        return None;
    }
    Some(match (first, second) {
        ("actions", None) => json(body).map(|b: ActionBody| match b.action_type {
            ActionType::FlushMetrics => Action::FlushMetrics,
            ActionType::InstanceStart => Action::Start,
            ActionType::SendCtrlAltDel => Action::CtrlAltDel,
        }),
        ("boot-source", None) => json(body).map(Action::BootSource),
        ("cpu-config", None) => json(body).map(Action::Cpu),
        ("drives", id) => named(id, body, |d: &Drive| &d.drive_id).map(Action::Drive),
        ("network-interfaces", id) => named(id, body, |n: &NetworkInterface| &n.iface_id).map(Action::Network),
        ("vsock", None) => json(body).map(Action::Vsock),
        ("balloon", None) => json(body).map(Action::Balloon),
        ("entropy", None) => json(body).map(Action::Entropy),
        ("serial", None) => json(body).map(Action::Serial),
        ("logger", None) => json(body).map(Action::Logger),
        ("metrics", None) => json(body).map(Action::Metrics),
        ("machine-config", None) => json(body).map(|m: Machine| {
            Action::Machine(MachineUpdate {
                vcpu_count: Some(m.vcpu_count),
                mem_size_mib: Some(m.mem_size_mib),
                smt: Some(m.smt),
                cpu_template: m.cpu_template,
                track_dirty_pages: Some(m.track_dirty_pages),
                huge_pages: Some(m.huge_pages),
            })
        }),
        ("mmds", None) => json(body).map(Action::PutMmds),
        ("mmds", Some("config")) => json(body).map(Action::MmdsConfig),
        ("snapshot", Some("create")) => json(body).map(Action::SnapshotCreate),
        ("snapshot", Some("load")) => json(body).and_then(|l: Load| l.memory().map(|_| Action::SnapshotLoad(l))),
        ("pmem", Some(id)) => check_id(id).map(|()| Action::Unsupported("persistent memory (pmem)")),
        ("hotplug", Some("memory")) => Ok(Action::Unsupported("memory hotplug")),
        _ => return None,
    })
}

fn patch(first: &str, second: Option<&str>, third: Option<&str>, body: &[u8]) -> Parsed {
    if third.is_some() {
        return None;
    }
    Some(match (first, second) {
        ("vm", None) => json(body).map(|b: VmBody| match b.state {
            VmState::Paused => Action::Pause,
            VmState::Resumed => Action::Resume,
        }),
        ("drives", id) => named(id, body, |d: &DriveUpdate| &d.drive_id).map(Action::DriveUpdate),
        ("network-interfaces", id) => named(id, body, |n: &NetworkUpdate| &n.iface_id).map(Action::NetworkUpdate),
        ("machine-config", None) => json(body).and_then(|m: MachineUpdate| {
            if m == MachineUpdate::default() {
                Err(Fault::Empty("PATCH"))
            } else {
                Ok(Action::Machine(m))
            }
        }),
        ("balloon", None) => json(body).map(Action::BalloonUpdate),
        ("balloon", Some("statistics")) => json(body).map(Action::BalloonStatsUpdate),
        ("mmds", None) => json(body).map(Action::PatchMmds),
        ("pmem", Some(id)) => check_id(id).map(|()| Action::Unsupported("persistent memory (pmem)")),
        ("hotplug", Some("memory")) => Ok(Action::Unsupported("memory hotplug")),
        _ => return None,
    })
}
