//! A machine: built, run, paused, ended.
//!
//! A machine is made paused and stays so until it is resumed. It owns its threads and joins them when it is dropped; a
//! guest that spins does not keep it, since a signal takes its vCPUs out of the guest.

use std::fs::{File, OpenOptions};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kvm_bindings::{KVM_MEM_LOG_DIRTY_PAGES, KVM_PIT_SPEAKER_DUMMY, kvm_pit_config, kvm_userspace_memory_region};
use kvm_ioctls::{VcpuFd, VmFd};
use parking_lot::Mutex;
use qd_vm_boot::{Announced, Request, layout};
use qd_vm_devices::i8042::{self, I8042};
use qd_vm_devices::limiter::{Bucket, Limiter};
use qd_vm_devices::serial::{self, Serial};
use qd_vm_devices::virtio::Device;
use qd_vm_devices::virtio::block::{self, Block};
use qd_vm_devices::virtio::entropy::Entropy;
use qd_vm_devices::virtio::mmio::{self, Mmio};
use qd_vm_devices::{Memory, allocate};
use qd_vm_model::config::{CacheType, Drive, RateLimiter, TokenBucket};
use qd_vm_model::file::CpuSource;
use qd_vm_model::{VmConfig, cpu::CpuConfig};
use vm_memory::{Address, GuestMemoryBackend, GuestMemoryRegion};

use crate::console::Console;
use crate::error::{kvm, system};
use crate::vcpu::{self, End, Shared, Wanted};
use crate::wiring::{Bus, Line, Slot};
use crate::{VmError, cpu, probe, worker};

/// Called when something has changed. It must be quick and must not block.
pub type Watch = Arc<dyn Fn() + Send + Sync>;

/// What a machine is built with besides its configuration.
#[derive(Clone)]
pub struct Options {
    /// Bytes of the console that are kept.
    pub console: usize,
    /// Called when the console has something new, and when the machine ends.
    pub watch: Watch,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            console: 256 << 10,
            watch: Arc::new(|| ()),
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("console", &self.console)
            .finish_non_exhaustive()
    }
}

/// Where a machine is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Its vCPUs stand still.
    Paused,
    /// Its vCPUs run.
    Running,
    /// It is over.
    Ended(End),
}

/// Exits of all vCPUs, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exits {
    /// Reads of ports.
    pub io_in: u64,
    /// Writes to ports.
    pub io_out: u64,
    /// Reads of devices' registers.
    pub mmio_read: u64,
    /// Writes to devices' registers.
    pub mmio_write: u64,
    /// Signals.
    pub interrupted: u64,
    /// Others.
    pub other: u64,
}

/// The numbers of one virtio device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DriveCounts {
    /// Its name.
    pub id: String,
    /// What its transport counted.
    pub transport: mmio::Counts,
    /// Why its queue is broken, if it needs a reset.
    pub broken: Option<String>,
}

/// A machine's numbers since it was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Exits of its vCPUs.
    pub exits: Exits,
    /// Its virtio devices.
    pub devices: Vec<DriveCounts>,
    /// Bytes the guest has said on its console.
    pub console: u64,
}

struct Threads {
    handles: Vec<JoinHandle<()>>,
    // Kernel ids of the vCPUs' threads, 0 before they run.
    ids: Arc<Vec<AtomicI32>>,
}

/// A machine.
pub struct Machine {
    vm: VmFd,
    cpus: Vec<Arc<Mutex<VcpuFd>>>,
    memory: Memory,
    bus: Arc<Bus>,
    names: Vec<String>,
    console: Arc<Console>,
    shared: Arc<Shared>,
    control: Arc<worker::Control>,
    threads: Mutex<Threads>,
    config: VmConfig,
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine")
            .field("state", &self.state())
            .field("devices", &self.names)
            .finish_non_exhaustive()
    }
}

fn bucket(b: Option<TokenBucket>) -> Option<Bucket> {
    b.and_then(|b| Bucket::new(b.size, b.one_time_burst.unwrap_or(0), b.refill_time, 0))
}

/// What limits a device, or nothing.
pub(crate) fn limiter(limits: Option<RateLimiter>) -> Limiter {
    let limits = limits.unwrap_or_default();
    Limiter {
        bytes: bucket(limits.bandwidth),
        ops: bucket(limits.ops),
    }
}

