//! Reads the user-data as text, so that at first boot the unit need not wait until cloud-init runs it.
//!
//! Recognises the two documented forms, and executes nothing:
//!
//! ```text
//! #!/usr/bin/env -S agent boot s3://bucket/prefix
//! ```
//!
//! ```text
//! #!/bin/sh
//! exec agent boot s3://bucket/prefix
//! ```
//!
//! Anything that does more, or might behave differently than parsed here, is left to cloud-init.

use clap::Parser as _;

use crate::aws::imds::{self, Imds};
use crate::cause::{Cause, Class};
use crate::cli::{self, Cli};
use crate::command::CommandContext;
use crate::console::{Event, Level};
use crate::files::Root;
use crate::http::Http;
use crate::wait;

use super::args;
use super::order::Order;

/// The accepted program names: `agent` from `PATH`, and the path where `agent bake` installs it.
const PROGRAM: [&str; 2] = ["agent", "/usr/local/bin/agent"];

/// The longest interpreter line that every kernel reads completely: 127 bytes up to Linux 5.0, 255 from 5.1 on; the
/// rest is silently dropped.
const LONGEST_FIRST_LINE: usize = 255;

/// The boot request in the user-data; `None` if cloud-init has to run it, or if there is none.
///
/// Waits for IMDS as long as a boot would. An unavailable service is only a warning: cloud-init may have another data
/// source.
pub(super) async fn order(world: &CommandContext) -> Option<Order> {
    let asked = ask(world).await;
    let (text, cause, order) = match asked {
        Ok(None) => ("this instance has no user-data", None, None),
        Ok(Some(content)) => match order_in(&content, world) {
            Some(order) => (
                "the user-data is an agent boot command: not waiting for cloud-init to run it",
                None,
                Some(order),
            ),
            None => (
                "the user-data is not a single agent boot command: waiting for cloud-init to run it",
                None,
                None,
            ),
        },
        Err(cause) => ("the user-data cannot be read: waiting for cloud-init to run it:", Some(cause), None),
    };
    let level = if cause.is_some() { Level::Warning } else { Level::Info };
    world.console.emit(Event::Note { stage: None, level, text: text.to_owned(), cause });
    order
}

/// Whether cloud-init has still to run the scripts of the user-data, which it does once for each instance.
pub(super) fn is_to_come(root: &Root) -> bool {
    let instance = root.path("/var/lib/cloud/instance");
    instance.is_dir() && !instance.join("sem/config_scripts_user").exists()
}

async fn ask(world: &CommandContext) -> Result<Option<Vec<u8>>, Cause> {
    let http = Http::new(world.root.clone());
    let imds = Imds::new(&http, &imds::endpoint(|name| std::env::var(name).ok()))?;
    let mut told = None;
    let waiting = |cause: &Cause| {
        if told.replace(cause.kind) != Some(cause.kind) {
            let text = "waiting for the user-data:".to_owned();
            let cause = Some(cause.clone());
            world.console.emit(Event::Note { stage: None, level: Level::Warning, text, cause });
        }
    };
    let is_worth_waiting = |cause: &Cause| cause.class != Class::Config;
    wait::until(world.settings.identity_wait, is_worth_waiting, waiting, async || imds.user_data().await)
        .await
}

fn order_in(content: &[u8], world: &CommandContext) -> Option<Order> {
    world.secrets.register_text(&String::from_utf8_lossy(content));
    let flags = flags_in(content)?;
    let source = args::source(&world.settings, &flags.words).ok()?;
    Some(Order::new(&source, &flags))
}

/// The flags of the single `agent boot` in the user-data, if they allow delegation to the unit.
pub(super) fn flags_in(content: &[u8]) -> Option<cli::Boot> {
    let words = command_in(std::str::from_utf8(content).ok()?)?;
    let Cli { common, command: cli::Command::Boot(flags) } = Cli::try_parse_from(words).ok()? else {
        return None;
    };
    let is_own_world = common.root == std::path::Path::new("/") && common.config.is_none();
    let is_special = flags.dry_run || flags.foreground || flags.unit || flags.force;
    (is_own_world && !is_special).then_some(flags)
}

