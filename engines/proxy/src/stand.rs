//! A listener's plan made ready to serve: its router, its routes with their clusters, its TLS.

use std::{collections::HashMap, sync::Arc};

use qd_core::Clock;
use qd_proxy_config::{Router, Served};

use crate::{
    cluster::Cluster,
    intercept::Authority,
    plan::{self, Split},
    proxy::PlanError,
    shared::Stand,
    tellers::Tellers,
    tls::Acceptor,
    way::{Fork, Way},
};

/// Makes a listener's plan ready; `before` is what it did until now.
pub(crate) fn stand(
    plan: &plan::Listener,
    clusters: &HashMap<String, Arc<Cluster>>,
    before: Option<&Stand>,
    tellers: &Tellers,
    clock: &Arc<dyn Clock>,
) -> Result<Stand, PlanError> {
    let place = || format!("listener `{}`", plan.name);
    let missing = |cluster: String| PlanError::NoCluster {
        place: place(),
        cluster,
    };
    let fork = |split: &Split| Fork::new(split, clusters).map_err(missing);
    let name: Arc<str> = Arc::from(plan.name.as_str());
    let known: HashMap<&str, &Arc<Way>> = before
        .iter()
        .flat_map(|b| &b.ways)
        .map(|w| (&*w.route.name, w))
        .collect();
    let ways = plan.routes.iter().map(|r| {
        let before = known.get(&*r.name).map(|w| &***w);
        match Way::new(r, &name, clusters, before, clock) {
            Ok(way) => Ok(Arc::new(way)),
            Err(cluster) => Err(PlanError::NoCluster {
                place: format!("listener `{}`, route `{}`", plan.name, r.name),
                cluster,
            }),
        }
    });
    let router = Router::of(plan.routes.iter().map(|r| Served {
        hosts: &r.hosts,
        matches: &r.matches,
    }));
    let kept = before.filter(|b| b.plan.tls == plan.tls).and_then(|b| b.tls.clone());
    let tls = match (&plan.tls, kept) {
        (None, _) => None,
        (Some(_), Some(kept)) => Some(kept),
        (Some(tls), None) => Some(Arc::new(
            Acceptor::new(tls).map_err(|source| PlanError::Tls { place: place(), source })?,
        )),
    };
    let kept = before.filter(|b| b.plan.intercept == plan.intercept);
    let authority = match (&plan.intercept, kept.and_then(|b| b.authority.clone())) {
        (None, _) => None,
        (Some(_), Some(kept)) => Some(kept),
        (Some(intercept), None) => Some(Arc::new(
            Authority::new(intercept).map_err(|source| PlanError::Tls { place: place(), source })?,
        )),
    };
    let passthrough = plan.passthrough.iter().map(|(p, c)| Ok((p.clone(), fork(c)?)));
    Ok(Stand {
        router,
        ways: ways.collect::<Result<_, _>>()?,
        opaque: plan.opaque.as_ref().map(fork).transpose()?,
        passthrough: passthrough.collect::<Result<_, PlanError>>()?,
        tls,
        authority,
        tellers: tellers.clone(),
        plan: plan.clone(),
    })
}
