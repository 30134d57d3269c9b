//! A vCPU's thread: it runs the guest, and answers what the guest asks of ports and addresses.
//!
//! A thread is asked to stop by a word ([`Wanted`]) and a signal. The handler sets `immediate_exit` of the vCPU that the thread
//! runs, so a signal that comes just before the guest is entered is not lost. A vCPU's file descriptor is behind a lock
//! that its thread holds while it runs; who wants the registers of a paused machine takes the lock.

use std::cell::Cell;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kvm_ioctls::{VcpuExit, VcpuFd};
use parking_lot::{Condvar, Mutex};
use qd_vm_devices::Memory;
use qd_vm_devices::i8042::Asked;
use vm_memory::{Bytes, GuestAddress};

use crate::wiring::Bus;

/// How a machine ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The guest asked for a reset (i8042, `reboot`): machines of this kind end by it.
    Reset,
    /// Its owner stopped it.
    Stopped,
    /// A triple fault: the processor gave up.
    TripleFault {
        /// The address of the instruction, where it is known.
        rip: u64,
    },
    /// KVM could not go on.
    Internal {
        /// KVM's number of the reason; 1 is an instruction that it cannot do.
        suberror: u32,
        /// The address of the instruction.
        rip: u64,
        /// Its bytes, as far as they can be read.
        code: Vec<u8>,
    },
    /// The processor refused to enter the guest.
    FailedEntry {
        /// The processor's reason.
        reason: u64,
    },
    /// The host failed, or KVM said something unknown.
    Failed(String),
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            End::Reset => write!(f, "the guest reset the machine"),
            End::Stopped => write!(f, "stopped"),
            End::TripleFault { rip } => write!(f, "triple fault: the guest's processor shut down at {rip:#x}"),
            End::Internal { suberror, rip, code } => {
                write!(f, "KVM cannot go on (internal error, suberror {suberror}) at {rip:#x}")?;
                if !code.is_empty() {
                    write!(f, ", instruction bytes")?;
                    code.iter().try_for_each(|b| write!(f, " {b:02x}"))?;
                }
                Ok(())
            }
            End::FailedEntry { reason } => write!(f, "the processor refused to enter the guest, reason {reason:#x}"),
            End::Failed(why) => write!(f, "{why}"),
        }
    }
}

/// What vCPUs are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    Run,
    Pause,
    Stop,
}

/// Exits of all vCPUs, by kind.
#[derive(Debug, Default)]
pub(crate) struct ExitCounts {
    pub(crate) io_in: AtomicU64,
    pub(crate) io_out: AtomicU64,
    pub(crate) mmio_read: AtomicU64,
    pub(crate) mmio_write: AtomicU64,
    pub(crate) interrupted: AtomicU64,
    pub(crate) other: AtomicU64,
}

