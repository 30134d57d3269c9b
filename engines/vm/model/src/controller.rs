//! The order of things: one request after the other, before the start and after it.
//!
//! A [`Controller`] owns what is configured and the machine's [`Phase`]. What has to be done for real (files looked at, a
//! machine started, paused, written to a snapshot) goes to a [`Host`]; the phase changes only when the host did it.

use serde::Serialize;
use serde_json::Value;

use crate::config::{
    Balloon, BalloonStatsUpdate, BalloonUpdate, Drive, DriveUpdate, Logger, Machine, MachineUpdate, Metrics, Mmds,
    NetworkInterface, NetworkUpdate, Serial,
};
use crate::cpu::CpuConfig;
use crate::file::CpuSource;
use crate::request::HintingStart;
use crate::snapshot::{Create, Load};
use crate::{Action, Fault, VmConfig};

/// Most drives, and most network interfaces, of a machine.
pub const MAX_DEVICES: usize = 16;

/// Where a machine is in its life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub enum Phase {
    /// It is being configured.
    #[default]
    #[serde(rename = "Not started")]
    NotStarted,
    /// Its vCPUs run.
    Running,
    /// Its vCPUs stand still.
    Paused,
}

/// `InstanceInfo`: the answer to `GET /`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Info {
    /// The machine's name.
    pub id: String,
    /// Where it is in its life.
    pub state: Phase,
    /// The API's version.
    pub vmm_version: String,
    /// What answers.
    pub app_name: String,
}

/// What a file is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// To be read.
    Read,
    /// To be read and written.
    Write,
}

/// What has to be done for real.
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    /// Log like this from now on.
    Logger(Logger),
    /// Write metrics there from now on.
    Metrics(Metrics),
    /// Write the console's output there.
    Serial(Serial),
    /// Build the machine and let it run.
    Start(Box<VmConfig>),
    /// Let the vCPUs stand still.
    Pause,
    /// Let the vCPUs run.
    Resume,
    /// Press Ctrl-Alt-Del.
    CtrlAltDel,
    /// Write metrics now.
    FlushMetrics,
    /// Write a snapshot; the machine is paused.
    SnapshotCreate(Create),
    /// Build a machine from a snapshot, paused. The answer is its configuration.
    SnapshotLoad(Load),
    /// Change a drive.
    DriveUpdate(DriveUpdate),
    /// Change the limits of a network device.
    NetworkUpdate(NetworkUpdate),
    /// Change the balloon's size.
    BalloonUpdate(BalloonUpdate),
    /// Change how often the balloon's statistics are taken.
    BalloonStatsUpdate(BalloonStatsUpdate),
    /// The answer is the balloon's statistics.
    BalloonStats,
    /// Ask the guest for free pages.
    HintingStart(HintingStart),
    /// Stop asking.
    HintingStop,
    /// The answer is how far the guest is.
    HintingStatus,
    /// The answer is what MMDS holds.
    GetMmds,
    /// Let MMDS hold this.
    PutMmds(Value),
    /// Change what MMDS holds.
    PatchMmds(Value),
}

/// What work comes to.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Outcome {
    /// It is done: 204.
    #[default]
    Done,
    /// It is done and this is the answer: 200.
    Answer(Value),
    /// A machine was restored from a snapshot and had this configuration.
    Restored(Box<VmConfig>),
}

/// The real world, as far as requests need it.
pub trait Host {
    /// Looks whether a file can be opened.
    ///
    /// # Errors
    /// Why it cannot, without the path.
    fn look(&mut self, path: &str, access: Access) -> Result<(), String>;

    /// Does something.
    ///
    /// # Errors
    /// Why it was not done; the machine is as it was before.
    fn work(&mut self, work: Work) -> Result<Outcome, Fault>;
}

/// What is configured, and where the machine is in its life.
#[derive(Debug, Clone, Default)]
pub struct Controller {
    id: String,
    config: VmConfig,
    phase: Phase,
    // After anything that belongs to a start of its own a snapshot cannot be loaded any more.
    configured: bool,
}

