//! Where a plan comes from, and taking over what changed there: what cannot be is refused and the old goes on.

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use qd_core::EngineHandle;
use qd_proxy_config::Short;

use crate::{
    Changes, Plan, ProxyEngine,
    engine::{Command, Reply},
};

/// How often a file is looked at.
pub const WATCH: Duration = Duration::from_secs(1);
/// How long a stop waits, when nothing else is said.
const DEADLINE: Duration = Duration::from_secs(30);

/// Where a plan comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A line of arguments.
    Short(Short),
    /// A configuration file.
    File(PathBuf),
}

/// What a source says.
#[derive(Debug, Clone)]
pub struct Read {
    /// The plan.
    pub plan: Plan,
    /// How long a stop waits for requests.
    pub deadline: Duration,
    /// What is probably not meant, with its place.
    pub warnings: Vec<String>,
}

/// Size and time of a file, to see that it changed.
pub type Stamp = Option<(u64, SystemTime)>;

impl Source {
    /// Reads it.
    ///
    /// # Errors
    /// Everything that is wrong with it, in words; of a file with the places, one finding below the other.
    pub fn read(&self) -> Result<Read, String> {
        let (config, warnings) = match self {
            Source::Short(short) => (short.config().map_err(|e| e.to_string())?, Vec::new()),
            Source::File(path) => {
                let loaded = qd_proxy_config::load(path).map_err(|e| e.to_string())?;
                let warnings = loaded.warnings.iter().map(|w| loaded.files.render(w)).collect();
                (loaded.config, warnings)
            }
        };
        let deadline = match self {
            Source::Short(_) => DEADLINE,
            Source::File(_) => config.shutdown.deadline,
        };
        Ok(Read {
            plan: crate::plan_of(&config).map_err(|e| e.to_string())?,
            deadline,
            warnings,
        })
    }

    /// The file, where it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Source::Short(_) => None,
            Source::File(path) => Some(path),
        }
    }

    /// What it looks like from outside.
    pub fn stamp(&self) -> Stamp {
        let meta = std::fs::metadata(self.path()?).ok()?;
        Some((meta.len(), meta.modified().ok()?))
    }

    /// Reads it again and lets the engine take it over.
    ///
    /// # Errors
    /// Why the old plan goes on.
    pub async fn reload(&self, handle: &EngineHandle<ProxyEngine>) -> Result<Changes, String> {
        let read = self.read()?;
        match handle.ask(Command::Apply(Box::new(read.plan))).await {
            Ok(Reply::Applied(result)) => result.map_err(|e| e.to_string()),
            Ok(_) => Err("the proxy gave a strange answer".to_owned()),
            Err(e) => Err(e.to_string()),
        }
    }
}

impl Changes {
    /// In words, for people.
    pub fn words(&self) -> String {
        let list = |what: &str, names: &[String]| match names {
            [] => None,
            names => Some(format!("{what} {}", names.join(", "))),
        };
        let parts: Vec<String> = [
            list("opened", &self.opened),
            list("closed", &self.closed),
            list("changed", &self.changed),
            (self.removed_endpoints > 0).then(|| format!("{} endpoints removed", self.removed_endpoints)),
        ]
        .into_iter()
        .flatten()
        .collect();
        match parts.is_empty() {
            true => "nothing has changed".to_owned(),
            false => parts.join("; "),
        }
    }
}
