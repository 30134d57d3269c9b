//! Sending datagrams.

use std::{io, path::PathBuf};

use qd_core::Severity;
use qd_logs_codecs::{Encoder, framing::gelf_chunks};
use qd_logs_model::{Batch, Delivery};
use rustix::net::sockopt;
use tokio::net::{UdpSocket, UnixDatagram, lookup_host};

use super::BACKOFF;
use crate::sinks::report::Reporter;

/// Where to send.
#[derive(Clone)]
pub(super) enum Connector {
    Udp {
        host: String,
        port: u16,
        send_buffer: Option<usize>,
    },
    Unix(PathBuf),
}

impl std::fmt::Display for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Connector::Udp { host, port, .. } => write!(f, "{host}:{port}"),
            Connector::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A socket that knows its peer.
pub(super) enum Socket {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

impl Connector {
    /// A socket to the peer.
    pub(super) async fn connect(&self) -> io::Result<Socket> {
        match self {
            Connector::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                Ok(Socket::Unix(socket))
            }
            Connector::Udp {
                host,
                port,
                send_buffer,
            } => {
                let address = lookup_host((host.as_str(), *port))
                    .await?
                    .next()
                    .ok_or_else(|| io::Error::other("the name has no address"))?;
                let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(any).await?;
                if let Some(bytes) = send_buffer {
                    sockopt::set_socket_send_buffer_size(&socket, *bytes)?;
                }
                socket.connect(address).await?;
                Ok(Socket::Udp(socket))
            }
        }
    }
}

impl Socket {
    async fn send(&self, datagram: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Udp(s) => s.send(datagram).await,
            Socket::Unix(s) => s.send(datagram).await,
        }
    }
}

/// Sends batches, each event as a datagram.
pub(super) struct Sender {
    connector: Connector,
    encoder: Encoder,
    report: Reporter,
    socket: Option<Socket>,
    buffer: Vec<u8>,
    ends: Vec<usize>,
}

impl Sender {
    pub(super) fn new(connector: Connector, encoder: Encoder, report: Reporter) -> Sender {
        Sender {
            connector,
            encoder,
            report,
            socket: None,
            buffer: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// Sends a batch.
    pub(super) async fn send(&mut self, batch: &Batch) {
        self.buffer.clear();
        self.ends.clear();
        let ends = &mut self.ends;
        let encoded = self
            .encoder
            .encode_batch(batch, &mut self.buffer, |_, at| ends.push(at));
        self.report.encoded(batch, &encoded);
        let buffer = std::mem::take(&mut self.buffer);
        let ends = std::mem::take(&mut self.ends);
        let mut start = 0;
        for end in &ends {
            let event = buffer.get(start..*end).unwrap_or_default();
            start = *end;
            match self.event(event).await {
                Ok(()) => self.report.sent(1, event.len()),
                Err(why) => {
                    let peer = self.connector.to_string();
                    self.report
                        .drop_events(batch, 1, Delivery::Errored, "datagram_failed", || {
                            format!("an event of {} bytes can't be sent to {peer}: {why}", event.len())
                        });
                }
            }
        }
        self.buffer = buffer;
        self.ends = ends;
    }

    async fn event(&mut self, event: &[u8]) -> Result<(), String> {
        let chunks = match (self.encoder.gelf_chunk_size(), &self.connector) {
            (Some(max), Connector::Udp { .. }) if event.len() > max => {
                gelf_chunks(event, max, rand::random()).map_err(|e| e.to_string())?
            }
            _ => return self.datagram(event).await,
        };
        for chunk in chunks {
            self.datagram(&chunk).await?;
        }
        Ok(())
    }

    /// Sends one datagram. A peer that is not there is waited for where that can be told for sure (unix sockets); UDP's
    /// second-hand answers get one more try.
    async fn datagram(&mut self, datagram: &[u8]) -> Result<(), String> {
        let mut wait = BACKOFF.0;
        let mut tries = 0;
        loop {
            let socket = match &self.socket {
                Some(s) => Ok(s),
                None => self.connector.connect().await.map(|s| &*self.socket.insert(s)),
            };
            let connected = socket.is_ok();
            let error = match socket {
                Ok(s) => match s.send(datagram).await {
                    Ok(_) => return Ok(()),
                    Err(e) => e,
                },
                Err(e) => e,
            };
            tries += 1;
            if error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error()) {
                return Err("it is too long for a datagram".to_owned());
            }
            let udp = matches!(self.connector, Connector::Udp { .. });
            if udp && connected {
                if tries >= 2 {
                    return Err(error.to_string());
                }
                continue;
            }
            self.socket = None;
            let peer = self.connector.to_string();
            self.report.telemetry.error("connection_failed", "sending");
            self.report.complain("connect", Severity::Error, || {
                format!("{peer} can't be reached: {error}; trying again, nothing is dropped")
            });
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(BACKOFF.1);
        }
    }
}
