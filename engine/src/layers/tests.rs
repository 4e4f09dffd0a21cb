//! Layers of rules over findings: their order, and circles that are refused.

use super::*;
use crate::Content;

fn content() -> Content {
    Content::load(&[], &[]).unwrap()
}

fn rule(content: &Content, id: &str, condition: &str) -> LoadedRule {
    let table = if condition.is_empty() { "authentication" } else { "findings" };
    let condition = if condition.is_empty() { "status = 'Failure'" } else { condition };
    let text = format!(
        "/*---\nid: {id}\ntitle: T\nseverity: low\n---*/\nSELECT user_entity, time FROM {table}\nWHERE {condition}\n"
    );
    let path = format!("{}.sql", id.replace('.', "/"));
    content.compile(&path, &text).unwrap_or_else(|problems| {
        panic!("{}", problems.iter().map(|p| p.diagnostic.render(Some(&text))).collect::<String>())
    })
}

/// Rules by id and condition; none: it reads events.
fn layers(rules: &[(&str, &str)]) -> (Vec<u32>, Vec<Circle>) {
    let content = content();
    let loaded: Vec<LoadedRule> = rules.iter().map(|(id, c)| rule(&content, id, c)).collect();
    let (layers, circles) = Layers::of(&loaded);
    (rules.iter().map(|(id, _)| layers.layer(id)).collect(), circles)
}

#[test]
fn a_rule_is_above_those_it_names_and_of_layer_1_if_it_names_none() {
    let rules = [
        ("a.base", ""),
        ("b.open", "severity = 'high' AND user_entity IS NOT NULL"),
        ("b.not", "rule_id <> 'a.noisy'"),
        ("b.named", "rule_id = 'a.base' AND user_entity IS NOT NULL"),
        ("c.over", "rule_id IN ('a.base', 'b.named')"),
        ("d.prefix", "rule_id LIKE 'c.%' OR rule_id LIKE 'b.%'"),
        ("d.either", "starts_with(rule_id, 'c.') AND (severity = 'low' OR risk > 3)"),
    ];
    assert_eq!(layers(&rules), (vec![0, 1, 1, 1, 2, 3, 3], vec![]));
}

#[test]
fn what_cannot_be_told_from_the_rule_alone_names_none() {
    let rules = [
        ("a.base", ""),
        ("b.some", "rule_id = 'a.base' OR severity = 'high'"),
        ("c.lower", "upper(rule_id) = 'B.SOME'"),
        ("c.null", "(rule_id = 'b.some') IS NOT TRUE"),
    ];
    assert_eq!(layers(&rules), (vec![0, 1, 1, 1], vec![]));
}

#[test]
fn circles_are_found_whatever_hangs_on_them() {
    let circle = |ids: &[&str]| Circle(ids.iter().map(|id| Arc::from(*id)).collect());
    let itself = [("b.itself", "rule_id LIKE 'b.%'")];
    assert_eq!(layers(&itself).1, [circle(&["b.itself"])]);
    let rules = [
        ("a.base", ""),
        ("b.one", "rule_id IN ('a.base', 'b.three')"),
        ("b.two", "rule_id = 'b.one'"),
        ("b.three", "rule_id = 'b.two'"),
        ("c.reader", "rule_id = 'b.two'"),
    ];
    assert_eq!(layers(&rules).1, [circle(&["b.one", "b.three", "b.two"])]);
}

#[test]
fn a_circle_is_refused_with_its_rules_and_the_line() {
    let content = content();
    let rules = [
        rule(&content, "b.one", "rule_id = 'b.two'"),
        rule(&content, "b.two", "severity = 'high'\n AND rule_id IN ('b.one')"),
    ];
    let (_, circles) = Layers::of(&rules);
    let refused: Vec<Diagnostic> =
        rules.iter().filter_map(|rule| circles.iter().find_map(|c| c.refuses(rule))).collect();
    assert_eq!(refused.len(), 2);
    assert_eq!(refused[1].code, "R017");
    assert_eq!(
        refused[1].primary,
        "rules read each other's findings in a circle: `b.two` reads `b.one` reads `b.two`"
    );
    let line = refused[1].span.unwrap().line as usize;
    let text = &rules[1].rule.file.text;
    assert!(text.lines().nth(line - 1).unwrap().contains("'b.one'"), "{line}: {text}");
}

#[test]
fn a_rule_that_names_rules_that_are_not_there_is_told() {
    let content = content();
    let base = rule(&content, "a.base", "");
    for (condition, nobody) in [
        ("rule_id = 'a.bass'", true),
        ("rule_id LIKE 'x.%' AND severity = 'high'", true),
        ("rule_id = 'a.base'", false),
        ("rule_id <> 'a.base'", false),
        ("severity = 'high'", false),
    ] {
        let reader = rule(&content, "b.reader", condition);
        assert_eq!(names_nobody(&reader, &[&base, &reader]), nobody, "{condition}");
    }
    assert!(!names_nobody(&base, &[&base]));
}
