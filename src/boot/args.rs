//! What the command line says to boot.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _};
use std::path::Path;

use crate::cause::Cause;
use crate::cli;
use crate::kind::Kind;
use crate::settings::{Settings, Source};

/// The source from the command line, else from the settings. cloud-init appends the path of the user-data script to the
/// interpreter line's arguments; it is ignored.
pub(super) fn source(settings: &Settings, words: &[String]) -> Result<Source, Cause> {
    match without_script(words) {
        [] => settings.source.clone().ok_or_else(|| {
            Cause::config(
                Kind::SourceMissing,
                "No source given.",
                "Give one: agent boot s3://bucket/prefix; or set source in agent.toml.",
            )
        }),
        [source] => Source::parse(source),
        [_, surplus, ..] => Err(Cause::config(
            Kind::SourceInvalid,
            format!("Unexpected argument \"{surplus}\"."),
            "Give one source: agent boot s3://bucket/prefix",
        )),
    }
}

/// Whether the command line has a source.
pub(crate) fn names_source(flags: &cli::Boot) -> bool {
    !without_script(&flags.words).is_empty()
}

fn without_script(words: &[String]) -> &[String] {
    match words.split_last() {
        Some((last, before)) if is_script(last) => before,
        _ => words,
    }
}

fn is_script(word: &str) -> bool {
    let mut start = [0; 2];
    // A FIFO is not opened: that would wait for whoever writes into it.
    Path::new(word).is_absolute()
        && Path::new(word).is_file()
        && File::open(word).and_then(|mut file| file.read_exact(&mut start)).is_ok()
        && start == *b"#!"
}

/// Whether a person is there to see what is wrong, and to correct it: at a terminal, and not for the unit.
pub(crate) fn is_attended(flags: &cli::Boot) -> bool {
    !flags.unit && io::stdin().is_terminal() && io::stderr().is_terminal()
}
