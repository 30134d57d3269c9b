//! Faults that are injected on purpose: who meets one, and what happens then.

use std::net::IpAddr;

use qd_core::{Fields, ValueRef};
use qd_proxy_policy::FaultAction;
use qd_proxy_wire::RequestHead;

use crate::{fault::Fault, router, shared::Shared};

/// A request as filters see it before it is sent.
struct Asked<'a> {
    head: &'a RequestHead,
    client: Option<String>,
    route: &'a str,
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
            _ => text(self.head.fields.get(name.strip_prefix("header.")?.as_bytes())?),
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
    let asked = Asked {
        head,
        client: client.map(|c| c.to_string()),
        route,
    };
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