/// What all vCPUs of a machine have in common.
pub(crate) struct Shared {
    pub(crate) wanted: Mutex<Wanted>,
    pub(crate) changed: Condvar,
    /// vCPUs that stand still, with the word they heard.
    pub(crate) resting: Mutex<usize>,
    pub(crate) rested: Condvar,
    pub(crate) end: Mutex<Option<End>>,
    pub(crate) ended: Condvar,
    pub(crate) exits: ExitCounts,
    pub(crate) watch: crate::machine::Watch,
    pub(crate) on_end: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Shared {
    pub(crate) fn new(watch: crate::machine::Watch) -> Shared {
        Shared {
            wanted: Mutex::new(Wanted::Pause),
            changed: Condvar::new(),
            resting: Mutex::new(0),
            rested: Condvar::new(),
            end: Mutex::new(None),
            ended: Condvar::new(),
            exits: ExitCounts::default(),
            watch,
            on_end: Mutex::new(None),
        }
    }

    /// The machine ends; the first reason counts.
    pub(crate) fn end(&self, how: End) {
        self.end.lock().get_or_insert(how);
        *self.wanted.lock() = Wanted::Stop;
        self.changed.notify_all();
        self.ended.notify_all();
        let then = self.on_end.lock().take();
        if let Some(then) = then {
            then();
        }
        (self.watch)();
    }
}

thread_local! {
    // The run area of the vCPU that this thread runs, for the signal handler.
    static RUNNING: Cell<*mut kvm_bindings::kvm_run> = const { Cell::new(ptr::null_mut()) };
}

/// The signal that takes a vCPU's thread out of the guest.
pub(crate) fn kick_signal() -> libc::c_int {
    vmm_sys_util::signal::SIGRTMIN() + 7
}

extern "C" fn on_kick(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let run = RUNNING.with(Cell::get);
    if !run.is_null() {
        #[allow(unsafe_code)]
        // SAFETY: the pointer is set by this very thread to the run area of a vCPU that it holds, and cleared before it lets go
        // of it. The byte is one that the kernel reads and userspace may write at any time; the handler of a signal of the same
        // thread cannot run beside another write of it.
        unsafe {
            ptr::write_volatile(ptr::addr_of_mut!((*run).immediate_exit), 1);
        }
    }
}

/// The kernel's number of this thread.
pub(crate) fn thread_id() -> i32 {
    #[allow(unsafe_code)]
    // SAFETY: the call takes nothing and cannot fail.
    unsafe {
        libc::gettid()
    }
}

/// Installs the handler of the signal.
pub(crate) fn install_kick() -> Result<(), crate::VmError> {
    vmm_sys_util::signal::register_signal_handler(kick_signal(), on_kick).map_err(|e| crate::VmError::System {
        what: "a signal handler",
        why: e.into(),
    })
}

/// Clears the handler's pointer however the thread leaves.
struct Running;

impl Running {
    fn set(cpu: &mut VcpuFd) -> Running {
        let run: *mut kvm_bindings::kvm_run = cpu.get_kvm_run();
        RUNNING.with(|r| r.set(run));
        Running
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.with(|r| r.set(ptr::null_mut()));
    }
}

/// The thread of one vCPU.
pub(crate) fn run(cpu: &Mutex<VcpuFd>, bus: &Bus, memory: &Memory, shared: &Arc<Shared>) {
    loop {
        {
            let mut wanted = shared.wanted.lock();
            if *wanted != Wanted::Run {
                *shared.resting.lock() += 1;
                shared.rested.notify_all();
                while *wanted == Wanted::Pause {
                    shared.changed.wait(&mut wanted);
                }
                *shared.resting.lock() -= 1;
                if *wanted == Wanted::Stop {
                    return;
                }
            }
        }
        let mut cpu = cpu.lock();
        let running = Running::set(&mut cpu);
        let how = enter(&mut cpu, bus, memory, shared);
        drop(running);
        drop(cpu);
        if let Some(how) = how {
            shared.end(how);
        }
    }
}

/// Runs the guest until something else is wanted, or it ends.
fn enter(cpu: &mut VcpuFd, bus: &Bus, memory: &Memory, shared: &Shared) -> Option<End> {
    let exits = &shared.exits;
    let count = |n: &AtomicU64| n.fetch_add(1, Ordering::Relaxed);
    loop {
        // First the flag is cleared, then the word is read: a signal after it is seen by the kernel.
        cpu.set_kvm_immediate_exit(0);
        let leaving = *shared.wanted.lock() != Wanted::Run;
        if leaving {
            // An access that the guest has begun is finished first, so that its registers are those of an instruction's end.
            cpu.set_kvm_immediate_exit(1);
        }
        let exit = match cpu.run() {
            Ok(exit) => exit,
            Err(e) if [libc::EINTR, libc::EAGAIN].contains(&e.errno()) => {
                if leaving {
                    return None;
                }
                count(&exits.interrupted);
                continue;
            }
            Err(e) => {
                let why = std::io::Error::from_raw_os_error(e.errno());
                return Some(End::Failed(format!("KVM did not run the guest: {why}")));
            }
        };
        match exit {
            VcpuExit::IoOut(port, data) => {
                count(&exits.io_out);
                if bus.port_write(port, data) == Asked::Reset {
                    return Some(End::Reset);
                }
            }
            VcpuExit::IoIn(port, data) => {
                count(&exits.io_in);
                bus.port_read(port, data);
            }
            VcpuExit::MmioRead(at, data) => {
                count(&exits.mmio_read);
                bus.read(at, data);
            }
            VcpuExit::MmioWrite(at, data) => {
                count(&exits.mmio_write);
                bus.write(at, data, memory);
            }
            VcpuExit::Intr | VcpuExit::Hlt | VcpuExit::IrqWindowOpen | VcpuExit::SetTpr | VcpuExit::TprAccess => {
                count(&exits.interrupted);
            }
            VcpuExit::Shutdown => {
                return Some(End::TripleFault {
                    rip: cpu.get_regs().map_or(0, |r| r.rip),
                });
            }
            VcpuExit::SystemEvent(_, _) => return Some(End::Reset),
            VcpuExit::FailEntry(reason, _) => return Some(End::FailedEntry { reason }),
            VcpuExit::InternalError => return Some(internal(cpu, memory)),
            other => {
                count(&exits.other);
                return Some(End::Failed(format!(
                    "KVM left the guest for a reason that is not known: {other:?}"
                )));
            }
        }
    }
}

fn internal(cpu: &mut VcpuFd, memory: &Memory) -> End {
    let run = cpu.get_kvm_run();
    #[allow(unsafe_code)]
    // SAFETY: the exit reason is an internal error, so this is the member of the union that the kernel has written.
    let suberror = unsafe { run.__bindgen_anon_1.internal.suberror };
    let rip = cpu.get_regs().map_or(0, |r| r.rip);
    let mut code = vec![0; 15];
    let mut n = 0;
    // An instruction may lie on two pages.
    while let Some(byte) = code.get_mut(n) {
        let at = cpu
            .translate_gva(rip.wrapping_add(u64::try_from(n).unwrap_or(0)))
            .ok()
            .filter(|t| t.valid != 0);
        let Some(at) = at else { break };
        if memory
            .read_slice(std::slice::from_mut(byte), GuestAddress(at.physical_address))
            .is_err()
        {
            break;
        }
        n += 1;
    }
    code.truncate(n);
    End::Internal { suberror, rip, code }
}
