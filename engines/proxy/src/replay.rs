//! Sending a request again that a tap has seen.
//!
//! It goes the way of any other request (routes, limits, faults, balancing) or to the endpoint that had it, as a client that
//! nobody is behind; what comes back is a flow of its own that says what it repeats. A request whose body was not kept whole
//! is not sent, since it would be another one.

use std::sync::{Arc, OnceLock};

use bytes::BytesMut;
use qd_proxy_wire::{Framing, Known};
use tokio::sync::oneshot;

use crate::{
    cluster::Cluster,
    conns::Conns,
    exchange::Down,
    flow::Flow,
    forward::{self, ConnCx, ConnTimes, Desk},
    hold::{EditError, RequestEdit},
    io::{Conn, Io},
    shared::{Shared, Slot},
    side::H1,
};

/// Where a request is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReplayTo {
    /// Through the listener's routes.
    #[default]
    Routes,
    /// To the endpoint that had it, past routes and limits; the path and the headers are the client's.
    Endpoint,
}

/// What is to be sent again.
#[derive(Debug, Clone)]
pub struct ReplayRequest {
    /// The flow, which must have ended.
    pub flow: Arc<Flow>,
    /// What is changed of the request.
    pub edit: Option<RequestEdit>,
    /// Where it is sent.
    pub to: ReplayTo,
    /// Bytes that are kept of each body of the new flow.
    pub body: usize,
}

/// Why a request is not sent again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// It goes on.
    #[error("the flow goes on; it can be sent again when it has ended")]
    Running,
    /// Its body was not kept whole.
    #[error("only {kept} of {length} bytes of the request's body were kept; give it another body")]
    Truncated {
        /// Bytes that were kept.
        kept: usize,
        /// Bytes of the body.
        length: u64,
    },
    /// It is no request.
    #[error("a tunnel can't be sent again")]
    Tunnel,
    /// The edit is none.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// Its listener is gone.
    #[error("there is no listener `{0}` any more")]
    NoListener(Arc<str>),
    /// Its endpoint is gone.
    #[error("the endpoint that had it is gone")]
    NoEndpoint,
    /// The proxy stops.
    #[error("the proxy does not run")]
    Stopped,
}

/// What a connection that nobody is behind sends.
#[derive(Debug)]
pub(crate) struct Again {
    pub(crate) of: u64,
    pub(crate) body: usize,
    /// The cluster of the one endpoint that it shall go to.
    pub(crate) to: Option<Arc<Cluster>>,
    pub(crate) flow: OnceLock<Arc<Flow>>,
}

/// A request that is ready to be sent again.
pub(crate) struct Job {
    slot: Arc<Slot>,
    desk: Desk,
    framing: Framing,
    again: Again,
    peer: Option<std::net::SocketAddr>,
    tls: bool,
    pub(crate) done: oneshot::Sender<Result<Arc<Flow>, ReplayError>>,
}

/// Makes a job of what is asked.
pub(crate) fn prepare(
    shared: &Shared,
    slot: Option<Arc<Slot>>,
    request: ReplayRequest,
    done: oneshot::Sender<Result<Arc<Flow>, ReplayError>>,
) -> Result<Job, ReplayError> {
    let flow = request.flow;
    let ended = flow.end().ok_or(ReplayError::Running)?;
    let head = flow.secret();
    if matches!(head.method(), b"CONNECT" | b"") || ended.status == 101 {
        return Err(ReplayError::Tunnel);
    }
    let slot = slot.ok_or_else(|| ReplayError::NoListener(Arc::clone(&flow.listener)))?;
    let mut desk = Desk {
        head,
        prefilled: true,
        ..Desk::default()
    };
    let body = match request.edit {
        None => None,
        Some(edit) => {
            edit.check()?;
            edit.apply(&mut desk.head, &flow.rules())
        }
    };
    let body = match body {
        Some(body) => body,
        None if ended.request_body.is_whole() => ended.request_body.data.clone(),
        None => {
            return Err(ReplayError::Truncated {
                kept: ended.request_body.data.len(),
                length: ended.request_body.length,
            });
        }
    };
    let fields = &mut desk.head.fields;
    for gone in [
        Known::ContentLength,
        Known::TransferEncoding,
        Known::Expect,
        Known::Upgrade,
        Known::Trailer,
    ] {
        fields.remove(gone);
    }
    let framing = match body.len() {
        0 => Framing::None,
        n => {
            fields.push(b"Content-Length", n.to_string().as_bytes());
            Framing::Length(n as u64)
        }
    };
    desk.replay.replace(body);
    let to = match request.to {
        ReplayTo::Routes => None,
        ReplayTo::Endpoint => Some(alone(shared, ended.cluster.as_deref(), ended.endpoint.as_deref())?),
    };
    Ok(Job {
        slot,
        desk,
        framing,
        again: Again {
            of: flow.id,
            body: request.body,
            to,
            flow: OnceLock::new(),
        },
        peer: flow.client,
        tls: flow.tls,
        done,
    })
}

/// A cluster of this endpoint alone.
fn alone(shared: &Shared, cluster: Option<&str>, endpoint: Option<&str>) -> Result<Arc<Cluster>, ReplayError> {
    let (cluster, endpoint) = cluster.zip(endpoint).ok_or(ReplayError::NoEndpoint)?;
    let clusters = shared.clusters.load();
    let cluster = clusters.get(cluster).ok_or(ReplayError::NoEndpoint)?;
    let mut plan = cluster.plan.clone();
    plan.endpoints.retain(|(address, _)| address.to_string() == endpoint);
    if plan.endpoints.is_empty() {
        return Err(ReplayError::NoEndpoint);
    }
    let alone = Cluster::new(&plan, Some(cluster), shared);
    alone.map(Arc::new).map_err(|_| ReplayError::NoEndpoint)
}

/// Sends it.
pub(crate) async fn run(shared: Arc<Shared>, worker: usize, mut job: Job) {
    let again = Arc::new(job.again);
    let limits = job.slot.stand.load().plan.bounds.head;
    let cx = ConnCx {
        entry: Conns::apart(&job.slot.name, &job.slot.counted, job.peer),
        local: job.slot.local,
        shared,
        worker,
        slot: job.slot,
        peer: job.peer,
        tls: job.tls,
        times: ConnTimes::now(),
        again: Some(Arc::clone(&again)),
        names: Arc::from([]),
        aim: None,
    };
    let mut side = H1::new(Conn::new(Io::Nobody, BytesMut::new()), limits);
    forward::serve(&cx, &mut job.desk, &mut Down::H1(&mut side), job.framing).await;
    let flow = again.flow.get().cloned().ok_or(ReplayError::Stopped);
    let _ = job.done.send(flow);
}
