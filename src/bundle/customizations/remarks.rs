//! What is said about the shell constructs of the file, apart from the addresses in it.

use crate::bundle::finding::Notes;
use crate::bundle::shell::{Reading, Remark, What};
use crate::bundle::text::placeholders;
use crate::cause::Cause;
use crate::database::uri::closest;

pub(super) fn check(notes: &mut Notes<'_>, name: &str, text: &str, reading: &Reading) {
    let placeholders: Vec<_> = placeholders(text).collect();
    for (at, remark) in &reading.remarks {
        match remark {
            Remark::Barrier(What::Syntax(what)) => notes.error(*at, syntax(name, what)),
            Remark::Barrier(what) => notes.warning(*at, barrier(what)),
            Remark::MayChangeAll(what) => notes.warning(*at, may_change_all(what)),
            Remark::Command(command) => notes.warning(*at, ignored_command(command)),
            Remark::Unset(variable) => notes.warning(*at, unset(variable, reading)),
            Remark::Ampersand(variable) => {
                notes.error(*at, unquoted(variable, "&", "cuts the value off and puts it away unseen"))
            }
            Remark::Redirection(variable) => {
                // `<password>` without quotes: it has been named, and is the one thing to mend.
                if !placeholders.iter().any(|range| (range.start..=range.end).contains(at)) {
                    notes.error(
                        *at,
                        unquoted(variable, "< or >", "is a redirection to the shell and cuts the value off"),
                    );
                }
            }
            Remark::SpaceAroundEquals(variable) => notes.error(*at, space_around_equals(variable)),
        }
    }
}

fn syntax(name: &str, what: &str) -> Cause {
    Cause::config(
        "customizations.syntax",
        format!("The shell cannot read the file: here is {what}."),
        format!(
            "Correct it; `bash -n {name}` says nothing once it is right. Values belong in single quotes."
        ),
    )
}

fn barrier(what: &What) -> Cause {
    Cause::config(
        "customizations.unknown_rest",
        format!("Here is {what}: what the file sets cannot be known before the app sources it."),
        "Keep to lines of the form export NAME='value', so that each can be checked before the boot.",
    )
}

fn may_change_all(what: &What) -> Cause {
    Cause::config(
        "customizations.unknown_rest",
        format!("Here is {what}, which may change any variable set before it."),
        "Write what it sets into this file, or put it before everything else.",
    )
}

fn ignored_command(command: &str) -> Cause {
    Cause::config(
        "customizations.command",
        format!("{command:?} runs as a command here; nothing is known of what it does."),
        "If a value was meant, put all of it in single quotes: export NAME='value'",
    )
}

fn unset(variable: &str, reading: &Reading) -> Cause {
    let others = reading.variables().keys().map(String::as_str).filter(|name| *name != variable);
    let next_step = match closest(variable, others) {
        Some(meant) => {
            format!("Did you mean ${{{meant}}}? If a dollar sign was meant, write \\$ or use single quotes.")
        }
        None => format!(
            "Set {variable} above this line; if a dollar sign was meant, write \\$ or use single quotes."
        ),
    };
    Cause::config(
        "customizations.unset_variable",
        format!("${variable} is not set by this file, and expands to nothing."),
        next_step,
    )
}

fn unquoted(variable: &str, character: &str, what: &str) -> Cause {
    Cause::config(
        "customizations.unquoted_character",
        format!("An unquoted {character} in the value of {variable} {what}."),
        format!("Put the whole value in single quotes: export {variable}='…'"),
    )
}

fn space_around_equals(variable: &str) -> Cause {
    Cause::config(
        "customizations.space_around_equals",
        format!("A blank next to the = after {variable} makes this a command, not an assignment."),
        format!("Write it without blanks: export {variable}='…'"),
    )
}
