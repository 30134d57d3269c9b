//! A route at work: its clusters, and what it remembers from one request to the next.
//!
//! What it remembers (budget, limits, figures) is taken over by the route of the same name of the next plan.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use parking_lot::Mutex;
use qd_core::Clock;
use qd_proxy_policy::{AccessPolicy, Budget, Dice, Limiter, Peer, Verdict};

use crate::{
    cluster::Cluster,
    fault::Fault,
    plan::{Action, HeaderEdit, Route, Split},
    stats::RouteStats,
};

/// Whom a client's limit is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum ClientKey {
    /// The first name of its certificate.
    Name(Arc<str>),
    /// Its address; `None` for all of a unix socket.
    Address(Option<IpAddr>),
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client<'a> {
    pub(crate) address: Option<IpAddr>,
    /// The names of its certificate.
    pub(crate) names: &'a [String],
}

impl Client<'_> {
    /// Whether a policy lets it use a route.
    pub(crate) fn may(&self, policy: Option<&Arc<AccessPolicy>>, route: &str) -> bool {
        let peer = Peer {
            address: self.address,
            identities: self.names,
        };
        policy.is_none_or(|p| p.check(&peer, route) == Verdict::Allow)
    }

    fn key(&self) -> ClientKey {
        match self.names.first() {
            Some(name) => ClientKey::Name(Arc::from(name.as_str())),
            None => ClientKey::Address(self.address.map(|a| a.to_canonical())),
        }
    }
}

/// One of the clusters of a route.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) cluster: Arc<Cluster>,
    weight: u32,
    pub(crate) request_headers: HeaderEdit,
    pub(crate) response_headers: HeaderEdit,
}

/// Somebody who gets copies.
#[derive(Debug)]
pub(crate) struct Copies {
    pub(crate) cluster: Arc<Cluster>,
    percent: f64,
    pub(crate) request_headers: HeaderEdit,
    pub(crate) room: Arc<qd_proxy_policy::Room>,
}

/// Copies on their way for one route at once.
const COPIES: usize = 256;

impl Copies {
    /// Whether a request is copied.
    pub(crate) fn chosen(&self, dice: &mut Dice) -> bool {
        self.percent >= 100.0 || dice.unit() * 100.0 < self.percent
    }
}

/// A route with its clusters.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) route: Route,
    /// Empty if the route answers by itself.
    lanes: Vec<Lane>,
    pub(crate) copies: Vec<Arc<Copies>>,
    pub(crate) budget: Arc<Mutex<Budget>>,
    limiter: Option<Arc<Mutex<Limiter<ClientKey>>>>,
    pub(crate) stats: Arc<RouteStats>,
}

impl Way {
    /// Everything to one cluster, for a request that has no route of its own.
    pub(crate) fn direct(cluster: Arc<Cluster>, stats: &Arc<RouteStats>, clock: &Arc<dyn Clock>) -> Way {
        let route = Route {
            action: Action::Forward(Vec::new()),
            ..Route::to("")
        };
        Way {
            lanes: vec![Lane {
                cluster,
                weight: 1,
                request_headers: HeaderEdit::default(),
                response_headers: HeaderEdit::default(),
            }],
            copies: Vec::new(),
            budget: Arc::new(Mutex::new(Budget::new(route.retry.budget, clock.now().mono))),
            limiter: None,
            stats: Arc::clone(stats),
            route,
        }
    }

