//! Failures as people read them, on stderr. Not log lines.

use std::{error::Error, io};

use sluice_engine::EngineError;

use super::exit::Failure;
use crate::config::Problem;

/// Prints a failure: every diagnostic of it, or the chain of causes.
pub(crate) fn report(failure: &Failure) {
    match failure {
        Failure::NotLoaded(diagnostics) => {
            for (diagnostic, text) in diagnostics {
                eprintln!("{}", diagnostic.render(text.as_deref()));
            }
        }
        Failure::Config(problems) => config_problems(problems),
        Failure::Argument { primary, hint } => {
            eprintln!("error: {primary}");
            if let Some(hint) = hint {
                eprintln!("   = help: {hint}");
            }
        }
        Failure::Engine(error) => eprintln!("error: {}", engine(error).replace('\n', "\n   ")),
        Failure::Write(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        Failure::Write(error) => eprintln!("error: cannot write: {error}"),
    }
}

/// Prints what is wrong with a configuration, in the order it was found.
pub(crate) fn config_problems(problems: &[Problem]) {
    for problem in problems {
        eprintln!("{}", problem.diagnostic.render(problem.text.as_deref()));
    }
}

/// What stopped the engine, with its causes, each on a line of its own.
pub(crate) fn engine(error: &EngineError) -> String {
    let mut text = match error {
        // These say what is the matter; the others what was tried.
        EngineError::Store(_) | EngineError::Stored { .. } | EngineError::NoRoom => {
            error.to_string()
        }
        error => format!("cannot {error}"),
    };
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!("\n= because: {error}"));
        cause = error.source();
    }
    text
}
