//! Ad-hoc queries.
use datafusion::{
    common::{
        Result,
        config::ConfigOptions,
        tree_node::{Transformed, TreeNode},
    },
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{ExecutionPlan, coop::CooperativeExec},
};
use std::sync::Arc;

/// Puts a point where a query can be stopped above every node.
#[derive(Debug)]
pub(crate) struct CooperateEverywhere;

impl PhysicalOptimizerRule for CooperateEverywhere {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            Ok(Transformed::yes(Arc::new(CooperativeExec::new(node)) as Arc<dyn ExecutionPlan>))
        })
        .map(|done| done.data)
    }
    fn name(&self) -> &str {
        "cooperate_everywhere"
    }
    fn schema_check(&self) -> bool {
        true
    }
}
