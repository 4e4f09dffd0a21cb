//! `sluice baseline warm-start`: a data directory that a node can begin with.

use crate::support::{Scratch, cloudtrail, sluice};

#[test]
fn g8_a_directory_is_made_that_knows_who_uses_what() {
    let scratch = Scratch::new();
    let records = ["ann", "bob", "cem"].map(cloudtrail).join("\n");
    let file = scratch.write("history/aws.json", records + "\n");
    let data = scratch.path("data");
    let warm = |more: &[&str]| {
        let verb = ["baseline", "warm-start", "--output", "ndjson", "--data-dir", &data, &file];
        sluice(&[&verb, more].concat())
    };
    let rows = warm(&[]).exits(0).rows();
    let of = |id: &str| rows.iter().find(|row| row["baseline_id"] == id).unwrap();
    let uses = of("baselines.actor_api_use");
    assert_eq!((&uses["entities"], &uses["rows"]), (&3.into(), &3.into()), "{uses}");
    assert_eq!(of("baselines.host_flows")["entities"], 0);
    // What was learned is not lost by mistake.
    warm(&[]).exits(3).says(&["baselines.actor_api_use learned something already", "--replace"]);
    warm(&["--replace"]).exits(0);
    warm(&["--replace", "-r", "no such folder"]).exits(3);
}
