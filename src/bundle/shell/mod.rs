//! What a file of shell assignments sets, read without ever running a shell.
//!
//! The rule is honesty: a value is [`Value::Known`] only if bash, sourcing the file, would give exactly it. Everything
//! else is unknown, with the place and the construct that made it so. Constructs come in three strengths: one that
//! hides its own value alone (`$(hostname)`), one after which any variable may have changed until it is assigned again
//! (`source FILE`), and a [`Barrier`], after which not even that is sure (`if`, functions, `eval`, a syntax error).
//!
//! Two things are taken for granted: a sourced file neither ends the shell nor makes variables read-only, and a
//! variable that the file never sets, and that no shell or login sets, is empty.

mod builtins;
mod expand;
mod export;
mod lexer;
mod parser;
mod run;
mod slips;
mod state;
mod value;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]
mod differential_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;

use lexer::Lexer;
use parser::{Parser, Terminator};
use state::Run;
use value::Barrier;

pub(super) use value::{AssignmentError, Construct, Remark, Sourced, Unknown, Value, Variable};

/// Reads a whole file.
pub(super) fn read(text: &str) -> Sourced {
    let mut words = Lexer::new(text);
    let mut run = Run::new();
    loop {
        let parsed = Parser::new(&mut words, Terminator::EndOfText).chain();
        let ended = match parsed {
            Ok(None) => break,
            Ok(Some(chain)) => run.chain(&chain),
            Err(barrier) => Err(barrier),
        };
        if let Err(Barrier(unknown)) = ended {
            run.reading.remarks.push((unknown.at, Remark::Barrier(unknown.what.clone())));
            run.lose_all(&unknown);
            break;
        }
    }
    run.reading.comments = words.comments;
    run.reading
}
