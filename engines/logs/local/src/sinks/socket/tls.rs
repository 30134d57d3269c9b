//! TLS of the sink.

use std::{io, sync::Arc};

use qd_logs_config::common::TlsConfig;
use qd_logs_model::BuildError;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream, rustls::pki_types::ServerName};

/// A TLS client for one host.
#[derive(Clone)]
pub(super) struct Client {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Client {
    /// A client as configured.
    pub(super) fn new(tls: &TlsConfig, host: &str) -> Result<Client, BuildError> {
        let config = qd_logs_tls::client(Some(tls), &[])?;
        Ok(Client {
            connector: TlsConnector::from(Arc::new(config)),
            name: qd_logs_tls::server_name(tls, host)?,
        })
    }

    /// Speaks TLS over a connection.
    pub(super) async fn connect(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.connector.connect(self.name.clone(), stream).await
    }
}
