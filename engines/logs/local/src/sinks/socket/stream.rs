//! Sending over connections.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    path::PathBuf,
    time::Duration,
};

use qd_core::Severity;
use qd_logs_codecs::Encoder;
use qd_logs_model::Batch;
use rustix::{
    io::Errno,
    net::{RecvFlags, recv, sockopt},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::client::TlsStream;

use super::{BACKOFF, tls};
use crate::sinks::report::Reporter;

/// A connection of any kind.
pub(super) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {
    /// The socket below.
    fn socket(&self) -> BorrowedFd<'_>;
}

impl Connection for TcpStream {
    fn socket(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }
}

impl Connection for UnixStream {
    fn socket(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }
}

impl Connection for TlsStream<TcpStream> {
    fn socket(&self) -> BorrowedFd<'_> {
        self.get_ref().0.as_fd()
    }
}

/// How to connect.
#[derive(Clone)]
pub(super) enum Connector {
    Tcp {
        host: String,
        port: u16,
        tls: Option<tls::Client>,
        keepalive: Option<Duration>,
        send_buffer: Option<usize>,
    },
    Unix(PathBuf),
}

impl std::fmt::Display for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Connector::Tcp { host, port, .. } => write!(f, "{host}:{port}"),
            Connector::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(30);

impl Connector {
    /// Connects once. The name is looked up each time.
    pub(super) async fn connect(&self) -> io::Result<Box<dyn Connection>> {
        let connecting = async {
            match self {
                Connector::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?) as Box<dyn Connection>),
                Connector::Tcp {
                    host,
                    port,
                    tls,
                    keepalive,
                    send_buffer,
                } => {
                    let stream = TcpStream::connect((host.as_str(), *port)).await?;
                    if let Some(time) = keepalive {
                        sockopt::set_socket_keepalive(&stream, true)?;
                        sockopt::set_tcp_keepidle(&stream, *time)?;
                    }
                    if let Some(bytes) = send_buffer {
                        sockopt::set_socket_send_buffer_size(&stream, *bytes)?;
                    }
                    Ok(match tls {
                        Some(tls) => Box::new(tls.connect(stream).await?) as Box<dyn Connection>,
                        None => Box::new(stream),
                    })
                }
            }
        };
        tokio::time::timeout(CONNECT, connecting)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// Sends batches, over one connection after the other.
pub(super) struct Sender {
    connector: Connector,
    encoder: Encoder,
    report: Reporter,
    connection: Option<Box<dyn Connection>>,
    buffer: Vec<u8>,
    /// Where frames end in the buffer.
    ends: Vec<usize>,
}

impl Sender {
    pub(super) fn new(connector: Connector, encoder: Encoder, report: Reporter) -> Sender {
        Sender {
            connector,
            encoder,
            report,
            connection: None,
            buffer: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// Sends a batch, however often it takes to connect.
    pub(super) async fn send(&mut self, batch: &Batch) {
        self.buffer.clear();
        self.ends.clear();
        let ends = &mut self.ends;
        let encoded = self
            .encoder
            .encode_batch(batch, &mut self.buffer, |_, at| ends.push(at));
        self.report.encoded(batch, &encoded);
        let mut done = 0;
        let mut broken = false;
        while done < self.buffer.len() {
            if let Some(c) = &mut self.connection
                && has_ended(c.as_mut()).await
            {
                self.connection = None;
            }
            let connection = match &mut self.connection {
                Some(c) => c,
                None => {
                    let connection = connect(&self.connector, &mut self.report, broken).await;
                    self.connection.insert(connection)
                }
            };
            match write(connection.as_mut(), &self.buffer, &mut done).await {
                Ok(()) => break,
                Err(e) => {
                    self.connection = None;
                    broken = true;
                    // The peer has a part of an event perhaps: it gets the whole on the next connection.
                    done = self.ends.iter().rev().copied().find(|end| *end <= done).unwrap_or(0);
                    self.report.telemetry.error("connection_failed", "sending");
                    let peer = self.connector.to_string();
                    self.report.complain("socket", Severity::Warn, || {
                        format!("the connection to {peer} broke, the rest goes over the next one: {e}")
                    });
                }
            }
        }
        self.report.sent(encoded.events, self.buffer.len());
    }

    /// Says that there will be no more.
    pub(super) async fn end(&mut self) {
        if let Some(mut c) = self.connection.take()
            && let Err(e) = c.shutdown().await
        {
            self.report
                .say(Severity::Debug, format!("the connection did not end well: {e}"));
        }
    }
}

async fn write(connection: &mut dyn Connection, buffer: &[u8], done: &mut usize) -> io::Result<()> {
    while let Some(rest) = buffer.get(*done..).filter(|r| !r.is_empty()) {
        match connection.write(rest).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            n => *done += n,
        }
    }
    connection.flush().await
}

/// How long what the peer has sent may take to be read.
const READ: Duration = Duration::from_millis(10);

/// Whether the peer has closed the connection. What it may have sent is read and let go. The kernel is asked itself: the
/// runtime may not have heard of the end yet.
async fn has_ended(connection: &mut dyn Connection) -> bool {
    let mut buffer = [0; 1024];
    loop {
        match recv(
            connection.socket(),
            &mut buffer[..1],
            RecvFlags::PEEK | RecvFlags::DONTWAIT,
        ) {
            Err(Errno::AGAIN | Errno::INTR) => return false,
            Ok((_, 0)) | Err(_) => return true,
            Ok(_) => {}
        }
        match tokio::time::timeout(READ, connection.read(&mut buffer)).await {
            Err(_) => return false,
            Ok(Ok(0)) | Ok(Err(_)) => return true,
            Ok(Ok(_)) => {}
        }
    }
}

/// Connects, however long it takes; with a wait before the first attempt if the last connection broke at once.
async fn connect(connector: &Connector, report: &mut Reporter, broken: bool) -> Box<dyn Connection> {
    let mut wait = BACKOFF.0;
    if broken {
        tokio::time::sleep(wait).await;
    }
    loop {
        match connector.connect().await {
            Ok(connection) => return connection,
            Err(e) => {
                report.telemetry.error("connection_failed", "sending");
                report.complain("connect", Severity::Error, || {
                    format!("{connector} can't be reached: {e}; trying again, nothing is dropped")
                });
            }
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(BACKOFF.1);
    }
}
