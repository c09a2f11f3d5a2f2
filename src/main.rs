//! The `agent` program: parse, run, exit.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use boot_agent::cli::Cli;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let exit = match Cli::try_parse_from(&arguments) {
        Ok(cli) => boot_agent::run(cli, &arguments),
        Err(error) => boot_agent::misused(&boot_agent::usage::with_hint(error, &arguments), &arguments),
    };
    exit.into()
}