    /// Finds the clusters; `Err` names one that there is not. `before` is the way of the same name of the plan before.
    pub(crate) fn new(
        route: &Route,
        listener: &Arc<str>,
        clusters: &HashMap<String, Arc<Cluster>>,
        before: Option<&Way>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Way, String> {
        let find = |name: &String| clusters.get(name).cloned().ok_or_else(|| name.clone());
        let backends = match &route.action {
            Action::Forward(list) => list.as_slice(),
            _ => &[],
        };
        let lanes = backends.iter().map(|b| {
            Ok(Lane {
                cluster: find(&b.cluster)?,
                weight: b.weight,
                request_headers: b.request_headers.clone(),
                response_headers: b.response_headers.clone(),
            })
        });
        let copies = route.mirrors.iter().map(|m| {
            Ok(Arc::new(Copies {
                cluster: find(&m.cluster)?,
                percent: m.percent,
                request_headers: m.request_headers.clone(),
                room: qd_proxy_policy::Room::new(COPIES),
            }))
        });
        let kept = before.filter(|b| b.route.retry.budget == route.retry.budget);
        let budget = kept.map(|b| Arc::clone(&b.budget));
        let same = before.filter(|b| (b.route.rate, b.route.client_rate) == (route.rate, route.client_rate));
        let limited = route.rate.is_some() || route.client_rate.is_some();
        let limiter = same.and_then(|b| b.limiter.clone());
        let fresh = || Arc::new(Mutex::new(Limiter::new(route.rate, route.client_rate)));
        Ok(Way {
            lanes: lanes.collect::<Result<_, String>>()?,
            copies: copies.collect::<Result<_, String>>()?,
            budget: budget.unwrap_or_else(|| Arc::new(Mutex::new(Budget::new(route.retry.budget, clock.now().mono)))),
            limiter: limited.then(|| limiter.unwrap_or_else(fresh)),
            stats: match before {
                Some(before) => Arc::clone(&before.stats),
                None => Arc::new(RouteStats::new(
                    Arc::clone(listener),
                    Arc::clone(&route.name),
                    clock.now().mono,
                )),
            },
            route: route.clone(),
        })
    }

    /// One of the clusters, by weight; `number` gives any number, evenly spread, and is asked only if there is a choice.
    pub(crate) fn lane(&self, number: impl FnOnce() -> u64) -> Option<&Lane> {
        match &self.lanes[..] {
            [only] => (only.weight > 0).then_some(only),
            lanes => by_weight(lanes.iter().map(|l| (l, l.weight)), number()),
        }
    }

    /// Takes a request out of the limits.
    pub(crate) fn limit(&self, client: &Client<'_>, clock: &Arc<dyn Clock>) -> Result<(), Fault> {
        let Some(limiter) = &self.limiter else {
            return Ok(());
        };
        let taken = limiter.lock().take(&client.key(), clock.now().mono);
        taken.map_err(|refused| Fault::limited(&refused))
    }
}

/// One of several things by their weights.
fn by_weight<T>(all: impl Iterator<Item = (T, u32)> + Clone, number: u64) -> Option<T> {
    let total: u64 = all.clone().map(|(_, w)| u64::from(w)).sum();
    let mut left = number.checked_rem(total)?;
    for (one, weight) in all {
        match left.checked_sub(u64::from(weight)) {
            Some(rest) => left = rest,
            None => return Some(one),
        }
    }
    None
}

/// Where bytes go.
#[derive(Debug)]
pub(crate) struct Fork {
    pub(crate) name: Arc<str>,
    clusters: Vec<(Arc<Cluster>, u32)>,
}

impl Fork {
    /// Finds the clusters; `Err` names one that there is not.
    pub(crate) fn new(split: &Split, clusters: &HashMap<String, Arc<Cluster>>) -> Result<Fork, String> {
        let find = |(name, weight): &(String, u32)| match clusters.get(name) {
            Some(cluster) => Ok((Arc::clone(cluster), *weight)),
            None => Err(name.clone()),
        };
        Ok(Fork {
            name: Arc::clone(&split.name),
            clusters: split.clusters.iter().map(find).collect::<Result<_, _>>()?,
        })
    }

    /// One of them, by weight; `number` is any number, evenly spread.
    pub(crate) fn cluster(&self, number: u64) -> Option<&Arc<Cluster>> {
        by_weight(self.clusters.iter().map(|(c, w)| (c, *w)), number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_share_out() {
        let all = [("a", 3), ("b", 0), ("c", 1)];
        let mut counts = [0; 3];
        for n in 0..400 {
            let one = by_weight(all.iter().copied(), n).unwrap();
            counts[all.iter().position(|(name, _)| *name == one).unwrap()] += 1;
        }
        assert_eq!(counts, [300, 0, 100]);
        assert_eq!(by_weight([("a", 0)].into_iter(), 7), None);
    }
}