fn open(what: &'static str, path: &str, write: bool) -> Result<File, VmError> {
    let failed = |why| VmError::Open {
        what,
        path: path.to_owned(),
        why,
    };
    let file = OpenOptions::new().read(true).write(write).open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_dir() {
        return Err(failed(std::io::ErrorKind::IsADirectory.into()));
    }
    Ok(file)
}

fn drive(d: &Drive) -> Result<Block, VmError> {
    let path = d.path_on_host.as_deref().unwrap_or_default();
    let file = open("drive", path, !d.read_only())?;
    let options = block::Options {
        read_only: d.read_only(),
        writeback: d.cache_type == CacheType::Writeback,
    };
    Block::new(file, &d.drive_id, options, limiter(d.rate_limiter)).map_err(|why| VmError::Open {
        what: "drive",
        path: path.to_owned(),
        why,
    })
}

/// Random bytes of the host's kernel. What it does not give stays 0, which it does only before its generator is ready.
fn random(out: &mut [u8]) {
    let mut done = 0;
    while let Some(rest) = out.get_mut(done..).filter(|r| !r.is_empty()) {
        #[allow(unsafe_code)]
        // SAFETY: the kernel writes at most the slice's length at its beginning.
        let n = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match usize::try_from(n) {
            Ok(n) => done += n,
            Err(_) if std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// Refuses by name what is configured and not built.
fn supported(config: &VmConfig) -> Result<(), VmError> {
    let no = |what: &str| Err(VmError::Config(format!("{what} cannot be used with this engine")));
    if !config.network_interfaces.is_empty() {
        return no("network interfaces");
    }
    match (&config.vsock, &config.balloon, &config.mmds_config) {
        (None, None, None) => {}
        (Some(_), _, _) => return no("the vsock device"),
        (_, Some(_), _) => return no("the balloon"),
        _ => return no("MMDS"),
    }
    let machine = config.machine_config.clone().unwrap_or_default();
    if machine.cpu_template.is_some() {
        return no("CPU templates by name (`cpu_template`; a template of one's own can)");
    }
    if machine.huge_pages != qd_vm_model::config::HugePages::None {
        return no("huge pages");
    }
    if config.serial.as_ref().is_some_and(|s| s.serial_out_path.is_some()) {
        return no("a file for the serial port's output (`serial_out_path`)");
    }
    Ok(())
}

/// A device and its name.
type Named = (String, Box<dyn Device>);

fn devices(config: &VmConfig) -> Result<Vec<Named>, VmError> {
    let mut all: Vec<Named> = Vec::new();
    for d in &config.drives {
        all.push((d.drive_id.clone(), Box::new(drive(d)?)));
    }
    if let Some(e) = &config.entropy {
        all.push((
            "entropy".to_owned(),
            Box::new(Entropy::new(limiter(e.rate_limiter), Box::new(random))),
        ));
    }
    let most = usize::try_from(layout::IRQS).unwrap_or(0);
    if all.len() > most {
        return Err(VmError::Config(format!(
            "a machine has lines for {most} devices, and {} are configured",
            all.len()
        )));
    }
    Ok(all)
}

fn command_line(config: &VmConfig, given: &str) -> String {
    let mut line = given.to_owned();
    if let Some(root) = config.drives.iter().find(|d| d.is_root_device) {
        line.push_str(" root=");
        match &root.partuuid {
            Some(id) => line.extend(["PARTUUID=", id]),
            None => line.push_str("/dev/vda"),
        }
        line.push_str(if root.read_only() { " ro" } else { " rw" });
    }
    line
}

/// Guest memory, connected to a machine.
fn memory(vm: &VmFd, mib: u64, dirty: bool) -> Result<Memory, VmError> {
    let failed = |why: String| VmError::Memory { mib, why };
    let bytes = mib
        .checked_mul(1 << 20)
        .ok_or_else(|| failed("it is more than addresses reach".to_owned()))?;
    if let Some(all) = host_memory()
        && bytes > all
    {
        return Err(failed(format!("the host has {} MiB with its swap", all >> 20)));
    }
    let memory = allocate(bytes).map_err(failed)?;
    for (slot, region) in memory.iter().enumerate() {
        let host = region
            .get_host_address(vm_memory::MemoryRegionAddress(0))
            .map_err(|e| failed(e.to_string()))?;
        let region = kvm_userspace_memory_region {
            slot: u32::try_from(slot).map_err(|e| failed(e.to_string()))?,
            flags: if dirty { KVM_MEM_LOG_DIRTY_PAGES } else { 0 },
            guest_phys_addr: region.start_addr().raw_value(),
            memory_size: region.len(),
            userspace_addr: u64::try_from(host.addr()).map_err(|e| failed(e.to_string()))?,
        };
        #[allow(unsafe_code)]
        // SAFETY: the range is a mapping of exactly this length that `memory` owns. A machine drops its `VmFd` and vCPUs
        // before its memory, and the kernel keeps no reference to the range after them.
        unsafe { vm.set_user_memory_region(region) }.map_err(kvm("take guest memory"))?;
    }
    Ok(memory)
}

/// Bytes of the host's memory and swap.
fn host_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let of = |name: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(name))?;
        line.trim_start_matches(':')
            .trim()
            .strip_suffix(" kB")?
            .parse::<u64>()
            .ok()
    };
    Some((of("MemTotal")? + of("SwapTotal").unwrap_or(0)) << 10)
}