fn answer<T: Serialize>(value: &T) -> Result<Outcome, Fault> {
    Ok(Outcome::Answer(serde_json::to_value(value)?))
}

impl Controller {
    /// One that nothing was told. `id` is the machine's name.
    pub fn new(id: &str) -> Controller {
        Controller {
            id: id.to_owned(),
            ..Controller::default()
        }
    }

    /// Where the machine is in its life.
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// What is configured.
    pub const fn config(&self) -> &VmConfig {
        &self.config
    }

    /// What `GET /` answers.
    pub fn info(&self) -> Info {
        Info {
            id: self.id.clone(),
            state: self.phase,
            vmm_version: crate::API_VERSION.to_owned(),
            app_name: "Firecracker".to_owned(),
        }
    }

    /// The machine, as configured or by default.
    pub fn machine(&self) -> Machine {
        self.config.machine_config.clone().unwrap_or_default()
    }

    /// Takes a whole configuration, as `--config-file` does, and does not start the machine.
    ///
    /// # Errors
    /// As the single requests.
    pub fn load(&mut self, file: VmConfig, host: &mut dyn Host) -> Result<(), Fault> {
        if !file.pmem.is_empty() {
            return Err(Fault::NotSupported("persistent memory (pmem)".to_owned()));
        }
        if file.memory_hotplug.is_some() {
            return Err(Fault::NotSupported("memory hotplug".to_owned()));
        }
        let mut actions = Vec::new();
        actions.extend(file.logger.map(Action::Logger));
        actions.extend(file.metrics.map(Action::Metrics));
        actions.extend(file.machine_config.map(|m| {
            Action::Machine(MachineUpdate {
                vcpu_count: Some(m.vcpu_count),
                mem_size_mib: Some(m.mem_size_mib),
                smt: Some(m.smt),
                cpu_template: m.cpu_template,
                track_dirty_pages: Some(m.track_dirty_pages),
                huge_pages: Some(m.huge_pages),
            })
        }));
        match file.cpu_config {
            Some(CpuSource::Inline(c)) => actions.push(Action::Cpu(c)),
            // Whoever reads the file reads the other one too: there are no files here.
            Some(CpuSource::Path(p)) => return Err(Fault::Cpu(format!("the file {p} was not read"))),
            None => {}
        }
        actions.extend(file.boot_source.map(Action::BootSource));
        actions.extend(file.drives.into_iter().map(Action::Drive));
        actions.extend(file.network_interfaces.into_iter().map(Action::Network));
        actions.extend(file.vsock.map(Action::Vsock));
        actions.extend(file.balloon.map(Action::Balloon));
        actions.extend(file.mmds_config.map(Action::MmdsConfig));
        actions.extend(file.entropy.map(Action::Entropy));
        actions.extend(file.serial.map(Action::Serial));
        for action in actions {
            self.request(action, host)?;
        }
        Ok(())
    }

    /// The machine ended: the next request finds one that was not started, with the same configuration.
    pub fn ended(&mut self) {
        self.phase = Phase::NotStarted;
        self.configured = true;
    }

    /// Takes one request.
    ///
    /// # Errors
    /// The request is wrong, comes at the wrong time, or was not done; everything is as before.
    pub fn request(&mut self, action: Action, host: &mut dyn Host) -> Result<Outcome, Fault> {
        let started = self.phase != Phase::NotStarted;
        match action {
            Action::GetInfo => return answer(&self.info()),
            Action::GetVersion => return answer(&serde_json::json!({ "firecracker_version": crate::API_VERSION })),
            Action::GetMachine => return answer(&self.machine()),
            Action::GetConfig => {
                let mut config = self.config.clone();
                config.machine_config = Some(self.machine());
                return answer(&config);
            }
            Action::GetBalloon => return answer(self.balloon()?),
            Action::GetMmds => return host.work(Work::GetMmds),
            Action::PutMmds(value) => return host.work(Work::PutMmds(value)),
            Action::PatchMmds(value) => return host.work(Work::PatchMmds(value)),
            Action::Unsupported(what) => return Err(Fault::NotSupported(format!("{what}."))),
            _ => {}
        }
        if started {
            self.running(action, host)
        } else {
            self.configuring(action, host)
        }
    }

