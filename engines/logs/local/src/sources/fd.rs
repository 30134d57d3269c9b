//! The sources `stdin` and `file_descriptor`: what comes in by an open descriptor.
//!
//! A thread of its own reads, as such reads can't be cancelled; when the source ends the thread is left behind in its
//! last read.

use std::{io::Read, path::PathBuf};

use bytes::Bytes;
use qd_logs_codecs::{DecodingConfig, FramingConfig};
use qd_logs_config::Node;
use qd_logs_model::{
    BoxFuture, BuildError, ComponentError, Context, Entry, OutputPort, Resource, Shutdown, Source, SourceConfig,
    SourceOut,
};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_util::io::StreamReader;

use super::{
    keys::{OptionalPath, host_key, hostname, legacy_namespace},
    stream::{Codec, Received, origin, pump},
};

/// Blocks of a reading thread that wait to be decoded.
const WAITING: usize = 16;
const BLOCK: usize = 64 * 1024;

fn max_length() -> usize {
    102_400
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StdinConfig {
    #[serde(default = "max_length")]
    max_length: usize,
    host_key: Option<OptionalPath>,
    framing: Option<FramingConfig>,
    #[serde(default)]
    decoding: DecodingConfig,
    #[serde(default)]
    log_namespace: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DescriptorConfig {
    fd: u32,
    #[serde(default = "max_length")]
    max_length: usize,
    host_key: Option<OptionalPath>,
    framing: Option<FramingConfig>,
    #[serde(default)]
    decoding: DecodingConfig,
    #[serde(default)]
    log_namespace: Option<bool>,
}

/// One of the two.
#[derive(Debug)]
struct Config {
    ty: &'static str,
    fd: u32,
    max_length: usize,
    host_key: Option<OptionalPath>,
    framing: Option<FramingConfig>,
    decoding: DecodingConfig,
    log_namespace: Option<bool>,
}

/// The catalogue's entry of `stdin`.
pub fn stdin() -> Entry<dyn SourceConfig> {
    Entry {
        name: "stdin",
        about: "reads the standard input",
        parse: |node: &Node| {
            let c: StdinConfig = qd_logs_config::decode(node)?;
            Ok(Box::new(Config {
                ty: "stdin",
                fd: 0,
                max_length: c.max_length,
                host_key: c.host_key,
                framing: c.framing,
                decoding: c.decoding,
                log_namespace: c.log_namespace,
            }))
        },
    }
}

/// The catalogue's entry of `file_descriptor`.
pub fn descriptor() -> Entry<dyn SourceConfig> {
    Entry {
        name: "file_descriptor",
        about: "reads a descriptor that this process was started with",
        parse: |node: &Node| {
            let c: DescriptorConfig = qd_logs_config::decode(node)?;
            Ok(Box::new(Config {
                ty: "file_descriptor",
                fd: c.fd,
                max_length: c.max_length,
                host_key: c.host_key,
                framing: c.framing,
                decoding: c.decoding,
                log_namespace: c.log_namespace,
            }))
        },
    }
}

impl SourceConfig for Config {
    fn outputs(&self) -> Vec<OutputPort> {
        vec![OutputPort {
            name: None,
            kinds: self.decoding.kinds(),
        }]
    }

    fn resources(&self) -> Vec<Resource> {
        vec![Resource::Fd(self.fd)]
    }

    fn build(&self, cx: Context) -> BoxFuture<'_, Result<Box<dyn Source>, BuildError>> {
        Box::pin(async move {
            legacy_namespace(self.log_namespace)?;
            // A descriptor is opened anew by its name, so that nothing here owns the process's own one.
            let path = PathBuf::from(format!("/proc/self/fd/{}", self.fd));
            let reader: Box<dyn Read + Send> = if self.fd == 0 {
                Box::new(std::io::stdin())
            } else {
                let file = std::fs::File::open(&path).map_err(|e| {
                    BuildError::of("fd", format!("cannot read descriptor {} of this process: {e}", self.fd))
                })?;
                Box::new(file)
            };
            let host = host_key(&self.host_key, &cx.globals.log_schema).zip(hostname(&cx));
            Ok(Box::new(Descriptor {
                codec: Codec::stream(&cx, self.framing.as_ref(), &self.decoding, Some(self.max_length))?,
                origin: origin(&cx, self.ty, host.into_iter().collect()),
                received: Received::new(&cx, "none"),
                reader,
            }) as Box<dyn Source>)
        })
    }
}

struct Descriptor {
    codec: Codec,
    origin: std::sync::Arc<qd_logs_model::Origin>,
    received: Received,
    reader: Box<dyn Read + Send>,
}

fn read_all(mut reader: Box<dyn Read + Send>, blocks: &mpsc::Sender<std::io::Result<Bytes>>) {
    let mut buf = vec![0; BLOCK];
    loop {
        let block = match reader.read(&mut buf) {
            Ok(0) => return,
            Ok(n) => Ok(Bytes::copy_from_slice(buf.get(..n).unwrap_or_default())),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => Err(e),
        };
        let failed = block.is_err();
        if blocks.blocking_send(block).is_err() || failed {
            return;
        }
    }
}

impl Source for Descriptor {
    fn run(self: Box<Self>, out: SourceOut, mut shutdown: Shutdown) -> BoxFuture<'static, Result<(), ComponentError>> {
        Box::pin(async move {
            let (blocks, mut waiting) = mpsc::channel(WAITING);
            let reader = self.reader;
            std::thread::Builder::new()
                .name("logs-descriptor".to_owned())
                .spawn(move || read_all(reader, &blocks))
                .map_err(|e| ComponentError::new(format!("cannot start a thread: {e}")))?;
            let stream = futures::stream::poll_fn(move |cx| waiting.poll_recv(cx));
            let reader = StreamReader::new(stream);
            let decoder = self.codec.decoder();
            let _over = pump(
                reader,
                decoder,
                &self.origin,
                &self.received,
                &out,
                &mut shutdown,
                None,
                |_| {},
            )
            .await;
            Ok(())
        })
    }
}
