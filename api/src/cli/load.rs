//! Loading content for a verb that needs all of it: every error of every file, then exit code 2.

use std::path::PathBuf;

use sluice_engine::Content;

use super::{errors, exit::Failure};

/// Loads mappings, rules and lookups; warnings go to stderr.
///
/// # Errors
/// If anything could not be loaded: all of it at once.
pub(crate) fn content(
    mappings: &[PathBuf],
    rules: &[PathBuf],
    lookups: &[PathBuf],
    quiet: bool,
) -> Result<Content, Failure> {
    let content = Content::load_with(mappings, rules, lookups)?;
    let errors: Vec<_> = content
        .errors()
        .map(|p| (p.diagnostic.clone(), p.text.as_deref().map(str::to_owned)))
        .collect();
    if !errors.is_empty() {
        return Err(Failure::NotLoaded(errors));
    }
    let warnings = content.problems.len();
    if warnings > 0 && !quiet {
        tracing::info!(warnings, "rules loaded with warnings; `sluice rule lint` shows them");
    }
    Ok(content)
}

/// Loads mappings, rules and lookups for a verb that works on each rule by itself: a rule that cannot be loaded
/// is reported and the others go on. Also whether all could.
///
/// # Errors
/// If a mapping cannot be loaded, or no rule at all.
pub(crate) fn usable(
    mappings: &[PathBuf],
    rules: &[PathBuf],
    lookups: &[PathBuf],
    quiet: bool,
) -> Result<(Content, bool), Failure> {
    let content = Content::load_with(mappings, rules, lookups)?;
    let errors: Vec<_> = content
        .errors()
        .map(|p| (p.diagnostic.clone(), p.text.as_deref().map(str::to_owned)))
        .collect();
    if errors.is_empty() {
        return Ok((content, true));
    }
    let failure = Failure::NotLoaded(errors);
    let rules = content.running().count();
    if !content.mappings_loaded || rules == 0 {
        return Err(failure);
    }
    errors::report(&failure);
    if !quiet {
        eprintln!("{rules} rules are loaded; the files above are not");
    }
    Ok((content, false))
}
