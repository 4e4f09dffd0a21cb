//! From a classified query to a [`StreamPlan`]: conditions split, columns compiled, the emission
//! class and the fingerprint found, and warnings about what loads but may not do what is meant.

use std::{collections::BTreeMap, sync::Arc};

use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef};
use datafusion::{
    common::{DFSchema, DataFusionError},
    logical_expr::{
        Expr, ExprSchemable, LogicalPlan, Operator, expr::Cast, lit, utils::conjunction,
    },
};
use sluice_event::{Encoder, Eval, TableName};
use sluice_stream::{
    Branch, EmitMode, FirstSeenPlan, Growth, Limits, Stage, StreamPlan, Window, WindowPlan,
};

use super::{Compiler, Emit, RuleText, asking};
use crate::{
    classify::{Arm, Groups, Rows, Shape},
    error::SqlProblem,
    monotone::{growth_of, is_monotone},
    predicate::{PredicateCompiler, terms},
    text::sql_text,
    threshold, warn,
};

pub(super) type Problems = Vec<SqlProblem>;

/// Lowers a classified query.
pub(super) fn lower(
    compiler: &Compiler,
    text: &RuleText<'_>,
    plan: &LogicalPlan,
    shape: Shape,
) -> Result<(StreamPlan, Problems), Problems> {
    let output = output_schema(plan.schema());
    check_output(&output, text)?;
    let mut lowering = Lowering {
        compiler,
        allow_dead: text.allow_dead,
        warnings: Vec::new(),
        schemas: BTreeMap::new(),
    };
    let (branches, intermediate, stage, emit, fingerprint) = match shape {
        Shape::Rows(rows) if asking::rows_ask(&rows) => lowering.asking(rows, &output)?,
        Shape::Rows(rows) => lowering.rows(rows, &output)?,
        Shape::Groups(groups) => {
            asking::refuse_groups(&groups)?;
            lowering.groups(groups, &output)?
        }
    };
    let emit = match text.emit {
        None => emit,
        Some(Emit::Watermark) if emit == EmitMode::OnMatch => EmitMode::OnWatermark,
        Some(Emit::Watermark) => emit,
        Some(Emit::Final) => EmitMode::OnClose,
    };
    let plan = StreamPlan {
        rule: text.id.into(),
        branches,
        intermediate,
        stage,
        output,
        emit,
        lateness: text.lateness,
        fingerprint,
    };
    Ok((plan, lowering.warnings))
}

pub(super) struct Lowering<'a> {
    pub(super) compiler: &'a Compiler,
    pub(super) allow_dead: bool,
    pub(super) warnings: Problems,
    schemas: BTreeMap<TableName, DFSchema>,
}

pub(super) type Lowered = (Vec<Branch>, SchemaRef, Stage, EmitMode, u64);