/// The words of the one command, the program first.
fn command_in(text: &str) -> Option<Vec<&str>> {
    // The kernel and the shell treat a carriage return as part of the last word.
    if text.contains('\r') {
        return None;
    }
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let interpreter: Vec<&str> =
        first.strip_prefix("#!")?.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
    let mut lines = rest.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let command = match interpreter.as_slice() {
        ["/usr/bin/env", "-S", command @ ..] => {
            // Nothing reads the lines below, so something else was intended.
            let is_whole = first.len() <= LONGEST_FIRST_LINE && lines.next().is_none();
            let is_plain = command.iter().all(|word| is_plain(word));
            (is_whole && is_plain).then(|| command.to_vec())?
        }
        [shell, options @ ..] if is_shell(shell) && options.iter().all(|word| is_harmless(word)) => {
            one_command(lines)?
        }
        ["/usr/bin/env", shell] if matches!(*shell, "sh" | "bash") => one_command(lines)?,
        _ => return None,
    };
    command.first().is_some_and(|program| PROGRAM.contains(program)).then_some(command)
}

fn is_shell(path: &str) -> bool {
    matches!(path, "/bin/sh" | "/bin/bash" | "/bin/dash" | "/usr/bin/sh" | "/usr/bin/bash" | "/usr/bin/dash")
}

/// Shell options that do not affect a script of one command.
fn is_harmless(option: &str) -> bool {
    option
        .strip_prefix('-')
        .is_some_and(|letters| !letters.is_empty() && letters.chars().all(|c| "eux".contains(c)))
}

/// The one command of a shell script.
fn one_command<'a>(lines: impl Iterator<Item = &'a str>) -> Option<Vec<&'a str>> {
    let mut found = None;
    for line in lines {
        let words: Vec<&str> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
        match words.as_slice() {
            ["set", options @ ..] if !options.is_empty() && options.iter().all(|word| is_of_set(word)) => {}
            ["exec", command @ ..] | command if found.is_none() => {
                found = Some(command.iter().map(|word| unquoted(word)).collect::<Option<Vec<&str>>>()?);
            }
            _ => return None,
        }
    }
    found
}

fn is_of_set(word: &str) -> bool {
    is_harmless(word) || matches!(word, "pipefail" | "-o" | "-eo" | "-euo" | "-euxo")
}

/// A word that the shell takes literally, without the surrounding quotes.
fn unquoted(word: &str) -> Option<&str> {
    let inner = ['"', '\''].into_iter().find_map(|quote| word.strip_prefix(quote)?.strip_suffix(quote));
    Some(inner.unwrap_or(word)).filter(|word| is_plain(word))
}

