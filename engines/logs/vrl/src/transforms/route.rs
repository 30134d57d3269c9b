//! `route`: sends each event to every route whose condition it meets.

use indexmap::IndexMap;
use qd_logs_config::Node;
use qd_logs_model::{
    Batch, BuildError, Context, InputKinds, OutputPort, Telemetry, Transform, TransformConfig, TransformOut,
    telemetry::Intent,
};

use super::{UNMATCHED, condition, keep, yes};
use crate::Condition;

/// The configuration of `route`.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    #[serde(default = "yes")]
    reroute_unmatched: bool,
    route: IndexMap<String, Node>,
}

pub(super) fn port(name: &str) -> OutputPort {
    OutputPort {
        name: Some(name.to_owned()),
        kinds: Vec::new(),
    }
}

impl TransformConfig for RouteConfig {
    fn input(&self) -> InputKinds {
        InputKinds::ALL
    }

    fn outputs(&self) -> Vec<OutputPort> {
        let unmatched = self.reroute_unmatched.then_some(UNMATCHED);
        self.route
            .keys()
            .map(String::as_str)
            .chain(unmatched)
            .map(port)
            .collect()
    }

    fn build(&self, cx: Context) -> Result<Box<dyn Transform>, BuildError> {
        if self.route.contains_key(UNMATCHED) {
            return Err(BuildError::of(
                "route",
                format!("cannot have a named output with reserved name: `{UNMATCHED}`"),
            ));
        }
        let routes = self
            .route
            .iter()
            .map(|(name, node)| {
                condition(node, "", &cx).map_err(|mut e| {
                    let under = e.path.split_off(1);
                    e.path = vec!["route".to_owned(), name.clone()];
                    e.path.extend(under);
                    e
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Box::new(Route {
            routes,
            reroute_unmatched: self.reroute_unmatched,
            telemetry: cx.telemetry,
        }))
    }
}

struct Route {
    routes: Vec<Condition>,
    reroute_unmatched: bool,
    telemetry: Telemetry,
}

impl Transform for Route {
    fn transform(&mut self, batch: Batch, out: &mut TransformOut) {
        let mut matched = vec![false; batch.len()];
        for (port, condition) in self.routes.iter().enumerate() {
            let flags = condition.check_batch(&batch, &self.telemetry);
            for (m, f) in matched.iter_mut().zip(&flags) {
                *m |= f;
            }
            if flags.contains(&true) {
                out.push_to(port, keep(batch.clone(), &flags));
            }
        }
        let unmatched: Vec<bool> = matched.iter().map(|m| !m).collect();
        if self.reroute_unmatched {
            if unmatched.contains(&true) {
                out.push_to(self.routes.len(), keep(batch, &unmatched));
            }
        } else {
            let dropped = unmatched.iter().filter(|u| **u).count();
            if dropped > 0 {
                self.telemetry.discarded(dropped as u64, Intent::Intended);
            }
        }
    }
}
