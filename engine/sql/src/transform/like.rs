//! `LIKE` with a pattern that takes a regular expression, compiled once with its mapping: arrow compiles it for
//! every batch, which costs more than the batch. Not other patterns, which arrow compares as they are.

use std::{fmt, hash::Hash, sync::Arc};

use arrow::{
    array::{AsArray, BooleanArray},
    datatypes::{DataType, Schema},
    record_batch::RecordBatch,
};
use datafusion::{
    common::{
        Result, ScalarValue,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::ColumnarValue,
    physical_expr::{
        PhysicalExpr,
        expressions::{LikeExpr, Literal},
    },
};
use regex::{Regex, RegexBuilder, escape};

/// The expression with its patterns compiled.
pub(super) fn compiled(expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
    let done = expr.transform_up(|expr| {
        let like = expr.downcast_ref::<LikeExpr>();
        let Some(regex) = like.and_then(regex_of) else { return Ok(Transformed::no(expr)) };
        Ok(Transformed::yes(Arc::new(CompiledLike { like: expr, regex }) as Arc<dyn PhysicalExpr>))
    })?;
    Ok(done.data)
}

/// A [`LikeExpr`] with the regular expression of its pattern.
#[derive(Debug)]
struct CompiledLike {
    like: Arc<dyn PhysicalExpr>,
    regex: Regex,
}

impl PartialEq for CompiledLike {
    fn eq(&self, other: &Self) -> bool {
        self.like.as_ref() == other.like.as_ref()
    }
}

impl Eq for CompiledLike {}

impl Hash for CompiledLike {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.like.hash(state);
    }
}

impl fmt::Display for CompiledLike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.like.fmt(f)
    }
}

impl PhysicalExpr for CompiledLike {
    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.like.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let Some(like) = self.like.downcast_ref::<LikeExpr>() else {
            return self.like.evaluate(batch);
        };
        let value = like.expr().evaluate(batch)?;
        let ColumnarValue::Array(array) = &value else { return self.like.evaluate(batch) };
        let Some(texts) = array.as_string_opt::<i32>() else { return self.like.evaluate(batch) };
        let matches = |text: &str| self.regex.is_match(text) != like.negated();
        let made = BooleanArray::from_unary(texts, matches);
        Ok(ColumnarValue::Array(Arc::new(made)))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.like.children()
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        compiled(Arc::clone(&self.like).with_new_children(children)?)
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.like.fmt_sql(f)
    }
}

/// The regular expression of a pattern; `None` if it is no literal, or needs none.
fn regex_of(like: &LikeExpr) -> Option<Regex> {
    let literal = like.pattern().downcast_ref::<Literal>()?;
    let ScalarValue::Utf8(Some(pattern)) = literal.value() else { return None };
    let inner = pattern.strip_prefix('%').unwrap_or(pattern);
    let inner = inner.strip_suffix('%').unwrap_or(inner);
    if !inner.contains(['%', '_', '\\']) {
        return None;
    }
    RegexBuilder::new(&regex_text(pattern))
        .case_insensitive(like.case_insensitive())
        .dot_matches_new_line(true)
        .build()
        .ok()
}

/// The pattern as a regular expression, the way arrow reads it: a backslash makes the next character a literal,
/// alone at the end it is itself.
fn regex_text(pattern: &str) -> String {
    let mut text = String::from("^");
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '%' => text.push_str(".*"),
            '_' => text.push('.'),
            '\\' => text.push_str(&escape(chars.next().unwrap_or('\\').encode_utf8(&mut [0; 4]))),
            c => text.push_str(&escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    // Where the text may begin or end in any way, it need not be read.
    let text = text.strip_prefix("^.*").unwrap_or(&text);
    text.strip_suffix(".*").map_or_else(|| format!("{text}$"), str::to_owned)
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{ArrayRef, StringArray},
        datatypes::Field,
    };
    use datafusion::physical_expr::expressions::{Column, lit};

    use super::*;

    #[test]
    fn a_compiled_pattern_takes_what_arrow_takes() {
        let pieces = ["", "%", "_", "a", "A", ".", "\\", "\n", "é", "a%", "_b", "%%"];
        let texts = [
            "", "a", "A", "ab", "aXb", ".", "*", "\\", "a\\", "%", "_", "\n", "a\nb", "é", "éé",
            "b.",
        ];
        let texts: StringArray = texts.iter().map(|t| Some(*t)).chain([None]).collect();
        let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Utf8, true)]));
        let batch = RecordBatch::try_new(schema, vec![Arc::new(texts) as ArrayRef]).unwrap();
        let rows = batch.num_rows();
        let mut count = 0;
        let piece = |n: usize, place: u32| pieces[n / pieces.len().pow(place) % pieces.len()];
        for n in 0..pieces.len().pow(3) {
            let pattern: String = (0..3).map(|place| piece(n, place)).collect();
            for (negated, ignore_case) in [(false, false), (true, false), (false, true)] {
                let column = Arc::new(Column::new("x", 0));
                let like = LikeExpr::new(negated, ignore_case, column, lit(pattern.as_str()));
                let plain: Arc<dyn PhysicalExpr> = Arc::new(like);
                let quick = compiled(Arc::clone(&plain)).unwrap();
                count += usize::from(quick.downcast_ref::<CompiledLike>().is_some());
                let [plain, quick] =
                    [plain, quick].map(|e| e.evaluate(&batch).unwrap().into_array(rows).unwrap());
                assert_eq!(plain.as_boolean(), quick.as_boolean(), "{pattern:?}");
            }
        }
        assert!(count > 2_000, "{count} were compiled");
    }
}
