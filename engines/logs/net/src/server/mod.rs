//! HTTP servers of sources and sinks: connections with or without TLS, bodies with bounds.

pub(crate) mod body;

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use ::http::{Request, Response, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use qd_core::Severity;
use qd_logs_config::common::TlsConfig;
use qd_logs_model::{BoxFuture, BuildError, Context, InternalLog, Shutdown, Telemetry};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// The body of an answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;
/// Answers requests; the address is the client's.
pub(crate) type Handler =
    Arc<dyn Fn(Request<Incoming>, SocketAddr) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

/// Connections at once, at the most; more wait to be accepted.
const MAX_CONNECTIONS: usize = 4096;
/// How long requests under way may take after the end was asked for.
const GRACE: Duration = Duration::from_secs(30);
/// How long a TLS handshake, and the headers of a request, may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A socket that listens.
pub(crate) struct Server {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    telemetry: Telemetry,
    log: InternalLog,
}

/// A plain text answer.
pub(crate) fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(body.into()).boxed_unsync());
    *response.status_mut() = status;
    response
}

impl Server {
    /// Listens on an address.
    ///
    /// # Errors
    /// An address that can't be had, TLS options that can't be used.
    pub(crate) async fn bind(address: SocketAddr, tls: Option<&TlsConfig>, cx: &Context) -> Result<Server, BuildError> {
        let tls = qd_logs_tls::server(tls, &["h2", "http/1.1"])?.map(TlsAcceptor::from);
        let listener = TcpListener::bind(address)
            .await
            .map_err(|e| BuildError::of("address", format!("can't listen on {address}: {e}")))?;
        if let Ok(at) = listener.local_addr() {
            cx.log.say(
                Severity::Info,
                format!("listening on {at}"),
                vec![("address", at.to_string().into())],
            );
        }
        Ok(Server {
            listener,
            tls,
            telemetry: cx.telemetry.clone(),
            log: cx.log.clone(),
        })
    }

    /// Serves until `shutdown` is set; requests under way are answered then.
    pub(crate) async fn serve(self, handler: Handler, mut shutdown: Shutdown) {
        let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let stop = CancellationToken::new();
        let mut connections = JoinSet::new();
        let open = self.telemetry.gauge("open_connections");
        loop {
            let permit = match room.clone().acquire_owned().await {
                Ok(permit) => permit,
                Err(_) => break,
            };
            let (stream, peer) = tokio::select! {
                biased;
                () = shutdown.wait() => break,
                accepted = self.listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(e) => {
                        self.telemetry.error("connection_failed", "receiving");
                        self.log.say(Severity::Warn, format!("a connection can't be accepted: {e}"), Vec::new());
                        // Without free file descriptors the next try fails as well.
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
            };
            let (handler, tls, stopped) = (handler.clone(), self.tls.clone(), stop.clone());
            let (telemetry, log) = (self.telemetry.clone(), self.log.clone());
            connections.spawn(async move {
                if let Err(why) = connection(stream, peer, tls, handler, stopped).await {
                    telemetry.error("connection_failed", "receiving");
                    log.say(
                        Severity::Warn,
                        format!("the TLS handshake with {peer} failed: {why}"),
                        Vec::new(),
                    );
                }
                drop(permit);
            });
            while connections.try_join_next().is_some() {}
            open.set(connections.len() as f64);
        }
        drop(self.listener);
        stop.cancel();
        let all = async { while connections.join_next().await.is_some() {} };
        let _overdue = tokio::time::timeout(GRACE, all).await;
        open.set(0.0);
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    handler: Handler,
    stopped: CancellationToken,
) -> Result<(), String> {
    let _delay_stays = stream.set_nodelay(true);
    match tls {
        None => exchange(stream, peer, handler, stopped).await,
        Some(acceptor) => {
            let shaken = tokio::select! {
                shaken = tokio::time::timeout(PATIENCE, acceptor.accept(stream)) => shaken,
                () = stopped.cancelled() => return Ok(()),
            };
            let stream = shaken
                .map_err(|_| "it took too long".to_owned())?
                .map_err(|e| e.to_string())?;
            exchange(stream, peer, handler, stopped).await;
        }
    }
    Ok(())
}

async fn exchange<S>(stream: S, peer: SocketAddr, handler: Handler, stopped: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let answer = handler(request, peer);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(250);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    // A connection that breaks off is the client's business.
    tokio::select! {
        _ended = connection.as_mut() => {}
        () = stopped.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ended = connection.await;
        }
    }
}
