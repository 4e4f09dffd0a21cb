//! The one SQL dialect of rules, mappings and hunts, and the one function that parses it. Not what
//! is allowed in it: that is [`crate::sandbox`].

mod sugar;

use std::{any::TypeId, convert::Infallible, ops::ControlFlow};

use datafusion::{
    common::Result,
    sql::{
        parser::{DFParserBuilder, Statement},
        sqlparser::{
            ast::{
                BinaryOperator, Expr, ExprWithAlias, Statement as SqlStatement, VisitMut,
                VisitorMut, helpers::attached_token::AttachedToken,
            },
            dialect::{Dialect, GenericDialect},
            keywords::Keyword,
            parser::Parser,
            tokenizer::{Token, TokenWithSpan, Tokenizer},
        },
    },
};

use crate::error::SqlProblem;

/// sqlparser's generic dialect with lambdas (`x -> x['k']`): MATCH_RECOGNIZE parses, and a
/// backslash in a string is a backslash (Windows paths).
///
/// Every method that `GenericDialect` overrides is repeated here; a test holds the list.
#[derive(Debug, Default)]
pub(crate) struct SluiceDialect;

const GENERIC: GenericDialect = GenericDialect;

macro_rules! dialect_like_generic {
    ($($method:ident)*) => {
        impl Dialect for SluiceDialect {
            // The parser's own checks by type see the generic dialect.
            fn dialect(&self) -> TypeId {
                TypeId::of::<GenericDialect>()
            }
            fn is_delimited_identifier_start(&self, c: char) -> bool {
                GENERIC.is_delimited_identifier_start(c)
            }
            fn is_identifier_start(&self, c: char) -> bool {
                GENERIC.is_identifier_start(c)
            }
            fn is_identifier_part(&self, c: char) -> bool {
                GENERIC.is_identifier_part(c)
            }
            fn supports_lambda_functions(&self) -> bool {
                true
            }
            $(fn $method(&self) -> bool { GENERIC.$method() })*
        }

        #[cfg(test)]
        const LIKE_GENERIC: &[&str] = &[$(stringify!($method)),*];
    };
}

dialect_like_generic! {
        supports_unicode_string_literal supports_partition_by_after_order_by
        supports_array_join_syntax supports_group_by_expr
        supports_group_by_with_modifier supports_left_associative_joins_without_parens
        supports_connect_by supports_match_recognize supports_pipe_operator
        supports_start_transaction_modifier supports_window_function_null_treatment_arg
        supports_dictionary_syntax supports_window_clause_named_window_reference
        supports_parenthesized_set_variables supports_select_wildcard_except
        support_map_literal_syntax allow_extract_custom allow_extract_single_quotes
        supports_extract_comma_syntax supports_create_view_comment_syntax
        supports_parens_around_table_factor supports_values_as_table_factor
        supports_create_index_with_clause supports_explain_with_utility_options
        supports_limit_comma supports_update_order_by supports_from_first_select
        supports_projection_trailing_commas supports_asc_desc_in_column_definition
        supports_try_convert supports_bitwise_shift_operators supports_comment_on
        supports_load_extension supports_named_fn_args_with_assignment_operator
        supports_struct_literal supports_empty_projections supports_nested_comments
        supports_multiline_comment_hints supports_user_host_grantee
        supports_string_escape_constant supports_array_typedef_with_brackets
        supports_match_against supports_set_names
        supports_comma_separated_set_assignments supports_filter_during_aggregation
        supports_select_wildcard_exclude supports_data_type_signed_suffix
        supports_interval_options supports_quote_delimited_string
        supports_select_wildcard_replace supports_select_wildcard_ilike
        supports_select_wildcard_rename supports_optimize_table supports_install
        supports_detach supports_prewhere supports_with_fill supports_limit_by
        supports_interpolate supports_settings supports_select_format
        supports_comment_optimizer_hint supports_constraint_keyword_without_name
        supports_key_column_option supports_comma_separated_trim
        supports_cte_without_as supports_select_item_multi_column_alias
        supports_xml_expressions
}

/// A text that is one expression.
pub(crate) fn expression(text: &str) -> Option<Expr> {
    let mut parser = Parser::new(&SluiceDialect).try_with_sql(text).ok()?;
    parser.parse_expr().ok()
}

/// How deep parentheses, NOT, CASE and subqueries may nest.
const NESTING_MAX: usize = 50;

