//! Everything shipped, on everything the generator makes: tests blocks pass, streams equal batch.

use sluice_engine::{
    Content, History, Partition,
    mapping_test::test_mapping,
    replay::{Replay, ReplayBuilder},
    rule_test::{Bench, agree, test_rule},
};
use sluice_event::PartitionId;
use sluice_generator::{Generator, Scenario};
use sluice_ingest::{Chunk, Mapper};

fn shipped() -> Content {
    let content = Content::load(&["builtin".into()], &["builtin".into()]).unwrap();
    let problems: Vec<String> =
        content.errors().map(|p| p.diagnostic.render(p.text.as_deref())).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    content
}

#[test]
fn every_mapping_passes_its_tests() {
    let content = shipped();
    let mut failures = Vec::new();
    for mapping in &content.mappings {
        assert!(mapping.tests.len() >= 3, "{}: fewer than 3 tests", mapping.id);
        for report in test_mapping(&content, mapping) {
            failures.extend(report.failures.iter().map(|f| format!("{}: {f}", mapping.id)));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_rule_passes_its_tests_in_every_way() {
    let content = shipped();
    assert!(content.rules.len() >= 68, "{} rules", content.rules.len());
    let mut failures = Vec::new();
    for loaded in &content.rules {
        let quiet = loaded.rule.tests.iter().filter(|t| t.expect.is_empty()).count();
        assert!(quiet > 0, "{}: no quiet test", loaded.plan.rule);
        assert!(quiet < loaded.rule.tests.len(), "{}: no firing test", loaded.plan.rule);
        for report in test_rule(&content, loaded, 7) {
            failures.extend(report.failures.iter().map(|f| format!("{}: {f}", loaded.plan.rule)));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The oracle for shipped rules: the three scenarios, streamed in every way, equal the batch form.
#[test]
fn every_rule_gives_on_the_scenarios_what_batch_gives() {
    let content = shipped();
    let replay = scenarios(&content);
    assert!(replay.rows.len() > 1_000, "{} rows", replay.rows.len());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let run = |thread: usize| {
        let mut failures = Vec::new();
        let mine = content.rules.iter().enumerate().filter(|(i, _)| i % threads == thread);
        for (_, loaded) in mine {
            let bench = Bench::new(&content, loaded, History::None);
            let wrong = agree(&bench, &replay, 11, false).map_or_else(|e| vec![e], |a| a.failures);
            failures.extend(wrong.iter().take(3).map(|f| format!("{}: {f}", loaded.plan.rule)));
        }
        failures
    };
    let run = &run;
    let failures: Vec<String> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|t| scope.spawn(move || run(t))).collect();
        handles.into_iter().flat_map(|h| h.join().unwrap()).collect()
    });
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The rows the mappings make of all scenarios, one partition per source.
fn scenarios(content: &Content) -> Replay {
    let generator = Generator::new(1, 1_767_225_600_000);
    let lines: Vec<_> = Scenario::ALL.into_iter().flat_map(|s| generator.scenario(s)).collect();
    let partitions = content
        .sources
        .iter()
        .enumerate()
        .map(|(id, spec)| Partition {
            id: PartitionId(id as u32),
            source: None,
            name: None,
            tables: Vec::new(),
            time: spec.time_settings,
        })
        .collect();
    let mut builder = ReplayBuilder::new(partitions);
    for (id, spec) in content.sources.iter().enumerate() {
        let id = PartitionId(id as u32);
        let texts: Vec<String> =
            lines.iter().filter(|l| *l.source == *spec.source).map(|l| l.text.clone()).collect();
        let received = lines.iter().map(|l| l.time_ms).max().unwrap();
        let mut mapper =
            Mapper::new(spec.clone(), "default", id, spec.time_settings, false, i64::MIN);
        let decoded = mapper.decode(&Chunk::of_lines(id, &texts, received));
        let processed = mapper.map(decoded);
        assert!(processed.dead_letters.is_empty(), "{:?}", processed.dead_letters);
        processed.batches.iter().for_each(|batch| builder.batch(id, batch));
    }
    builder.finish().unwrap()
}

/// Each recipe of the language page loads without a warning and passes its tests in every way.
#[test]
fn every_recipe_passes_its_tests() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules/recipes");
    let content = Content::load(&["builtin".into()], &[folder]).unwrap();
    let mut failures: Vec<String> = content
        .problems
        .iter()
        // Some read tables that no shipped mapping fills (R039); a list of a document has a bound, and a
        // row above it fails (R033).
        .filter(|p| p.diagnostic.level > sluice_rule::Level::Info)
        .filter(|p| !["R033", "R039"].contains(&p.diagnostic.code))
        .map(|p| p.diagnostic.render(p.text.as_deref()))
        .collect();
    assert!(content.rules.len() >= 20 || !failures.is_empty(), "{}", content.rules.len());
    for loaded in &content.rules {
        assert!(loaded.rule.tests.len() >= 2, "{}: fewer than 2 tests", loaded.plan.rule);
        for report in test_rule(&content, loaded, 5) {
            failures.extend(report.failures.iter().map(|f| format!("{}: {f}", loaded.plan.rule)));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// `rules/LANGUAGE.md` is what the program makes; UPDATE_EXPECT=1 writes it.
#[test]
fn the_language_page_is_up_to_date() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules/LANGUAGE.md");
    let made = sluice_engine::language::language().unwrap();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == made, "rules/LANGUAGE.md is behind: run with UPDATE_EXPECT=1");
}
