//! `first_seen` as plain SQL.
use datafusion::{
    common::{Result, config::ConfigOptions},
    logical_expr::LogicalPlan,
    optimizer::AnalyzerRule,
};
#[derive(Debug)]
pub(crate) struct LowerFirstSeen {
    pub(crate) history_start: Option<i64>,
}
impl AnalyzerRule for LowerFirstSeen {
    fn name(&self) -> &str {
        "lower_first_seen"
    }
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let _ = self.history_start;
        Ok(plan)
    }
}