impl Machine {
    /// Builds a machine, paused before its first instruction.
    ///
    /// # Errors
    /// The host cannot run machines, a file cannot be opened or is not what it should be, or something is configured that
    /// this engine does not have.
    pub fn build(config: &VmConfig, options: Options) -> Result<Machine, VmError> {
        let start = Instant::now();
        supported(config)?;
        let host = probe::host()?;
        let source = config.boot_source.as_ref().ok_or(VmError::NoKernel)?;
        let machine = config.machine_config.clone().unwrap_or_default();
        machine.check().map_err(|e| VmError::Config(e.to_string()))?;
        let template: Option<&CpuConfig> = match &config.cpu_config {
            Some(CpuSource::Inline(c)) => Some(c),
            Some(CpuSource::Path(p)) => return Err(VmError::Config(format!("the CPU template {p} was not read"))),
            None => None,
        };
        let kernel = open("kernel", &source.kernel_image_path, false)?;
        let initrd = source
            .initrd_path
            .as_deref()
            .map(|p| open("initrd", p, false))
            .transpose()?;
        let devices = devices(config)?;

        vcpu::install_kick()?;
        let vm = host.kvm.create_vm().map_err(kvm("make a machine"))?;
        let tss = usize::try_from(layout::TSS).map_err(|e| VmError::Config(e.to_string()))?;
        vm.set_identity_map_address(layout::IDENTITY_MAP)
            .map_err(kvm("take the address of its page table"))?;
        vm.set_tss_address(tss)
            .map_err(kvm("take the address of its task state"))?;
        vm.create_irq_chip().map_err(kvm("make interrupt controllers"))?;
        let pit = kvm_pit_config {
            flags: KVM_PIT_SPEAKER_DUMMY,
            ..Default::default()
        };
        vm.create_pit2(pit).map_err(kvm("make a timer"))?;
        let memory = memory(&vm, machine.mem_size_mib, machine.track_dirty_pages)?;

        let console = Console::new(options.console, Arc::clone(&options.watch));
        let out = Arc::clone(&console);
        let serial = Serial::new(Line::new(&vm, serial::IRQ)?, Box::new(move |b| out.put(b)));
        let mut bus = Bus {
            serial: Arc::new(Mutex::new(serial)),
            keyboard: Arc::new(Mutex::new(I8042::new(Line::new(&vm, i8042::IRQ)?))),
            slots: Vec::new(),
        };
        let (mut names, mut irq) = (Vec::new(), layout::FIRST_IRQ);
        let mut at = layout::DEVICES;
        for (name, device) in devices {
            let place = Announced {
                at,
                len: mmio::SIZE,
                irq,
            };
            let mmio = Arc::new(Mmio::new(device, Line::new(&vm, irq)?));
            bus.slots.push(Slot::new(&vm, mmio, place)?);
            names.push(name);
            (at, irq) = (at + mmio::SIZE, irq + 1);
        }

        let places: Vec<Announced> = bus.slots.iter().map(|s| s.place).collect();
        let cmdline = command_line(config, source.args());
        let request = Request {
            kernel: &kernel,
            initrd: initrd.as_ref(),
            cmdline: &cmdline,
            cpus: machine.vcpu_count,
            devices: &places,
        };
        let entry = qd_vm_boot::load(&memory, &request)?;

        let mut cpus = Vec::new();
        for id in 0..machine.vcpu_count {
            let fd = vm.create_vcpu(u64::from(id)).map_err(kvm("make a vCPU"))?;
            let cpuid = cpu::cpuid(&host.kvm, id, machine.vcpu_count, machine.smt, template)?;
            fd.set_cpuid2(&cpuid).map_err(kvm("take CPUID"))?;
            cpu::set_msrs(&fd, template)?;
            cpu::set_lapic(&fd)?;
            if id == 0 {
                cpu::set_entry(&fd, entry)?;
            }
            cpus.push(Arc::new(Mutex::new(fd)));
        }

        let ids: Arc<Vec<AtomicI32>> = Arc::new(cpus.iter().map(|_| AtomicI32::new(0)).collect());
        let machine = Machine {
            vm,
            cpus,
            memory,
            bus: Arc::new(bus),
            names,
            console,
            shared: Arc::new(Shared::new(options.watch)),
            control: Arc::new(worker::Control::new()?),
            threads: Mutex::new(Threads {
                handles: Vec::new(),
                ids,
            }),
            config: config.clone(),
        };
        machine.spawn(start)?;
        Ok(machine)
    }

