//! What an author reads when a rule is refused: `testdata/rules/_refused/*.sql` and, beside each,
//! the text in a file of the same name with `.txt`. `UPDATE_EXPECT=1` writes these.

use std::{fs, path::Path};

use sluice_rule::{Rule, render_all};
use sluice_sql::{AskedKind, BaselineTable, Compiler};

#[test]
fn refusals_say_where_and_what_to_write_instead() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/rules/_refused");
    let compiler = Compiler::new(vec![]).asking(vec![BaselineTable {
        name: "user_signin".to_owned(),
        id: "baselines.user_signin".to_owned(),
        by_day: true,
        features: vec![("country".to_owned(), AskedKind::Text)],
    }]);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "sql"))
        .collect();
    files.sort();
    assert!(files.len() >= 30, "{} files", files.len());
    let mut wrong = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let name = file.file_stem().unwrap().to_str().unwrap();
        let path = format!("rules/refused/{name}.sql");
        let found = match Rule::parse(&path, &format!("refused/{name}.sql"), &text) {
            Ok((rule, _)) => match compiler.compile_rule(&rule) {
                Ok(compiled) => panic!("{name} is accepted: {:?}", compiled.plan),
                Err(found) => found,
            },
            Err(found) => found,
        };
        let code = name.split('_').next().unwrap().to_uppercase();
        if !found.iter().any(|d| d.code == code) {
            wrong.push(format!("{name}: no {code}"));
        }
        if let Some(missing) = found.iter().find(|d| d.span.is_none() || d.hint.is_none()) {
            wrong.push(format!("{name}: no place or no hint: {missing:?}"));
        }
        let shown = render_all(&found, |_| Some(&text));
        let expected = file.with_extension("txt");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(&expected, &shown).unwrap();
        } else if fs::read_to_string(&expected).ok().as_deref() != Some(shown.as_str()) {
            wrong.push(format!("{name} reads:\n{shown}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