impl Lowering<'_> {
    fn rows(&mut self, rows: Rows, output: &SchemaRef) -> Result<Lowered, Problems> {
        let mut identity = Identity::new("rows");
        let mut fields: Vec<Field> = output.fields().iter().map(|f| f.as_ref().clone()).collect();
        let first_seen = rows.first_seen;
        let mut arms = rows.arms;
        self.alive(&arms)?;
        for arm in &mut arms {
            let filters = self.conditions(arm)?;
            let keys: &[Expr] = if first_seen.is_some() { &arm.keys } else { &[] };
            identity.arm(arm, filters, keys);
            let keys = std::mem::take(&mut arm.keys);
            arm.columns.extend(keys);
        }
        let outputs = fields.len();
        let (stage, emit) = match first_seen {
            None => (Stage::Stateless, EmitMode::OnMatch),
            Some(first) => {
                identity.part(&format!("first_seen {}", first.span));
                self.key_types(&arms, outputs, &mut fields)?;
                let stage = Stage::FirstSeen(FirstSeenPlan { span: first.span, outputs });
                (stage, EmitMode::OnWatermark)
            }
        };
        let intermediate = Arc::new(ArrowSchema::new(fields));
        let branches = self.branches(arms, &intermediate, &[])?;
        Ok((branches, intermediate, stage, emit, identity.hash()))
    }

    /// The types of the key tuple, which stands after the output columns.
    fn key_types(
        &mut self,
        arms: &[Arm],
        outputs: usize,
        fields: &mut Vec<Field>,
    ) -> Result<(), Problems> {
        let Some(arm) = arms.first() else { return Ok(()) };
        let schema = self.schema(arm)?;
        for (i, key) in arm.columns[outputs..].iter().enumerate() {
            let data_type = key.get_type(&schema).map_err(problems)?;
            if !crate::types::is_scalar(&data_type) {
                let text = format!("`{}` is a {data_type} and cannot be a key", sql_text(key));
                return Err(vec![
                    SqlProblem::new("R016", text)
                        .hint("first_seen(INTERVAL '14 days', user_entity, src_country)"),
                ]);
            }
            fields.push(Field::new(format!("key_{i}"), data_type, true));
        }
        Ok(())
    }

    fn groups(&mut self, groups: Groups, output: &SchemaRef) -> Result<Lowered, Problems> {
        let session = &self.compiler.session;
        self.alive(&groups.rows.arms)?;
        let mut identity = Identity::new("window");
        for arm in &groups.rows.arms {
            identity.arm(arm, self.conditions(arm)?, &arm.columns);
        }
        identity.part(&format!("{:?} {} {:?}", groups.window, groups.keys, groups.aggregates));
        let schema = DFSchema::try_from(Arc::clone(&groups.group)).map_err(problems)?;
        let condition = match conjunction(groups.having.clone()) {
            Some(having) => Some(session.simplify(having, &schema).map_err(problems)?),
            None => None,
        };
        self.groups_alive(&groups, condition.as_ref())?;
        warn::groups(&groups, &mut self.warnings);
        let divided = groups.having.iter().find_map(|c| warn::whole_division(c, &schema));
        self.warnings.extend(divided);
        let growth = |name: &str| {
            let column = groups.group.index_of(name).ok().and_then(|i| groups.layout.get(i));
            column.map_or(Growth::Unknown, |c| growth_of(*c, &groups.growth))
        };
        let monotone = condition.as_ref().is_none_or(|c| is_monotone(c, &growth));
        let emit = match groups.window {
            // Two sessions can become one: the first one's finding is then withdrawn.
            Window::Session { .. } => EmitMode::OnWatermark,
            Window::Tumble { .. } | Window::Hop { .. } | Window::Sliding { .. } if monotone => {
                EmitMode::OnMatch
            }
            Window::Tumble { .. } | Window::Hop { .. } | Window::Sliding { .. } => {
                EmitMode::OnWatermark
            }
        };
        let aggregate = |name: &str| groups.aggregate(name);
        let tree = condition.as_ref().and_then(|c| threshold::condition(c, &aggregate));
        if let (false, Some(tree)) = (monotone, &tree) {
            threshold::check_reachable(
                tree,
                groups.window,
                &groups.aggregates,
                &Limits::default(),
            )?;
        }
        let times = groups.times();
        let having = condition
            .map(|c| {
                let sql = sql_text(&c);
                Ok::<_, Problems>(
                    Arc::new(session.eval(c, sql, &schema).map_err(problems)?) as Arc<dyn Eval>
                )
            })
            .transpose()?;
        let select = groups
            .columns
            .iter()
            .zip(output.fields())
            .map(|(column, field)| self.eval(column, field.data_type(), &schema))
            .collect::<Result<_, _>>()?;
        let intermediate = Arc::clone(&groups.intermediate);
        let branches = self.branches(groups.rows.arms, &intermediate, &[groups.keys])?;
        let stage = Stage::Window(WindowPlan {
            window: groups.window,
            keys: groups.keys,
            aggregates: groups.aggregates,
            group: groups.group,
            layout: groups.layout,
            times,
            condition: tree,
            monotone,
            having,
            select,
        });
        Ok((branches, intermediate, stage, emit, identity.hash()))
    }

    /// The simplified conjuncts of an arm: texts that mean the same are often the same.
    pub(super) fn conditions(&mut self, arm: &Arm) -> Result<Vec<String>, Problems> {
        let schema = self.schema(arm)?;
        let mut all = Vec::new();
        for filter in &arm.filters {
            let session = &self.compiler.session;
            let simple = session.simplify(filter.clone(), &schema).map_err(problems)?;
            let terms = terms(&simple, Operator::And).into_iter();
            all.extend(terms.filter(|t| **t != lit(true)).map(ToString::to_string));
        }
        Ok(all)
    }

    /// `keys`: how many leading columns are group keys, if any.
    pub(super) fn branches(
        &mut self,
        arms: Vec<Arm>,
        columns: &SchemaRef,
        keys: &[usize],
    ) -> Result<Vec<Branch>, Problems> {
        let mut branches = Vec::with_capacity(arms.len());
        for arm in arms {
            let schema = self.schema(&arm)?;
            let predicates = PredicateCompiler {
                session: &self.compiler.session,
                schema: &schema,
                interner: &self.compiler.interner,
            };
            let conditions = predicates.conditions(arm.filters.clone()).map_err(problems)?;
            let divided = arm.filters.iter().find_map(|c| warn::whole_division(c, &schema));
            self.warnings.extend(divided);
            warn::arm(&arm, &conditions, keys.first().copied().unwrap_or(0), &mut self.warnings);
            let evals = arm
                .columns
                .iter()
                .zip(columns.fields())
                .map(|(column, field)| self.eval(column, field.data_type(), &schema))
                .collect::<Result<_, _>>()?;
            branches.push(Branch {
                table: arm.table,
                filter: conditions.filter,
                residual: conditions.residual,
                columns: evals,
            });
        }
        Ok(branches)
    }

    /// A column of exactly this type: simplifying may change the encoding of text.
    fn eval(
        &self,
        expr: &Expr,
        to: &DataType,
        schema: &DFSchema,
    ) -> Result<Arc<dyn Eval>, Problems> {
        self.eval_as(expr, sql_text(expr), to, schema)
    }

    /// The same; `sql` is what people read.
    pub(super) fn eval_as(
        &self,
        expr: &Expr,
        sql: String,
        to: &DataType,
        schema: &DFSchema,
    ) -> Result<Arc<dyn Eval>, Problems> {
        let session = &self.compiler.session;
        let mut eval = session.eval(expr.clone(), sql.clone(), schema).map_err(problems)?;
        if eval.output() != to {
            let field = Arc::new(Field::new("", to.clone(), true));
            let cast = Expr::Cast(Cast::new_from_field(Box::new(expr.clone()), field));
            eval = session.eval(cast, sql, schema).map_err(problems)?;
        }
        let id = self.compiler.interner.id(eval.expr());
        Ok(Arc::new(eval.known_as(id)))
    }

    pub(super) fn schema(&mut self, arm: &Arm) -> Result<DFSchema, Problems> {
        if let Some(schema) = self.schemas.get(&arm.table) {
            return Ok(schema.clone());
        }
        let schema = DFSchema::try_from(Arc::clone(&arm.schema)).map_err(problems)?;
        self.schemas.insert(arm.table.clone(), schema.clone());
        Ok(schema)
    }
}

