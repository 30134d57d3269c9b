//! Active checks: endpoints are asked whether they are well, by nobody but the proxy.
//!
//! What a row of answers means is [`qd_proxy_policy::Health`]; here is how one is asked: GET of a path, `Check` of
//! `grpc.health.v1.Health`, or a connection. Each check has a connection of its own, beyond the cluster's cap, so that a
//! full pool does not look like a dead endpoint.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use qd_proxy_policy::{Health, health::Turn};
use qd_proxy_wire::{Framing, Known, RequestHead, Version};
use tokio::time::timeout;

use crate::{
    client::{Answer, ask_within, reach_own},
    cluster::{Cluster, Endpoint},
    connect::Want,
    plan::{Address, CheckKind, HealthCheck},
    shared::Shared,
};

/// What is known of an endpoint by checks.
#[derive(Debug)]
pub(crate) struct Checked {
    plan: HealthCheck,
    pub(crate) health: Health,
    /// A check is on its way.
    busy: bool,
}

/// How soon the next look is, at least and at most.
const SOON: Duration = Duration::from_millis(5);
const LATE: Duration = Duration::from_secs(1);

/// Begins the checks that are due; gives after what time to look again, if anything is checked at all.
pub(crate) fn begin(shared: &Arc<Shared>) -> Option<Duration> {
    let now = shared.clock.mono();
    let mut next = None;
    for cluster in shared.clusters.load().values() {
        for endpoint in cluster.members.iter().map(|m| &m.endpoint) {
            let mut checked = endpoint.health.lock();
            let Some(plan) = &cluster.plan.health else {
                if checked.take().is_some() {
                    endpoint.set_healthy(true);
                }
                continue;
            };
            let known = checked.as_ref().is_some_and(|c| c.plan == *plan);
            if !known {
                endpoint.set_healthy(true);
                *checked = None;
            }
            let checked = checked.get_or_insert_with(|| Checked {
                plan: plan.clone(),
                health: Health::new(plan.config, now),
                busy: false,
            });
            let wait = match checked.busy {
                true => LATE,
                false => checked.health.next().since(now),
            };
            next = Some(next.unwrap_or(LATE).min(wait.max(SOON)));
            if checked.busy || !wait.is_zero() {
                continue;
            }
            checked.busy = true;
            tokio::spawn(check(
                Arc::clone(shared),
                Arc::clone(cluster),
                Arc::clone(endpoint),
                plan.clone(),
            ));
        }
    }
    next
}

async fn check(shared: Arc<Shared>, cluster: Arc<Cluster>, endpoint: Arc<Endpoint>, plan: HealthCheck) {
    let result = ask(&cluster, &endpoint, &plan).await;
    let now = shared.clock.mono();
    // Chance of its own: the workers' is theirs.
    let mut dice = qd_proxy_policy::Dice::new(rand::random());
    let turn = {
        let mut checked = endpoint.health.lock();
        // The plan may have changed meanwhile.
        let Some(checked) = checked.as_mut().filter(|c| c.plan == plan) else {
            return;
        };
        checked.busy = false;
        let turn = checked.health.record(result, now, &mut dice);
        if turn == Some(Turn::Down) {
            let why = checked.health.last_error().unwrap_or_default();
            tracing::warn!(
                cluster = &*cluster.name,
                endpoint = &*endpoint.name,
                "it is not well: {why}"
            );
        }
        turn
    };
    shared.changed.notify_one();
    match turn {
        Some(Turn::Up) => {
            tracing::info!(cluster = &*cluster.name, endpoint = &*endpoint.name, "it is well again");
            endpoint.breaker.lock().close();
            endpoint.set_healthy(true);
        }
        Some(Turn::Down) => endpoint.set_healthy(false),
        None => {}
    }
}

fn host(address: &Address) -> String {
    match address {
        Address::Tcp(..) => address.to_string(),
        Address::Unix(_) => "localhost".to_owned(),
    }
}