    fn spawn(&self, start: Instant) -> Result<(), VmError> {
        let mut threads = self.threads.lock();
        let (ids, control) = (Arc::clone(&threads.ids), Arc::clone(&self.control));
        *self.shared.on_end.lock() = Some(Box::new(move || {
            control.want(Wanted::Stop);
            kick(&ids);
        }));
        let epoll = worker::prepare(&self.bus, &self.control)?;
        let (bus, memory, control) = (Arc::clone(&self.bus), self.memory.clone(), Arc::clone(&self.control));
        let handle = std::thread::Builder::new()
            .name("qd-vm-devices".to_owned())
            .stack_size(256 << 10)
            .spawn(move || worker::run(&epoll, &bus, &memory, &control, start))
            .map_err(system("a thread"))?;
        threads.handles.push(handle);
        for (i, cpu) in self.cpus.iter().enumerate() {
            let (cpu, bus, memory) = (Arc::clone(cpu), Arc::clone(&self.bus), self.memory.clone());
            let (shared, ids) = (Arc::clone(&self.shared), Arc::clone(&threads.ids));
            let run = move || {
                if let Some(id) = ids.get(i) {
                    id.store(vcpu::thread_id(), Ordering::SeqCst);
                }
                vcpu::run(&cpu, &bus, &memory, &shared);
                if let Some(id) = ids.get(i) {
                    id.store(0, Ordering::SeqCst);
                }
            };
            let handle = std::thread::Builder::new()
                .name(format!("qd-vcpu{i}"))
                .stack_size(256 << 10)
                .spawn(run)
                .map_err(system("a thread"))?;
            threads.handles.push(handle);
        }
        Ok(())
    }