    fn balloon(&self) -> Result<&Balloon, Fault> {
        let missing = || Fault::Balloon("No balloon device found.".to_owned());
        self.config.balloon.as_ref().ok_or_else(missing)
    }

    fn configuring(&mut self, action: Action, host: &mut dyn Host) -> Result<Outcome, Fault> {
        match action {
            Action::Logger(l) => return self.told(host, Work::Logger(l.clone()), |c| c.logger = Some(l)),
            Action::Metrics(m) => {
                if self.config.metrics.is_some() {
                    return Err(Fault::Metrics(
                        "Cannot initialize the metrics system due to bad user input: it is initialized already."
                            .to_owned(),
                    ));
                }
                return self.told(host, Work::Metrics(m.clone()), |c| c.metrics = Some(m));
            }
            Action::Serial(s) => return self.told(host, Work::Serial(s.clone()), |c| c.serial = Some(s)),
            Action::SnapshotLoad(load) => return self.restore(load, host),
            Action::Start => return self.start(host),
            Action::BootSource(b) => {
                b.check()?;
                host.look(&b.kernel_image_path, Access::Read).map_err(|e| {
                    Fault::BootSource(format!(
                        "The kernel file cannot be opened: {}: {e}",
                        b.kernel_image_path
                    ))
                })?;
                if let Some(path) = &b.initrd_path {
                    host.look(path, Access::Read).map_err(|e| {
                        Fault::BootSource(format!(
                            "The initrd file cannot be opened due to invalid path or invalid permissions. {path}: {e}"
                        ))
                    })?;
                }
                self.config.boot_source = Some(b);
            }
            Action::Cpu(c) => self.cpu(c)?,
            Action::Machine(update) => self.set_machine(&update)?,
            Action::Drive(d) => self.drive(d, host)?,
            Action::Network(n) => self.network(n)?,
            Action::Vsock(v) => {
                v.check()?;
                self.config.vsock = Some(v);
            }
            Action::Balloon(b) => {
                self.fits(b.amount_mib, &self.machine())?;
                self.config.balloon = Some(b);
            }
            Action::MmdsConfig(m) => self.mmds(m)?,
            Action::Entropy(e) => self.config.entropy = Some(e),
            _ => return Err(Fault::BeforeStart),
        }
        self.configured = true;
        Ok(Outcome::Done)
    }

    fn told(&mut self, host: &mut dyn Host, work: Work, note: impl FnOnce(&mut VmConfig)) -> Result<Outcome, Fault> {
        host.work(work)?;
        note(&mut self.config);
        Ok(Outcome::Done)
    }

    fn cpu(&mut self, c: CpuConfig) -> Result<(), Fault> {
        self.config.cpu_config = Some(CpuSource::Inline(c));
        // The newest word counts: a template of one's own takes the place of one by name.
        if let Some(m) = &mut self.config.machine_config {
            m.cpu_template = None;
        }
        Ok(())
    }

    fn set_machine(&mut self, update: &MachineUpdate) -> Result<(), Fault> {
        let machine = update.over(&self.machine());
        machine.check()?;
        if let Some(b) = &self.config.balloon
            && u64::from(b.amount_mib) > machine.mem_size_mib
        {
            return Err(Fault::Machine(
                "The memory size (MiB) is smaller than the previously set balloon device target size.".to_owned(),
            ));
        }
        if machine.cpu_template.is_some() {
            self.config.cpu_config = None;
        }
        self.config.machine_config = Some(machine);
        Ok(())
    }

    fn fits(&self, amount_mib: u32, machine: &Machine) -> Result<(), Fault> {
        if u64::from(amount_mib) > machine.mem_size_mib {
            return Err(Fault::Balloon("Amount of pages requested is too large.".to_owned()));
        }
        Ok(())
    }

