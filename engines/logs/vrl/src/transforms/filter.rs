//! `filter`: lets events through that meet a condition.

use qd_logs_config::Node;
use qd_logs_model::{
    Batch, BuildError, Context, InputKinds, OutputPort, Telemetry, Transform, TransformConfig, TransformOut,
    telemetry::Intent,
};

use super::{condition, keep};
use crate::Condition;

/// The configuration of `filter`.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilterConfig {
    condition: Node,
}

impl TransformConfig for FilterConfig {
    fn input(&self) -> InputKinds {
        InputKinds::ALL
    }

    fn outputs(&self) -> Vec<OutputPort> {
        vec![OutputPort {
            name: None,
            kinds: Vec::new(),
        }]
    }

    fn build(&self, cx: Context) -> Result<Box<dyn Transform>, BuildError> {
        Ok(Box::new(Filter {
            condition: condition(&self.condition, "condition", &cx)?,
            telemetry: cx.telemetry,
        }))
    }
}

struct Filter {
    condition: Condition,
    telemetry: Telemetry,
}

impl Transform for Filter {
    fn transform(&mut self, batch: Batch, out: &mut TransformOut) {
        let flags = self.condition.check_batch(&batch, &self.telemetry);
        let dropped = flags.iter().filter(|f| !**f).count();
        if dropped > 0 {
            self.telemetry.discarded(dropped as u64, Intent::Intended);
        }
        out.push(keep(batch, &flags));
    }
}
