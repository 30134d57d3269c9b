//! Why a request is refused, in the words a client is told.
//!
//! Every refusal is a [`Fault`]: its text is the `fault_message` of the answer, its [`Status`] the class of the status
//! code. Nothing here says how it is sent.

use thiserror::Error;

/// The class of an answer that is a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// 400: the request is wrong, or comes at the wrong time.
    BadRequest,
    /// 413: what should be stored is too large.
    TooLarge,
}

impl Status {
    /// The HTTP status code.
    pub const fn code(self) -> u16 {
        match self {
            Status::BadRequest => 400,
            Status::TooLarge => 413,
        }
    }
}

/// Why a request is refused. The text is meant for the client, as `fault_message`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Fault {
    /// No such method and path.
    #[error("Invalid request method and/or path: {method} {path}.")]
    Path {
        /// The method as it is written on the wire.
        method: &'static str,
        /// The path's first part.
        path: String,
    },
    /// A request that must not have a body has one.
    #[error("GET request cannot have a body.")]
    GetWithBody,
    /// A request that needs a body has none, or one that changes nothing.
    #[error("Empty {0} request.")]
    Empty(&'static str),
    /// The body is no JSON, or not of the shape that the path takes.
    #[error("An error occurred when deserializing the json body of a request: {0}.")]
    Json(String),
    /// An id of no length.
    #[error("The ID cannot be empty.")]
    EmptyId,
    /// An id with other characters than letters, digits and underscores.
    #[error("API Resource IDs can only contain alphanumeric characters and underscores.")]
    BadId,
    /// The path and the body name different things.
    #[error("The id from the path [{path}] does not match the id from the body [{body}]!")]
    IdMismatch {
        /// The id in the path.
        path: String,
        /// The id in the body.
        body: String,
    },
    /// It may be said only before the start.
    #[error("The requested operation is not supported after starting the microVM.")]
    AfterStart,
    /// It may be said only after the start.
    #[error("The requested operation is not supported before starting the microVM.")]
    BeforeStart,
    /// It is known, and this engine does not do it.
    #[error("The requested operation is not supported: {0}")]
    NotSupported(String),
    /// A boot source that cannot be.
    #[error("Boot source error: {0}")]
    BootSource(String),
    /// A machine that cannot be.
    #[error("Machine config error: {0}")]
    Machine(String),
    /// A CPU template that cannot be.
    #[error("Configure CPU error: {0}")]
    Cpu(String),
    /// A drive that cannot be.
    #[error("Drive config error: {0}")]
    Drive(String),
    /// A network interface that cannot be.
    #[error("Network config error: {0}")]
    Network(String),
    /// A vsock device that cannot be.
    #[error("Vsock config error: {0}")]
    Vsock(String),
    /// A balloon that cannot be.
    #[error("Balloon config error: {0}")]
    Balloon(String),
    /// An entropy device that cannot be.
    #[error("Entropy config error: {0}")]
    Entropy(String),
    /// A serial port that cannot be.
    #[error("Serial error: {0}")]
    Serial(String),
    /// MMDS cannot be set up like this.
    #[error("MMDS config error: {0}")]
    MmdsConfig(String),
    /// MMDS does not take this value.
    #[error("MMDS error: {0}")]
    Mmds(String),
    /// MMDS would grow beyond its limit.
    #[error("MMDS limit exceeded error: {0}")]
    MmdsLimit(String),
    /// The logger cannot be set up like this.
    #[error("Logger error: {0}")]
    Logger(String),
    /// Metrics cannot be set up like this.
    #[error("Metrics error: {0}")]
    Metrics(String),
    /// The machine did not start.
    #[error("Start microvm error: {0}")]
    Start(String),
    /// A snapshot was not written.
    #[error("Create snapshot error: {0}")]
    SnapshotCreate(String),
    /// A snapshot was not loaded.
    #[error("Load snapshot error: {0}")]
    SnapshotLoad(String),
    /// A running machine did not do what was asked.
    #[error("Internal VMM error: {0}")]
    Vmm(String),
}

impl Fault {
    /// The class of the answer.
    pub const fn status(&self) -> Status {
        match self {
            Fault::MmdsLimit(_) => Status::TooLarge,
            _ => Status::BadRequest,
        }
    }

    /// The body of the answer: an object with `fault_message`.
    pub fn body(&self) -> String {
        serde_json::json!({ "fault_message": self.to_string() }).to_string()
    }
}

impl From<serde_json::Error> for Fault {
    fn from(e: serde_json::Error) -> Fault {
        Fault::Json(e.to_string())
    }
}