    fn drive(&mut self, d: Drive, host: &mut dyn Host) -> Result<(), Fault> {
        crate::config::check_id(&d.drive_id)?;
        d.check()?;
        if let Some(path) = &d.path_on_host {
            let access = if d.read_only() { Access::Read } else { Access::Write };
            host.look(path, access).map_err(|e| {
                Fault::Drive(format!(
                    "Unable to create the virtio block device: the backing file {path} cannot be opened: {e}"
                ))
            })?;
        }
        let drives = &mut self.config.drives;
        let old = drives.iter().position(|o| o.drive_id == d.drive_id);
        let root = drives.iter().position(|o| o.is_root_device);
        if d.is_root_device && root.is_some() && root != old {
            return Err(Fault::Drive("A root block device already exists!".to_owned()));
        }
        match old {
            Some(i) => drives.splice(i..=i, [d]).for_each(drop),
            None if drives.len() == MAX_DEVICES => {
                return Err(Fault::Drive(format!("{MAX_DEVICES} drives are the most.")));
            }
            None => drives.push(d),
        }
        // The root device is the first, so that the kernel calls it vda.
        drives.sort_by_key(|d| !d.is_root_device);
        Ok(())
    }

    fn network(&mut self, n: NetworkInterface) -> Result<(), Fault> {
        crate::config::check_id(&n.iface_id)?;
        let all = &mut self.config.network_interfaces;
        let others = || all.iter().filter(|o| o.iface_id != n.iface_id);
        if let Some(mac) = n.guest_mac
            && others().any(|o| o.guest_mac == Some(mac))
        {
            return Err(Fault::Network(format!("The MAC address is already in use: {mac}")));
        }
        if others().any(|o| o.host_dev_name == n.host_dev_name) {
            return Err(Fault::Network(format!(
                "Could not create the network device: the tap {} has an interface already.",
                n.host_dev_name
            )));
        }
        // IFNAMSIZ is 16 with the ending zero.
        if n.host_dev_name.is_empty() || n.host_dev_name.len() > 15 {
            return Err(Fault::Network(format!(
                "Could not create the network device: the name of the tap must have 1 to 15 bytes: {}",
                n.host_dev_name
            )));
        }
        if n.mtu.is_some_and(|m| m < 68) {
            return Err(Fault::Network(
                "Could not create the network device: 68 is the least mtu.".to_owned(),
            ));
        }
        match all.iter().position(|o| o.iface_id == n.iface_id) {
            Some(i) => all.splice(i..=i, [n]).for_each(drop),
            None if all.len() == MAX_DEVICES => {
                return Err(Fault::Network(format!(
                    "{MAX_DEVICES} network interfaces are the most."
                )));
            }
            None => all.push(n),
        }
        Ok(())
    }

    fn mmds(&mut self, m: Mmds) -> Result<(), Fault> {
        m.check(&self.config.network_interfaces)?;
        self.config.mmds_config = Some(m);
        Ok(())
    }

    fn start(&mut self, host: &mut dyn Host) -> Result<Outcome, Fault> {
        if self.config.boot_source.is_none() {
            return Err(Fault::Start(
                "Cannot start microvm without kernel configuration.".to_owned(),
            ));
        }
        let mut config = self.config.clone();
        config.machine_config = Some(self.machine());
        host.work(Work::Start(Box::new(config)))?;
        self.phase = Phase::Running;
        Ok(Outcome::Done)
    }

    fn restore(&mut self, load: Load, host: &mut dyn Host) -> Result<Outcome, Fault> {
        if self.configured {
            return Err(Fault::SnapshotLoad(
                "Loading a microVM snapshot not allowed after configuring boot-specific resources.".to_owned(),
            ));
        }
        let resume = load.resume_vm;
        if let Outcome::Restored(config) = host.work(Work::SnapshotLoad(load))? {
            let (logger, metrics) = (self.config.logger.take(), self.config.metrics.take());
            self.config = *config;
            self.config.logger = logger;
            self.config.metrics = metrics;
        }
        self.phase = Phase::Paused;
        if resume {
            host.work(Work::Resume)?;
            self.phase = Phase::Running;
        }
        Ok(Outcome::Done)
    }

