//! The keys of the `file` source: Vector's, with its defaults and aliases.

use std::path::PathBuf;

use qd_logs_config::common::Acknowledgements;
use serde::Deserialize;

use crate::sources::keys::OptionalPath;

/// The options of the `file` source.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileConfig {
    /// Globs of the files to read; `**` stands for any directories.
    pub include: Vec<PathBuf>,
    /// Globs of files not to read; they win over `include`.
    #[serde(default)]
    pub exclude: Vec<PathBuf>,
    /// The field that gets the file's path.
    #[serde(default = "file_key")]
    pub file_key: OptionalPath,
    /// Old form of `read_from` and `ignore_checkpoints`.
    #[serde(default)]
    pub start_at_beginning: Option<bool>,
    /// Whether saved positions are not used (they are written all the same).
    #[serde(default)]
    pub ignore_checkpoints: Option<bool>,
    /// Where files without a saved position are read from when the source starts; later ones from their beginning.
    #[serde(default)]
    pub read_from: ReadFrom,
    /// Files not changed for so many seconds before the start are read from their end.
    #[serde(default, alias = "ignore_older")]
    pub ignore_older_secs: Option<u64>,
    /// Longer lines are dropped and counted.
    #[serde(default = "max_line_bytes")]
    pub max_line_bytes: usize,
    /// The field that gets the machine's name.
    pub host_key: Option<OptionalPath>,
    /// Where positions are saved, instead of the global directory.
    #[serde(default)]
    pub data_dir: Option<PathBuf>,
    /// The field that gets the line's offset in the file.
    #[serde(default)]
    pub offset_key: Option<OptionalPath>,
    /// The least time between two searches for files, in milliseconds.
    #[serde(default = "cooldown", alias = "glob_minimum_cooldown")]
    pub glob_minimum_cooldown_ms: u64,
    /// How files are told apart.
    #[serde(default, alias = "fingerprinting")]
    pub fingerprint: Fingerprint,
    /// Whether files that vanish before they are opened are not worth an error.
    #[serde(default)]
    pub ignore_not_found: bool,
    /// Old form of `multiline`: the pattern of a first line.
    #[serde(default)]
    pub message_start_indicator: Option<String>,
    /// Old form of `multiline.timeout_ms`.
    #[serde(default = "multi_line_timeout")]
    pub multi_line_timeout: u64,
    /// How lines are joined.
    #[serde(default)]
    pub multiline: Option<MultilineConfig>,
    /// How much is read of one file before another one's turn. When it is not set, and when only one file has more to
    /// read, turns are larger; they are equal all the same.
    #[serde(default)]
    pub max_read_bytes: Option<usize>,
    /// Whether an older file is read to its end before a newer one is looked at.
    #[serde(default)]
    pub oldest_first: bool,
    /// Files are deleted when they were read to their end and did not change for so many seconds.
    #[serde(default, alias = "remove_after")]
    pub remove_after_secs: Option<u64>,
    /// What ends a line.
    #[serde(default = "line_delimiter")]
    pub line_delimiter: String,
    /// The character set of the files.
    #[serde(default)]
    pub encoding: Option<EncodingConfig>,
    /// Accepted for old configurations: positions always wait for the delivery here.
    #[serde(default)]
    pub acknowledgements: Acknowledgements,
    /// Vector's newer layout of events; only `false` is possible.
    #[serde(default)]
    pub log_namespace: Option<bool>,
    /// Options of the source's own metrics.
    #[serde(default)]
    pub internal_metrics: InternalMetricsOptions,
    /// How long a file that no glob finds any more is kept open while it has more to read.
    #[serde(default)]
    pub rotate_wait_secs: Option<u64>,
}

fn file_key() -> OptionalPath {
    OptionalPath::field("file")
}

fn max_line_bytes() -> usize {
    102_400
}

fn cooldown() -> u64 {
    1000
}

fn multi_line_timeout() -> u64 {
    1000
}

fn line_delimiter() -> String {
    "\n".to_owned()
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadFrom {
    /// At the first byte.
    #[default]
    Beginning,
    /// After the last byte.
    End,
}

/// How files are told apart. Whatever is chosen, a file is (device, inode) and the bytes it begins with; the choice says
/// what counts as the same content.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "strategy", rename_all = "snake_case")]
pub enum Fingerprint {
    /// By their content: copies of what was read (copytruncate, gzip) are not read again, and a file is not read before
    /// it has `lines` lines.
    Checksum {
        /// Bytes that do not count when the lines are counted.
        #[serde(default)]
        ignored_header_bytes: usize,
        /// Lines a file must have.
        #[serde(default = "one")]
        lines: usize,
    },
    /// By their place on the disk: a copy is another file.
    #[serde(rename = "device_and_inode")]
    DevInode,
}

fn one() -> usize {
    1
}

impl Default for Fingerprint {
    fn default() -> Self {
        Fingerprint::Checksum {
            ignored_header_bytes: 0,
            lines: 1,
        }
    }
}

/// How lines are joined.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MultilineConfig {
    /// What a line that begins a group looks like.
    pub start_pattern: String,
    /// What is asked of the lines after it.
    pub condition_pattern: String,
    /// What the answer means.
    pub mode: Mode,
    /// A group is sent when so many milliseconds have passed without another line.
    pub timeout_ms: u64,
}

/// What it means that a line matches `condition_pattern`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It belongs to the group.
    ContinueThrough,
    /// It and the next line belong to the group.
    ContinuePast,
    /// It begins what comes after the group.
    HaltBefore,
    /// It is the last of the group.
    HaltWith,
}

/// The character set of files.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncodingConfig {
    /// A label of the Encoding Standard: `utf-16le`, `windows-1252`.
    pub charset: String,
}

/// Options of the source's own metrics.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InternalMetricsOptions {
    /// Whether metrics carry the file's path.
    #[serde(default)]
    pub include_file_tag: bool,
}
