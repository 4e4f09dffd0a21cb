//! Exit codes and the failures behind them. The codes are the same for every verb.

use std::{error::Error, io, process::ExitCode};

use sluice_engine::EngineError;
use sluice_rule::Diagnostic;

use crate::{config::Problem, tokens::TokenError};

/// How a verb ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It did what was asked; findings may exist.
    Done,
    /// It worked and the check it makes failed.
    CheckFailed,
    /// Rules or mappings could not be loaded.
    NotLoaded,
    /// Wrong argument, unreadable input, no connection.
    Usage,
    /// Ctrl-C.
    Interrupted,
}

impl Exit {
    /// The number the process ends with.
    pub(crate) fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::CheckFailed => 1,
            Exit::NotLoaded => 2,
            Exit::Usage => 3,
            Exit::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// Why a verb could not do what was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Files with errors; every one of them, with the text they are in.
    NotLoaded(Vec<(Diagnostic, Option<String>)>),
    /// What is wrong with the configuration; every problem of it.
    Config(Vec<Problem>),
    /// An argument that cannot be: what is wrong and how to mend it.
    Argument { primary: String, hint: Option<String> },
    /// The engine stopped.
    Engine(EngineError),
    /// Stdout went away or another file could not be written.
    Write(io::Error),
}

impl Failure {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Failure::NotLoaded(_) => Exit::NotLoaded,
            // The reader of our output is gone (`| head`): no failure of ours.
            Failure::Write(e) if e.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
            Failure::Config(_)
            | Failure::Argument { .. }
            | Failure::Engine(_)
            | Failure::Write(_) => Exit::Usage,
        }
    }

    pub(crate) fn argument(primary: impl Into<String>, hint: impl Into<String>) -> Self {
        Failure::Argument { primary: primary.into(), hint: Some(hint.into()) }
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        match error {
            // The sink of this crate writes to stdout: its failure is ours to explain.
            EngineError::Commit(source) => match source.downcast::<io::Error>() {
                Ok(error) => Failure::Write(*error),
                Err(source) => Failure::Engine(EngineError::Commit(source)),
            },
            error => Failure::Engine(error),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Write(error)
    }
}

impl From<TokenError> for Failure {
    fn from(error: TokenError) -> Self {
        let cause = error.source().map_or(String::new(), |c| format!(": {c}"));
        let hint = match &error {
            TokenError::File { .. } => "run it as the user that owns the data directory",
            TokenError::Damaged { .. } => {
                "restore it from a copy, or remove it and make tokens anew"
            }
            TokenError::Invalid(_) => "`sluice token list` shows the tokens there are",
            TokenError::Random(_) => "the system must offer random numbers",
        };
        Failure::argument(format!("{error}{cause}"), hint)
    }
}

/// What stopped the engine, with its causes, each on a line of its own.
pub(crate) fn engine_error(error: &EngineError) -> String {
    let mut text = match error {
        // These name what is the matter; the others what was tried.
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
