//! Compression of request bodies and of files.

use std::io::{self, Write};

use flate2::write::{GzEncoder, ZlibEncoder};
use qd_logs_config::{ConfigError, Node, NodeValue, carry, nearest};
use serde::{Deserialize, Deserializer};

/// How hard a compressor tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CompressionLevel {
    /// Not at all.
    None,
    /// The algorithm's own default: 6 for gzip and zlib, 3 for zstd.
    #[default]
    Default,
    /// As hard as it can.
    Best,
    /// As fast as it can.
    Fast,
    /// A number: 0 to 9 for gzip and zlib, 0 to 21 for zstd.
    Number(u32),
}

impl CompressionLevel {
    fn deflate(self) -> flate2::Compression {
        match self {
            CompressionLevel::None => flate2::Compression::none(),
            CompressionLevel::Default => flate2::Compression::default(),
            CompressionLevel::Best => flate2::Compression::best(),
            CompressionLevel::Fast => flate2::Compression::fast(),
            CompressionLevel::Number(n) => flate2::Compression::new(n.min(9)),
        }
    }

    fn zstd(self) -> i32 {
        match self {
            // zstd has no level that does not compress: 0 is its default.
            CompressionLevel::None | CompressionLevel::Default => 0,
            CompressionLevel::Best => 21,
            CompressionLevel::Fast => 1,
            CompressionLevel::Number(n) => n.min(21) as i32,
        }
    }
}

/// The compression of a request's body. Written as a name or as a table of `algorithm` and `level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// None.
    #[default]
    None,
    /// RFC 1952.
    Gzip(CompressionLevel),
    /// RFC 1950, in HTTP `deflate`.
    Zlib(CompressionLevel),
    /// RFC 8878.
    Zstd(CompressionLevel),
    /// Snappy's block format, without framing.
    Snappy,
}

const ALGORITHMS: [&str; 5] = ["none", "gzip", "zlib", "zstd", "snappy"];

impl Compression {
    /// Gzip at its default level.
    pub const GZIP: Compression = Compression::Gzip(CompressionLevel::Default);

    /// The value of `Content-Encoding`; `None` without compression.
    pub fn content_encoding(self) -> Option<&'static str> {
        match self {
            Compression::None => None,
            Compression::Gzip(_) => Some("gzip"),
            Compression::Zlib(_) => Some("deflate"),
            Compression::Zstd(_) => Some("zstd"),
            Compression::Snappy => Some("snappy"),
        }
    }

    /// What a file of logs is called: `log.gz`.
    pub fn extension(self) -> &'static str {
        match self {
            Compression::None => "log",
            Compression::Gzip(_) => "log.gz",
            Compression::Zlib(_) => "log.zz",
            Compression::Zstd(_) => "log.zst",
            Compression::Snappy => "log.snappy",
        }
    }

    /// Whether it compresses.
    pub fn is_compressed(self) -> bool {
        self != Compression::None
    }

    /// Appends the compressed `body` to `out`.
    ///
    /// # Errors
    /// What the compressor says; with memory at hand, nothing.
    pub fn compress(self, body: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Compression::None => out.extend_from_slice(body),
            Compression::Gzip(level) => {
                let mut e = GzEncoder::new(out, level.deflate());
                e.write_all(body)?;
                e.finish()?;
            }
            Compression::Zlib(level) => {
                let mut e = ZlibEncoder::new(out, level.deflate());
                e.write_all(body)?;
                e.finish()?;
            }
            Compression::Zstd(level) => {
                let mut e = zstd::stream::write::Encoder::new(out, level.zstd())?;
                e.set_pledged_src_size(Some(body.len() as u64))?;
                e.write_all(body)?;
                e.finish()?;
            }
            Compression::Snappy => {
                let packed = snap::raw::Encoder::new().compress_vec(body).map_err(io::Error::other)?;
                out.extend_from_slice(&packed);
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for CompressionLevel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let node = Node::deserialize(deserializer)?;
        let bad = |message: String| carry(ConfigError::new(message).at(node.span));
        match &node.value {
            NodeValue::String(s) => match s.as_str() {
                "none" => Ok(CompressionLevel::None),
                "fast" => Ok(CompressionLevel::Fast),
                "default" => Ok(CompressionLevel::Default),
                "best" => Ok(CompressionLevel::Best),
                _ => Err(bad(format!(
                    "unknown value `{s}`, expected a number or one of `none`, `fast`, `default`, `best`"
                ))),
            },
            NodeValue::Int(i) => u32::try_from(*i)
                .map(CompressionLevel::Number)
                .map_err(|_| bad("expected a number that is zero or more".to_owned())),
            _ => Err(bad(format!("expected a number or a name, found {}", node.kind()))),
        }
    }
}

impl<'de> Deserialize<'de> for Compression {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            algorithm: String,
            level: Option<CompressionLevel>,
        }
        let node = Node::deserialize(deserializer)?;
        let bad = |message: String| carry(ConfigError::new(message).at(node.span));
        let table = match &node.value {
            NodeValue::String(s) => Table {
                algorithm: s.clone(),
                level: None,
            },
            NodeValue::Table(_) => qd_logs_config::decode(&node).map_err(carry)?,
            _ => return Err(bad(format!("expected a name or a table, found {}", node.kind()))),
        };
        let level = table.level.unwrap_or_default();
        let (compression, max) = match table.algorithm.as_str() {
            "none" => (Compression::None, None),
            "snappy" => (Compression::Snappy, None),
            "gzip" => (Compression::Gzip(level), Some(9)),
            "zlib" => (Compression::Zlib(level), Some(9)),
            "zstd" => (Compression::Zstd(level), Some(21)),
            other => {
                let error = ConfigError::new(format!(
                    "unknown value `{other}`, expected one of `none`, `gzip`, `zlib`, `zstd`, `snappy`"
                ))
                .suggest(nearest(other, ALGORITHMS));
                return Err(carry(error.at(node.get("algorithm").unwrap_or(&node).span)));
            }
        };
        match (max, table.level) {
            (None, Some(_)) => Err(bad(format!("unknown key `level`: `{}` has no levels", table.algorithm))),
            (Some(max), Some(CompressionLevel::Number(n))) if n > max => Err(bad(format!(
                "the level {n} is too high; {} has 0 to {max}",
                table.algorithm
            ))),
            _ => Ok(compression),
        }
    }
}

/// The compression of a file that grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamCompression {
    /// None.
    #[default]
    None,
    /// RFC 1952, level 6.
    Gzip,
    /// RFC 8878, level 3.
    Zstd,
}

impl StreamCompression {
    /// Appends `data` to `out` as the file should hold it: for gzip a whole member, for zstd a whole frame. Readers take
    /// a file of many members as one text, and what a killed process leaves is cut at the end of a member by
    /// [`crate::members::whole`]. Empty data are no member.
    ///
    /// # Errors
    /// What the compressor says; with memory at hand, nothing.
    pub fn append(self, data: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        match self {
            StreamCompression::None => out.extend_from_slice(data),
            StreamCompression::Gzip => crate::members::gzip(data, out)?,
            StreamCompression::Zstd => Compression::Zstd(CompressionLevel::Default).compress(data, out)?,
        }
        Ok(())
    }
}
