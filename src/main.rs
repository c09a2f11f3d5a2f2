//! The `agent` program: parse, run, exit.

use std::process::ExitCode;

use clap::Parser;

use boot_agent::cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    boot_agent::run(cli).into()
}
