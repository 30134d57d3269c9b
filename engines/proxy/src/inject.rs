//! Faults that are injected on purpose: who meets one, and what happens then.

use std::net::IpAddr;

use qd_core::{Fields, ValueRef};
use qd_proxy_policy::FaultAction;
use qd_proxy_wire::{RequestHead, ResponseHead};

use crate::{fault::Fault, router, shared::Shared};

/// A request as filters see it before it is sent, or before it is answered.
pub(crate) struct Asked<'a> {
    head: &'a RequestHead,
    answer: Option<&'a ResponseHead>,
    client: Option<String>,
    route: &'a str,
}

impl<'a> Asked<'a> {
    pub(crate) fn new(head: &'a RequestHead, client: Option<IpAddr>, route: &'a str) -> Asked<'a> {
        Asked {
            head,
            answer: None,
            client: client.map(|c| c.to_string()),
            route,
        }
    }

    /// The same with its answer.
    pub(crate) fn answered(mut self, answer: &'a ResponseHead) -> Asked<'a> {
        self.answer = Some(answer);
        self
    }
}

fn text(bytes: &[u8]) -> Option<ValueRef<'_>> {
    std::str::from_utf8(bytes).ok().map(ValueRef::Str)
}

impl Fields for Asked<'_> {
    fn field(&self, name: &str) -> Option<ValueRef<'_>> {
        match name {
            "method" => text(self.head.method()),
            "path" => text(self.head.target()),
            "host" => text(router::bare_host(self.head.host().unwrap_or_default())),
            "route" => Some(ValueRef::Str(self.route)),
            "src" => self.client.as_deref().map(ValueRef::Str),
            "status" => self.answer.map(|a| ValueRef::Uint(a.status.into())),
            _ => match name.strip_prefix("response.header.") {
                Some(name) => text(self.answer?.fields.get(name.as_bytes())?),
                None => {
                    let name = name.strip_prefix("request.").unwrap_or(name);
                    text(self.head.fields.get(name.strip_prefix("header.")?.as_bytes())?)
                }
            },
        }
    }

    fn search(&self, found: &mut dyn FnMut(&str) -> bool) -> bool {
        let line = [self.head.method(), self.head.target()];
        let values = self.head.fields.iter().map(|(_, v)| v);
        line.into_iter()
            .chain(values)
            .filter_map(|b| std::str::from_utf8(b).ok())
            .any(found)
    }
}

/// Lets a request meet the fault that is for it, if there is one.
pub(crate) async fn perhaps(
    shared: &Shared,
    worker: usize,
    route: &str,
    head: &RequestHead,
    client: Option<IpAddr>,
) -> Result<(), Fault> {
    let now = shared.clock.now().mono;
    let asked = Asked::new(head, client, route);
    let met = shared.roll(worker, |dice| shared.faults.lock().decide(route, &asked, now, dice));
    match met.map(|m| m.action) {
        None => Ok(()),
        Some(FaultAction::Delay(wait)) => {
            tokio::time::sleep(wait).await;
            Ok(())
        }
        Some(FaultAction::Abort(status)) => Err(Fault::Injected(status)),
        Some(FaultAction::Reset) => Err(Fault::InjectedReset),
    }
}