/// Parses exactly one statement.
///
/// Chains of AND and OR come out balanced: the parser builds them left-deep, and planning recurses
/// on them until a few thousand terms overflow the stack.
pub(crate) fn parse_one(sql: &str) -> Result<Statement> {
    check_chains(sql)?;
    let mut statements = DFParserBuilder::new(sql)
        .with_dialect(&SluiceDialect)
        .with_recursion_limit(NESTING_MAX)
        .build()?
        .parse_statements()?;
    let Some(mut statement) = statements.pop_front() else {
        return Err(SqlProblem::new("R019", "there is no statement").into());
    };
    if !statements.is_empty() {
        return Err(SqlProblem::new("R019", "one statement is allowed, this is the second")
            .hint("a file for each rule")
            .at(second_statement(sql))
            .into());
    }
    if let Statement::Statement(inner) = &mut statement {
        let ControlFlow::Continue(()) = inner.visit(&mut sugar::Sugar);
        rebalance(inner);
    }
    Ok(statement)
}

/// Where the text after the first semicolon starts: line, column and length of its first word.
fn second_statement(sql: &str) -> Option<(u64, u64, u64)> {
    let tokens = Tokenizer::new(&SluiceDialect, sql).tokenize_with_location().ok()?;
    let mut rest = tokens.into_iter().skip_while(|t| t.token != Token::SemiColon);
    let first =
        rest.find(|t| !matches!(t.token, Token::SemiColon | Token::Whitespace(_) | Token::EOF))?;
    crate::sandbox::place(first.span)
}

/// Parses one expression (a mapping's `when`).
pub(crate) fn parse_expression(sql: &str) -> Result<ExprWithAlias> {
    check_chains(sql)?;
    let mut parsed = DFParserBuilder::new(sql)
        .with_dialect(&SluiceDialect)
        .with_recursion_limit(NESTING_MAX)
        .build()?
        .parse_into_expr()?;
    let ControlFlow::Continue(()) = parsed.expr.visit(&mut sugar::Sugar);
    let ControlFlow::Continue(()) = parsed.expr.visit(&mut Rebalance);
    Ok(parsed)
}

/// Refuses chains of operators (`1 + 1 + ..`, `x::int::int..`, `x IS NULL IS NULL ..`) and of
/// conditions before they become a tree: the parser nests them to the left without a limit, and
/// merely dropping such a tree overflows the stack.
fn check_chains(sql: &str) -> Result<()> {
    const OPERATORS_MAX: usize = 1_000;
    const CONDITIONS_MAX: usize = 5_000;
    const UNIONS_MAX: usize = 200;
    // A text that is no tokens is refused by the parser, with its place.
    let Ok(tokens) = Tokenizer::new(&SluiceDialect, sql).tokenize_with_location() else {
        return Ok(());
    };
    // Per open parenthesis: operators since the last AND, OR or comma; ANDs and ORs; UNIONs.
    let mut open = vec![(0, 0, 0)];
    for TokenWithSpan { token, span } in tokens {
        let depth = open.len();
        let Some((operators, conditions, unions)) = open.last_mut() else { break };
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                // `x[1][1]..` is a chain as well.
                *operators += usize::from(token == Token::LBracket);
                open.push((0, 0, 0));
            }
            Token::RParen | Token::RBracket | Token::RBrace if depth > 1 => {
                open.pop();
            }
            Token::Comma => *operators = 0,
            Token::Word(word) if matches!(word.keyword, Keyword::AND | Keyword::OR) => {
                *operators = 0;
                *conditions += 1;
            }
            Token::Word(word)
                if matches!(
                    word.keyword,
                    Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::MINUS
                ) =>
            {
                *unions += 1;
            }
            Token::Word(word) if matches!(word.keyword, Keyword::SELECT | Keyword::WHEN) => {
                *operators = 0;
            }
            Token::Word(word)
                if !matches!(
                    word.keyword,
                    Keyword::IS
                        | Keyword::IN
                        | Keyword::LIKE
                        | Keyword::ILIKE
                        | Keyword::BETWEEN
                        | Keyword::COLLATE
                        | Keyword::AT
                        | Keyword::NOTNULL
                        | Keyword::DIV
                        | Keyword::XOR
                        | Keyword::OVERLAPS
                        | Keyword::SIMILAR
                        | Keyword::REGEXP
                        | Keyword::RLIKE
                ) => {}
            Token::Whitespace(_)
            | Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::SemiColon
            | Token::EOF => {}
            _ => *operators += 1,
        }
        if open.last().is_some_and(|(operators, conditions, unions)| {
            *operators > OPERATORS_MAX || *conditions > CONDITIONS_MAX || *unions > UNIONS_MAX
        }) {
            return Err(SqlProblem::new("R019", "a chain of too many operators")
                .at(crate::sandbox::place(span))
                .detail(format!(
                    "{OPERATORS_MAX} operators, {CONDITIONS_MAX} conditions joined by AND or OR and \
                     {UNIONS_MAX} UNIONs are allowed"
                ))
                .hint("user_name IN ('a', 'b'), or icontains(user_name, 'a', 'b')")
                .into());
        }
    }
    Ok(())
}