/// Whether the word has no special characters for a shell or `env -S`.
fn is_plain(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_./:@%+=,-".contains(&byte))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn flags(text: &str) -> Option<cli::Boot> {
        flags_in(text.as_bytes())
    }

    #[test]
    fn both_documented_forms_are_read_with_their_flags() {
        for text in [
            "#!/usr/bin/env -S agent boot s3://ha-bucket/services-box\n",
            "#!/usr/bin/env -S agent boot s3://ha-bucket/services-box",
            "#!/usr/bin/env -S /usr/local/bin/agent boot s3://ha-bucket/services-box\n\n# the services box\n",
            "#!/bin/sh\nexec agent boot s3://ha-bucket/services-box\n",
            "#!/bin/sh\nagent boot s3://ha-bucket/services-box\n",
            "#!/bin/bash -e\n# boots the box\n\n  exec agent boot 's3://ha-bucket/services-box'\n",
            "#!/usr/bin/env bash\nset -euo pipefail\nexec /usr/local/bin/agent boot \"s3://ha-bucket/services-box\"\n",
            "#! /bin/sh\nexec agent -v boot s3://ha-bucket/services-box\n",
        ] {
            let flags = flags(text).unwrap_or_else(|| panic!("{text:?}"));
            assert_eq!(flags.words, ["s3://ha-bucket/services-box"], "{text:?}");
            assert_eq!((flags.on_failure, flags.deadline), (None, None), "{text:?}");
        }
        let flags = flags("#!/bin/sh\nexec agent boot --on-failure hold --deadline=90m s3://b/p\n").unwrap();
        assert_eq!((flags.on_failure.as_deref(), flags.deadline.as_deref()), (Some("hold"), Some("90m")));
        let flags = flags_in(b"#!/usr/bin/env -S agent boot --on-failure=hold\n").unwrap();
        assert!(flags.words.is_empty());
    }

    #[test]
    fn anything_else_is_left_to_cloud_init() {
        for text in [
            "",
            "#cloud-config\nruncmd: [agent boot s3://b/p]\n",
            "#cloud-boothook\n#!/bin/sh\nexec agent boot s3://b/p\n",
            "#include\nhttps://example.com/x\n",
            "## template: jinja\n#!/bin/sh\nexec agent boot s3://b/p\n",
            "Content-Type: multipart/mixed; boundary=\"x\"\n\n--x\n#!/bin/sh\nexec agent boot s3://b/p\n--x--\n",
            "agent boot s3://b/p\n",
            " #!/bin/sh\nexec agent boot s3://b/p\n",
            "#!/bin/sh\n",
            "#!/bin/sh\nexec agent boot s3://b/p &\n",
            "#!/bin/sh\nexec agent boot s3://b/p # comment\n",
            "#!/bin/sh\nexec agent boot s3://$BUCKET/p\n",
            "#!/bin/sh\nexec agent boot s3://b/`hostname`\n",
            "#!/bin/sh\nexec agent boot \\\n  s3://b/p\n",
            "#!/bin/sh\nexec agent boot \"s3://b/p'\n",
            "#!/bin/sh\nexec agent boot s3://b/{p,q}\n",
            "#!/bin/sh\nexec agent boot s3://b/* \n",
            "#!/bin/sh\nyum -y update\nexec agent boot s3://b/p\n",
            "#!/bin/sh\nexec agent boot s3://b/p\nreboot\n",
            "#!/bin/sh\nBOOT_AGENT_DEADLINE=1h agent boot s3://b/p\n",
            "#!/bin/sh\nset -e; rm -rf /x\nexec agent boot s3://b/p\n",
            "#!/bin/sh\nset -n\nexec agent boot s3://b/p\n",
            "#!/bin/sh -n\nexec agent boot s3://b/p\n",
            "#!/bin/sh\r\nexec agent boot s3://b/p\r\n",
            "#!/bin/sh\nexec /opt/agent boot s3://b/p\n",
            "#!/bin/sh\nexec agent --root /mnt boot s3://b/p\n",
            "#!/bin/sh\nexec agent --config /tmp/x boot s3://b/p\n",
            "#!/bin/sh\nexec agent boot --foreground s3://b/p\n",
            "#!/bin/sh\nexec agent boot --force s3://b/p\n",
            "#!/bin/sh\nexec agent boot --dry-run s3://b/p\n",
            "#!/bin/sh\nexec agent boot --unknown s3://b/p\n",
            "#!/bin/sh\nexec agent probe\n",
            "#!/usr/bin/env agent boot s3://b/p\n",
            "#!/usr/bin/env -S agent boot s3://b/p\necho read by nobody\n",
            "#!/usr/bin/env -S agent boot s3://${BUCKET}/p\n",
            "#!/usr/bin/env -S agent boot \"s3://b/p\"\n",
            "#!/usr/bin/python3\nexec agent boot s3://b/p\n",
        ] {
            assert!(flags(text).is_none(), "{text:?}");
        }
        assert!(flags_in(b"\x1f\x8b\x08\x00gzip").is_none());
        let long = format!("#!/usr/bin/env -S agent boot s3://b/{}\n", "p".repeat(LONGEST_FIRST_LINE));
        assert!(flags(&long).is_none());
    }

    proptest! {
        #[test]
        fn no_user_data_makes_the_reader_panic(content in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = flags_in(&content);
        }

        #[test]
        fn no_shell_script_makes_the_reader_panic(body in "\\PC{0,200}") {
            let _ = flags(&format!("#!/bin/sh\nexec agent boot {body}"));
        }
    }
}