/// One check.
async fn ask(cluster: &Cluster, endpoint: &Arc<Endpoint>, plan: &HealthCheck) -> Result<(), String> {
    let time = plan.config.timeout;
    let mut head = RequestHead::default();
    head.version = Version::Http11;
    head.scheme = qd_proxy_wire::rules::scheme(cluster.tls.is_some());
    head.fields.push(b"host", host(&endpoint.address).as_bytes());
    head.fields.push(b"user-agent", b"quarterdeck-health-check");
    match plan.kind {
        CheckKind::Tcp => match timeout(time, reach_own(cluster, endpoint, Want::Opaque)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(fault)) => Err(fault.to_string()),
            Err(_) => Err("no connection in time".to_owned()),
        },
        CheckKind::Http => {
            head.set_method(b"GET");
            head.set_target(plan.path.as_bytes());
            let asked = ask_within(time, cluster, endpoint, &head, Framing::None, Bytes::new()).await;
            match asked.map_err(|fault| fault.to_string())?.status {
                200..=399 => Ok(()),
                status => Err(format!("GET {} gave {status}", plan.path)),
            }
        }
        CheckKind::Grpc => {
            head.set_method(b"POST");
            head.set_target(b"/grpc.health.v1.Health/Check");
            head.fields.push(b"content-type", b"application/grpc");
            head.fields.push(b"te", b"trailers");
            let body = question(&plan.path);
            let framing = Framing::Length(body.len() as u64);
            head.fields.push(b"content-length", body.len().to_string().as_bytes());
            let asked = ask_within(time, cluster, endpoint, &head, framing, Bytes::from(body)).await;
            serving(&asked.map_err(|fault| fault.to_string())?)
        }
    }
}

/// `HealthCheckRequest { service = 1 }` as one message of gRPC.
fn question(service: &str) -> Vec<u8> {
    let service = service.get(..service.len().min(127)).unwrap_or_default();
    let mut message = Vec::new();
    if !service.is_empty() {
        message.extend_from_slice(&[0x0a, u8::try_from(service.len()).unwrap_or(0)]);
        message.extend_from_slice(service.as_bytes());
    }
    let mut framed = vec![0];
    framed.extend_from_slice(&u32::try_from(message.len()).unwrap_or(0).to_be_bytes());
    framed.extend_from_slice(&message);
    framed
}

/// Whether `HealthCheckResponse { status = 1 }` says SERVING.
fn serving(answer: &Answer) -> Result<(), String> {
    if answer.status != 200 {
        return Err(format!("the status is {}", answer.status));
    }
    let said = answer.trailers.as_ref().and_then(|t| t.first(Known::GrpcStatus));
    let said = said.or_else(|| answer.fields.first(Known::GrpcStatus));
    match said {
        Some(b"0") => {}
        Some(code) => return Err(format!("the code of gRPC is {}", String::from_utf8_lossy(code))),
        None => return Err("there is no code of gRPC".to_owned()),
    }
    let status = match answer.body.get(5..) {
        Some([0x08, status, ..]) => *status,
        // A field that is left out is 0.
        _ => 0,
    };
    match status {
        1 => Ok(()),
        2 => Err("it says NOT_SERVING".to_owned()),
        3 => Err("it does not know the service".to_owned()),
        _ => Err("it says UNKNOWN".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use qd_proxy_wire::Fields;

    #[test]
    fn the_question_is_a_message_of_grpc() {
        assert_eq!(question(""), [0, 0, 0, 0, 0]);
        assert_eq!(question("ab"), [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
    }

    #[test]
    fn only_serving_is_well() {
        let answer = |body: &[u8], code: Option<&[u8]>| {
            let mut trailers = Box::new(Fields::new());
            if let Some(code) = code {
                trailers.push(b"grpc-status", code);
            }
            Answer {
                status: 200,
                fields: Fields::new(),
                body: body.to_vec(),
                trailers: Some(trailers),
            }
        };
        assert_eq!(serving(&answer(&[0, 0, 0, 0, 2, 8, 1], Some(b"0"))), Ok(()));
        assert!(serving(&answer(&[0, 0, 0, 0, 2, 8, 2], Some(b"0"))).is_err());
        assert!(serving(&answer(&[0, 0, 0, 0, 0], Some(b"0"))).is_err());
        assert!(serving(&answer(&[0, 0, 0, 0, 2, 8, 1], Some(b"5"))).is_err());
        assert!(serving(&answer(&[0, 0, 0, 0, 2, 8, 1], None)).is_err());
    }
}