fn rebalance(statement: &mut SqlStatement) {
    let ControlFlow::Continue(()) = statement.visit(&mut Rebalance);
}

struct Rebalance;

impl VisitorMut for Rebalance {
    type Break = Infallible;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Infallible> {
        let Expr::BinaryOp { op: op @ (BinaryOperator::And | BinaryOperator::Or), right, .. } =
            &*expr
        else {
            return ControlFlow::Continue(());
        };
        // The parser never puts the same operator on the right: this one we built.
        if matches!(right.as_ref(), Expr::BinaryOp { op: inner, .. } if inner == op) {
            return ControlFlow::Continue(());
        }
        let op = op.clone();
        let mut terms = Vec::new();
        let mut rest = std::mem::replace(expr, placeholder());
        loop {
            match rest {
                Expr::BinaryOp { left, op: inner, right } if inner == op => {
                    terms.push(*right);
                    rest = *left;
                }
                first => {
                    terms.push(first);
                    break;
                }
            }
        }
        *expr = balanced(&mut terms, &op);
        ControlFlow::Continue(())
    }
}

/// `terms` is reversed: the first term stands last. The left half is never the larger one, which is
/// how the visitor knows a tree of ours.
fn balanced(terms: &mut Vec<Expr>, op: &BinaryOperator) -> Expr {
    if terms.len() <= 1 {
        return terms.pop().unwrap_or_else(placeholder);
    }
    let mut first = terms.split_off(terms.len() - terms.len() / 2);
    let left = balanced(&mut first, op);
    let right = balanced(terms, op);
    Expr::BinaryOp { left: Box::new(left), op: op.clone(), right: Box::new(right) }
}

fn placeholder() -> Expr {
    Expr::Wildcard(AttachedToken::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn where_clause(sql: &str) -> String {
        parse_one(&format!("SELECT 1 FROM t WHERE {sql}")).unwrap().to_string()
    }

    #[test]
    fn nothing_the_generic_dialect_overrides_is_missing() {
        assert_eq!(LIKE_GENERIC.len(), 68);
        assert!(SluiceDialect.supports_match_recognize());
        assert!(SluiceDialect.supports_lambda_functions());
        assert!(!SluiceDialect.supports_string_literal_backslash_escape());
    }

    #[test]
    fn the_forms_rules_need_parse() {
        for sql in [
            r"SELECT 'C:\path\'",
            "SELECT array_any_match(tags, v -> v = status) FROM t",
            "SELECT count(*) FILTER (WHERE a = 1) FROM t GROUP BY sliding(time, INTERVAL '5 minutes')",
            "SELECT x, count(*) OVER (PARTITION BY k) AS n FROM t QUALIFY n >= 3",
            "SELECT target[1]['displayName'], actor['alternateId'], a.b.c FROM t",
            "WITH f AS (SELECT * FROM t) SELECT * FROM f MATCH_RECOGNIZE (PARTITION BY u ORDER BY time \
             MEASURES LAST(B.time) AS at PATTERN (A B+) DEFINE A AS A.status = 'x', B AS B.status = 'y')",
        ] {
            parse_one(sql).unwrap_or_else(|e| panic!("{sql}\n{e}"));
        }
    }

    #[test]
    fn chains_are_balanced_and_print_the_same() {
        for op in [" AND ", " OR "] {
            for count in [1, 2, 3, 4, 5, 8, 1000, 5_000] {
                let terms: Vec<String> = (0..count).map(|i| format!("x = {i}")).collect();
                let text = terms.join(op);
                assert_eq!(where_clause(&text), format!("SELECT 1 FROM t WHERE {text}"));
            }
        }
        let mixed = "a = 1 AND b = 2 OR c = 3 AND (d = 4 OR e = 5 OR f = 6) OR NOT g = 7";
        assert_eq!(where_clause(mixed), format!("SELECT 1 FROM t WHERE {mixed}"));
    }

    #[test]
    fn depth_is_limited() {
        let nested = |n: usize| format!("SELECT {}1{}", "(".repeat(n), ")".repeat(n));
        assert!(parse_one(&nested(30)).is_ok());
        assert!(parse_one(&nested(1000)).is_err());
    }
}