    /// Lets its vCPUs run.
    ///
    /// # Errors
    /// It has ended.
    pub fn resume(&self) -> Result<(), VmError> {
        let mut wanted = self.shared.wanted.lock();
        if *wanted == Wanted::Stop {
            return Err(VmError::Ended);
        }
        self.control.want(Wanted::Run);
        *wanted = Wanted::Run;
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Lets its vCPUs and devices stand still, and waits until they do.
    ///
    /// # Errors
    /// It has ended.
    pub fn pause(&self) -> Result<(), VmError> {
        {
            let mut wanted = self.shared.wanted.lock();
            if *wanted == Wanted::Stop {
                return Err(VmError::Ended);
            }
            *wanted = Wanted::Pause;
        }
        let ids = Arc::clone(&self.threads.lock().ids);
        kick(&ids);
        let mut resting = self.shared.resting.lock();
        while *resting < self.cpus.len() {
            if *self.shared.wanted.lock() == Wanted::Stop {
                return Err(VmError::Ended);
            }
            // An end while we wait is heard at the next look.
            self.shared.rested.wait_for(&mut resting, Duration::from_millis(5));
        }
        drop(resting);
        self.control.want(Wanted::Pause);
        Ok(())
    }

    /// Ends it, if it has not ended by itself.
    pub fn stop(&self) {
        self.shared.end(End::Stopped);
    }

    /// Where it is in its life.
    pub fn state(&self) -> State {
        if let Some(end) = self.shared.end.lock().clone() {
            return State::Ended(end);
        }
        match *self.shared.wanted.lock() {
            Wanted::Run => State::Running,
            Wanted::Pause | Wanted::Stop => State::Paused,
        }
    }

    /// Waits until it ends, or as long as this.
    pub fn wait(&self, most: Duration) -> Option<End> {
        let deadline = Instant::now() + most;
        let mut end = self.shared.end.lock();
        while end.is_none() {
            if self.shared.ended.wait_until(&mut end, deadline).timed_out() {
                break;
            }
        }
        end.clone()
    }

    /// Its console.
    pub const fn console(&self) -> &Arc<Console> {
        &self.console
    }

    /// Input for its console: how many of the bytes were taken. The others have to be given again later.
    pub fn input(&self, bytes: &[u8]) -> usize {
        self.bus.serial.lock().input(bytes)
    }

    /// Presses Ctrl-Alt-Del: whether there was room for it.
    pub fn ctrl_alt_del(&self) -> bool {
        self.bus.keyboard.lock().ctrl_alt_del()
    }

    /// Changes one of its virtio devices by its name, and tells the driver to read its configuration again; `None` where
    /// there is no such device.
    pub fn change<T>(&self, id: &str, change: impl FnOnce(&mut dyn Device) -> T) -> Option<T> {
        let i = self.names.iter().position(|n| n == id)?;
        let slot = self.bus.slots.get(i)?;
        let mut out = None;
        slot.mmio.reconfigure(|device| out = Some(change(device)));
        // What waited for its rate may go on.
        slot.notify(0);
        out
    }

    /// What it was built from.
    pub const fn config(&self) -> &VmConfig {
        &self.config
    }

    /// Its memory.
    pub const fn memory(&self) -> &Memory {
        &self.memory
    }

    /// KVM's handle of it.
    pub const fn vm(&self) -> &VmFd {
        &self.vm
    }

    /// Its numbers.
    pub fn counts(&self) -> Counts {
        let e = &self.shared.exits;
        let n = |a: &std::sync::atomic::AtomicU64| a.load(Ordering::Relaxed);
        let exits = Exits {
            io_in: n(&e.io_in),
            io_out: n(&e.io_out),
            mmio_read: n(&e.mmio_read),
            mmio_write: n(&e.mmio_write),
            interrupted: n(&e.interrupted),
            other: n(&e.other),
        };
        let device = |(slot, id): (&Slot, &String)| DriveCounts {
            id: id.clone(),
            transport: slot.mmio.counts(),
            broken: slot.mmio.broken().map(|b| b.to_string()),
        };
        Counts {
            exits,
            devices: self.bus.slots.iter().zip(&self.names).map(device).collect(),
            console: self.console.end(),
        }
    }
}

/// Takes all vCPUs out of the guest.
fn kick(ids: &[AtomicI32]) {
    let process = i32::try_from(std::process::id()).unwrap_or(0);
    for id in ids {
        let id = id.load(Ordering::SeqCst);
        if id != 0 {
            #[allow(unsafe_code)]
            // SAFETY: the call has no memory in it. A thread that has ended meanwhile is an error that nobody minds; if its
            // number were given to another thread of this process, the handler would find no vCPU there.
            unsafe {
                libc::syscall(libc::SYS_tgkill, process, id, vcpu::kick_signal());
            }
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.stop();
        let mut threads = self.threads.lock();
        // A thread that began after the end was said looks at the word before it enters the guest.
        kick(&threads.ids);
        for handle in threads.handles.drain(..) {
            // A thread that panicked has said so by itself.
            let _ = handle.join();
        }
    }
}
