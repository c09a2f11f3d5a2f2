//! Turns usage errors into causes, with suggestions.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, FromArgMatches as _};

use crate::cause::Cause;
use crate::cli::Cli;
use crate::kind::Kind;

/// What other programs call this one's commands and flags.
const MEANT: &[(&[&str], &str)] = &[
    (&["doctor", "diagnose", "diagnostics", "debug", "health", "healthcheck", "test", "ping"], "agent probe"),
    (&["version"], "agent --version"),
    (&["validate", "verify", "lint"], "agent check"),
    (&["start", "run", "up", "install", "launch", "init"], "agent boot"),
    (&["info", "show", "log", "logs", "history", "timeline", "ps"], "agent status"),
    (&["build", "pull", "prepare"], "agent bake"),
    (&["completion"], "agent completions"),
    (&["manual"], "agent man"),
];

/// Adds a suggestion to an error for which clap has none.
pub fn with_hint(mut error: clap::Error, arguments: &[std::ffi::OsString]) -> clap::Error {
    if let Some(meant) = meant(&error, arguments) {
        let tip = format!("did you mean `{meant}`?").into();
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
        // clap's own suggestion would contradict this one.
        error.remove(ContextKind::SuggestedSubcommand);
    }
    error
}

fn meant(error: &clap::Error, arguments: &[std::ffi::OsString]) -> Option<String> {
    let word = |kind| match error.get(kind) {
        Some(ContextValue::String(word)) => Some(word.as_str()),
        _ => None,
    };
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let given = word(ContextKind::InvalidSubcommand)?.to_lowercase();
            let known = MEANT.iter().find(|(words, _)| words.contains(&given.as_str()));
            known.map(|(_, meant)| (*meant).to_owned())
        }
        ErrorKind::UnknownArgument => {
            let given = word(ContextKind::InvalidArg)?;
            let is_probe = arguments.iter().any(|argument| argument == "probe");
            match given {
                _ if !is_probe || given.starts_with('-') => None,
                address if address.contains("://") => Some("agent probe --uri URI".to_owned()),
                check => Some(format!("agent probe --only {check}")),
            }
        }
        _ => None,
    }
}

/// What can be understood of a command line that is not valid as a whole.
pub(crate) fn understood(arguments: &[std::ffi::OsString]) -> Option<Cli> {
    let matches = Cli::command().ignore_errors(true).try_get_matches_from(arguments).ok()?;
    Cli::from_arg_matches(&matches).ok()
}

/// The same error as a cause, for a reader that asked for JSON.
pub(crate) fn cause(error: &clap::Error) -> Cause {
    let rendered = error.render().to_string();
    let mut lines = rendered.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or("the command line is not valid");
    let first = first.strip_prefix("error: ").unwrap_or(first).trim_end_matches('.');
    let mut sentence = first.to_owned();
    let (mut usage, mut tip) = (None, None);
    for line in lines {
        match (line.strip_prefix("Usage: "), line.strip_prefix("tip: ")) {
            (Some(line), _) => usage = Some(line.to_owned()),
            (_, Some(line)) => tip = tip.or(Some(line.to_owned())),
            // Missing and possible values are on separate lines below the first.
            _ if usage.is_none() && tip.is_none() => sentence = format!("{sentence} {line}"),
            _ => {}
        }
    }
    if let Some(start) = sentence.get(..1) {
        sentence = start.to_uppercase() + &sentence[1..];
    }
    let next_step = tip.map_or("Show the commands and flags: agent --help".to_owned(), |tip| {
        let start = tip.get(..1).unwrap_or_default().to_uppercase();
        start.clone() + &tip[start.len().min(tip.len())..]
    });
    let cause = Cause::config(Kind::UsageInvalid, format!("{sentence}."), next_step);
    match usage {
        Some(usage) => cause.with("usage", usage),
        None => cause,
    }
}
