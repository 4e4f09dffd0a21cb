//! Walks over planned expressions that cannot fail.

use datafusion::{
    common::{
        DFSchema,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    logical_expr::{Expr, LogicalPlan},
};

/// Whether `f` holds of an expression or something in it; stops at the first.
pub(crate) fn any(expr: &Expr, mut f: impl FnMut(&Expr) -> bool) -> bool {
    let mut found = false;
    let walked = expr.apply(|e| {
        found = f(e);
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    walked.is_ok() && found
}

/// Calls `f` for every expression of a plan and everything in it, with the columns it may name.
pub(crate) fn each(plan: &LogicalPlan, mut f: impl FnMut(&Expr, &DFSchema)) {
    plan.apply_with_subqueries(|node| {
        let mut schema = DFSchema::empty();
        for input in node.inputs() {
            schema.merge(input.schema());
        }
        node.apply_expressions(|expr| {
            expr.apply(|e| {
                f(e, &schema);
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })
    .ok();
}
