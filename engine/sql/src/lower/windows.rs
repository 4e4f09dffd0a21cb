//! Windows of GROUP BY as plain SQL.
use datafusion::{
    common::{Result, config::ConfigOptions},
    logical_expr::LogicalPlan,
    optimizer::AnalyzerRule,
};
#[derive(Debug)]
pub(crate) struct LowerWindows;
impl AnalyzerRule for LowerWindows {
    fn name(&self) -> &str {
        "lower_windows"
    }
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan)
    }
}
