//! What an SQL text may do.
use datafusion::{common::Result, logical_expr::LogicalPlan, sql::parser::Statement};
pub(crate) fn check_text(_sql: &str) -> Result<()> {
    Ok(())
}
pub(crate) fn check_statement(_s: &Statement) -> Result<()> {
    Ok(())
}
pub(crate) fn check_plan(_p: &LogicalPlan) -> Result<()> {
    Ok(())
}
