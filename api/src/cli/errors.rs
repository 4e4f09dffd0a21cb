//! Failures as people read them, on stderr. Not log lines.

use std::io;

use super::exit::{Failure, engine_error};
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
        Failure::Engine(error) => {
            eprintln!("error: {}", engine_error(error).replace('\n', "\n   "))
        }
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
