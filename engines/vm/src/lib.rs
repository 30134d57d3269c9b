//! The microVM engine: a machine on KVM, configured as Firecracker's are.
//!
//! [`Machine`] owns what one machine is made of: its memory, the KVM file descriptors, a thread for each vCPU, and one more
//! thread on which all devices work. It is built from a [`qd_vm_model::VmConfig`], runs, can be paused, and ends in one of the ways of
//! [`End`]; nothing a guest does ends anything else. The serial console is a [`Console`]. Whoever owns a machine is called
//! when something has changed ([`Watch`]) and looks then; nothing here blocks on anybody who looks.
//!
//! What a guest sees of devices is `engines/vm/devices`, what it finds when it starts `engines/vm/boot`, what it may be told
//! `engines/vm/model`; none of these knows KVM.

mod console;
mod cpu;
mod error;
mod machine;
mod probe;
mod vcpu;
mod wiring;
mod worker;

pub use console::{Console, Read};
pub use error::VmError;
pub use machine::{Counts, DriveCounts, Exits, Machine, Options, State, Watch};
pub use probe::{Host, Missing, host};
pub use vcpu::End;

pub use qd_vm_boot as boot;
pub use qd_vm_devices as devices;
pub use qd_vm_model as model;