    fn running(&mut self, action: Action, host: &mut dyn Host) -> Result<Outcome, Fault> {
        match action {
            Action::Pause => {
                if self.phase == Phase::Running {
                    host.work(Work::Pause)?;
                    self.phase = Phase::Paused;
                }
                Ok(Outcome::Done)
            }
            Action::Resume => {
                if self.phase == Phase::Paused {
                    host.work(Work::Resume)?;
                    self.phase = Phase::Running;
                }
                Ok(Outcome::Done)
            }
            Action::CtrlAltDel => host.work(Work::CtrlAltDel),
            Action::FlushMetrics => host.work(Work::FlushMetrics),
            Action::SnapshotCreate(create) => {
                if self.phase != Phase::Paused {
                    return Err(Fault::SnapshotCreate(
                        "Operation not allowed: the microVM must be paused first.".to_owned(),
                    ));
                }
                host.work(Work::SnapshotCreate(create))
            }
            Action::DriveUpdate(update) => self.drive_update(update, host),
            Action::NetworkUpdate(update) => self.network_update(update, host),
            Action::BalloonUpdate(update) => {
                self.balloon()?;
                self.fits(update.amount_mib, &self.machine())?;
                let amount = update.amount_mib;
                host.work(Work::BalloonUpdate(update))?;
                if let Some(b) = &mut self.config.balloon {
                    b.amount_mib = amount;
                }
                Ok(Outcome::Done)
            }
            Action::BalloonStatsUpdate(update) => {
                let every = update.stats_polling_interval_s;
                // The device offers statistics at its start or never.
                if (self.balloon()?.stats_polling_interval_s == 0) != (every == 0) {
                    return Err(Fault::Balloon(
                        "Statistics cannot be enabled or disabled after the start.".to_owned(),
                    ));
                }
                host.work(Work::BalloonStatsUpdate(update))?;
                if let Some(b) = &mut self.config.balloon {
                    b.stats_polling_interval_s = every;
                }
                Ok(Outcome::Done)
            }
            Action::GetBalloonStats => {
                if self.balloon()?.stats_polling_interval_s == 0 {
                    return Err(Fault::Balloon("Statistics are not enabled.".to_owned()));
                }
                host.work(Work::BalloonStats)
            }
            Action::HintingStart(s) => self.hinting(Work::HintingStart(s), host),
            Action::HintingStop => self.hinting(Work::HintingStop, host),
            Action::GetHinting => self.hinting(Work::HintingStatus, host),
            _ => Err(Fault::AfterStart),
        }
    }

    fn hinting(&self, work: Work, host: &mut dyn Host) -> Result<Outcome, Fault> {
        if !self.balloon()?.free_page_hinting {
            return Err(Fault::Balloon("Free page hinting is not enabled.".to_owned()));
        }
        host.work(work)
    }

    fn drive_update(&mut self, update: DriveUpdate, host: &mut dyn Host) -> Result<Outcome, Fault> {
        let Some(i) = self.config.drives.iter().position(|d| d.drive_id == update.drive_id) else {
            return Err(Fault::Drive(format!(
                "Unable to patch the block device: no drive has the id {}. Please verify the request arguments.",
                update.drive_id
            )));
        };
        host.work(Work::DriveUpdate(update.clone()))?;
        if let Some(drive) = self.config.drives.get_mut(i) {
            drive.path_on_host = update.path_on_host.or(drive.path_on_host.take());
            drive.rate_limiter = update.rate_limiter.or(drive.rate_limiter);
        }
        Ok(Outcome::Done)
    }

    fn network_update(&mut self, update: NetworkUpdate, host: &mut dyn Host) -> Result<Outcome, Fault> {
        let all = &self.config.network_interfaces;
        let Some(i) = all.iter().position(|n| n.iface_id == update.iface_id) else {
            return Err(Fault::Network(format!(
                "Unable to update the net device: no interface has the id {}.",
                update.iface_id
            )));
        };
        host.work(Work::NetworkUpdate(update.clone()))?;
        if let Some(n) = self.config.network_interfaces.get_mut(i) {
            n.rx_rate_limiter = update.rx_rate_limiter.or(n.rx_rate_limiter);
            n.tx_rate_limiter = update.tx_rate_limiter.or(n.tx_rate_limiter);
        }
        Ok(Outcome::Done)
    }
}
