//! Commands that a test runs and whose failure is the test's failure.

use std::process::{Command, Output};

/// Runs `command` to its end and returns what it printed, without the last line break.
///
/// # Panics
/// With everything it said when it does not exit with 0.
pub(crate) fn must(command: &mut Command) -> String {
    let output = run(command);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// Runs `command` to its end, whatever that is. Nothing is waited for longer than two minutes.
pub(crate) fn run(command: &mut Command) -> Output {
    let mut limited = Command::new("timeout");
    limited.args(["--kill-after=5", "120"]);
    limited.arg(command.get_program()).args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(key, value),
            None => limited.env_remove(key),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        limited.current_dir(directory);
    }
    limited.stdin(std::process::Stdio::null());
    limited.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}
