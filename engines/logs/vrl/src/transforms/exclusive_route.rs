//! `exclusive_route`: sends each event to the first route whose condition it meets, or to `_unmatched`.

use qd_logs_config::Node;
use qd_logs_model::{
    Batch, BuildError, Context, InputKinds, OutputPort, Telemetry, Transform, TransformConfig, TransformOut,
};

use super::{UNMATCHED, condition, keep, route::port};
use crate::Condition;

/// The configuration of `exclusive_route`.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExclusiveRouteConfig {
    routes: Vec<RouteConfig>,
}

#[derive(Debug, Clone, serde::Deserialize)]
struct RouteConfig {
    name: String,
    condition: Node,
}

impl TransformConfig for ExclusiveRouteConfig {
    fn input(&self) -> InputKinds {
        InputKinds::ALL
    }

    fn outputs(&self) -> Vec<OutputPort> {
        let names = self.routes.iter().map(|r| r.name.as_str());
        names.chain([UNMATCHED]).map(port).collect()
    }

    fn build(&self, cx: Context) -> Result<Box<dyn Transform>, BuildError> {
        let mut routes = Vec::with_capacity(self.routes.len());
        for (i, r) in self.routes.iter().enumerate() {
            if r.name == UNMATCHED {
                return Err(BuildError::of(
                    &format!("routes.{i}.name"),
                    format!("Using reserved '{UNMATCHED}' name."),
                ));
            }
            if self.routes.iter().take(i).any(|o| o.name == r.name) {
                return Err(BuildError::of(
                    &format!("routes.{i}.name"),
                    format!("Found routes with duplicate names: {:?}", [&r.name]),
                ));
            }
            routes.push(condition(&r.condition, &format!("routes.{i}.condition"), &cx)?);
        }
        Ok(Box::new(ExclusiveRoute {
            routes,
            telemetry: cx.telemetry,
        }))
    }
}

struct ExclusiveRoute {
    routes: Vec<Condition>,
    telemetry: Telemetry,
}

impl Transform for ExclusiveRoute {
    fn transform(&mut self, batch: Batch, out: &mut TransformOut) {
        let mut rest = batch;
        for (port, condition) in self.routes.iter().enumerate() {
            if rest.is_empty() {
                return;
            }
            let flags = condition.check_batch(&rest, &self.telemetry);
            if !flags.contains(&true) {
                continue;
            }
            let others: Vec<bool> = flags.iter().map(|f| !f).collect();
            if !others.contains(&true) {
                out.push_to(port, rest);
                return;
            }
            out.push_to(port, keep(rest.clone(), &flags));
            rest = keep(rest, &others);
        }
        out.push_to(self.routes.len(), rest);
    }
}