pub(super) fn problems(error: DataFusionError) -> Problems {
    SqlProblem::all(&error)
}

/// The finding's columns: names as selected, without table and metadata.
fn output_schema(schema: &DFSchema) -> SchemaRef {
    let fields: Vec<Field> =
        schema.fields().iter().map(|f| Field::new(f.name(), f.data_type().clone(), true)).collect();
    Arc::new(ArrowSchema::new(fields))
}

/// Columns with a meaning of their own have the type that goes with it, and those that the front
/// matter names exist.
fn check_output(output: &SchemaRef, text: &RuleText<'_>) -> Result<(), Problems> {
    let mut problems = Vec::new();
    for field in output.fields() {
        let data_type = field.data_type();
        let is_text = crate::types::is_text(data_type);
        let is_number = data_type.is_integer() || data_type.is_floating();
        let is_time = matches!(data_type, DataType::Timestamp(_, _));
        let wanted = match field.name().as_str() {
            "title" | "severity" | "dedup_key" if !is_text => "text",
            "risk" if !is_number => "a number",
            "count" if !data_type.is_integer() => "the number of rows",
            "time" | "window_start" | "window_end" if !is_time => "a time",
            name @ ("late" | "rule_version" | "lookups") => {
                problems.push(
                    SqlProblem::new("R008", format!("`{name}` is added by the engine"))
                        .hint(format!("SELECT .. AS {name}_reported")),
                );
                continue;
            }
            "confidence" => {
                problems.push(
                    SqlProblem::new("R008", "`confidence` has no effect in this build").hint(
                        "say it with `risk`, or name the column SELECT .. AS confidence_reported",
                    ),
                );
                continue;
            }
            _ => continue,
        };
        let name = field.name();
        problems.push(
            SqlProblem::new("R008", format!("the output column `{name}` is {wanted}"))
                .detail(format!("it is a {data_type} here"))
                .hint(format!("give it another name: SELECT .. AS event_{name}")),
        );
    }
    let keyed = output.field_with_name("dedup_key").is_ok();
    match text.suppression {
        None if keyed => problems.push(
            SqlProblem::new("R008", "`dedup_key` folds repeats only with `suppression`")
                .detail("without it nobody knows for how long")
                .hint("suppression: {for: 1h}"),
        ),
        Some((false, place)) if !keyed => problems.push(
            SqlProblem::new("R003", "`suppression` does not say which findings are repeats")
                .hint("suppression: {by: [user_entity], for: 1h}, or SELECT .. AS dedup_key")
                .at(file_place(place)),
        ),
        Some(_) | None => {}
    }
    for (key, column, place) in &text.columns {
        if output.field_with_name(column).is_ok() || ENGINE_COLUMNS.contains(column) {
            continue;
        }
        let names: Vec<&str> = output.fields().iter().map(|f| f.name().as_str()).collect();
        let mut problem = SqlProblem::new(
            "R008",
            format!("`{key}` names `{column}`, which the SELECT does not return"),
        )
        .hint(format!("the columns are {}", names.join(", ")))
        .at(file_place(*place));
        if let Some(near) = sluice_rule::suggest(column, names.iter().copied()) {
            problem = problem.detail(format!("did you mean `{near}`?"));
        }
        problems.push(problem);
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

fn file_place(span: Option<sluice_rule::Span>) -> Option<(u64, u64, u64)> {
    span.map(|s| (u64::from(s.line), u64::from(s.column), u64::from(s.length)))
}

/// Columns the engine adds to every finding.
const ENGINE_COLUMNS: &[&str] = &["window_start", "window_end", "count", "late", "rule_version"];

/// What state depends on, as bytes that are the same in every run.
pub(super) struct Identity(Encoder);

impl Identity {
    pub(super) fn new(kind: &str) -> Self {
        let mut encoder = Encoder::default();
        encoder.text(kind);
        Identity(encoder)
    }

    pub(super) fn part(&mut self, text: &str) {
        self.0.text(text);
    }

    /// A table, its conditions in any order, and the columns that are kept.
    pub(super) fn arm(&mut self, arm: &Arm, mut filters: Vec<String>, columns: &[Expr]) {
        self.part(arm.table.as_str());
        filters.sort_unstable();
        filters.dedup();
        self.0.int(filters.len() as i64);
        filters.iter().for_each(|f| self.part(f));
        columns.iter().for_each(|c| self.part(&c.to_string()));
    }

    pub(super) fn hash(&self) -> u64 {
        (self.0.hash128() >> 64) as u64
    }
}
