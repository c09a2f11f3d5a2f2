//! What fits where: narrow terminals, those without cursor control, locales without UTF-8, `-q` and `-v`.

use super::harness::agent::{Agent, Finished};
use super::scene::{SOON, Scene};
use super::terminal::{on_a_terminal, on_a_terminal_of};

/// A command that prints its result and nothing while it works, in a world of its own making.
fn ask(scene: &Scene, words: &[&str]) -> Agent {
    Agent::new(&scene.world).args(words)
}

/// The words of a text, without colours and what is drawn for the eye alone.
fn words(text: &str) -> Vec<String> {
    let mut plain = String::new();
    for (nth, piece) in text.split("\x1b[").enumerate() {
        plain.push_str(if nth == 0 {
            piece
        } else {
            piece.split_once(char::is_alphabetic).map_or("", |(_, rest)| rest)
        });
    }
    plain
        .split_whitespace()
        .map(|word| word.trim_matches('━').to_owned())
        .filter(|word| !word.is_empty())
        .collect()
}

fn lines(finished: &Finished) -> Vec<String> {
    finished.stdout.lines().map(|line| words(line).join(" ")).collect()
}

/// A box whose last boot failed, with a cause that has evidence.
fn failed() -> Scene {
    let scene = Scene::new();
    scene.put("license.rli", "<html>login</html>");
    scene.boots().assert_code(1);
    scene
}

#[test]
fn text_wraps_at_any_width_and_cuts_no_word() {
    let scene = failed();
    for command in [&["status"][..], &["status", "--verbose"]] {
        let whole = ask(&scene, command).run(SOON);
        for columns in [40, 80, 120] {
            let wrapped = on_a_terminal_of(ask(&scene, command), columns).run(SOON);
            assert_eq!(words(&wrapped.stdout), words(&whole.stdout), "{columns} columns: {wrapped}");
            for line in wrapped.stdout.lines() {
                let mut shown = 0;
                for piece in line.trim_end().split("\x1b[") {
                    let text = if shown == 0 && !line.starts_with('\x1b') {
                        piece
                    } else {
                        piece.split_once('m').map_or(piece, |(_, text)| text)
                    };
                    shown += text.chars().count();
                }
                let one_word = line.split_whitespace().count() <= 2;
                assert!(shown <= columns || one_word, "{columns} columns, {shown} shown: {line:?}");
            }
        }
        let longest = whole.stdout.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(longest > 120, "nothing to wrap: {whole}");
    }
}

/// A serial console reports no size.
#[test]
fn a_terminal_that_does_not_say_how_wide_it_is_gets_80_columns() {
    let scene = failed();
    for (columns, width) in [(None, 80), (Some("60"), 60)] {
        let status = on_a_terminal_of(ask(&scene, &["status"]).env("NO_COLOR", "1"), 0);
        let status =
            columns.into_iter().fold(status, |status, columns| status.env("COLUMNS", columns)).run(SOON);
        let longest = status.stdout.lines().map(|line| line.trim_end().chars().count()).max().unwrap();
        assert!((width / 2..=width).contains(&longest), "{longest} of {width}: {status}");
    }
}

#[test]
fn a_terminal_without_cursor_control_gets_plain_lines_as_they_happen() {
    for term in [Some("dumb"), None] {
        let scene = Scene::new();
        scene.stand_in("timeline", "0 starting started true 503\n6 started started false 200\n");
        let boot = on_a_terminal(scene.boot());
        let boot = match term {
            Some(term) => boot.env("TERM", term),
            None => boot.without_env("TERM"),
        };
        let mut boot = boot.spawn();
        // It has not ended: what is said stands there while it waits.
        boot.wait_for_line("ready      waiting", SOON);
        assert!(!boot.so_far().contains("report     started"), "{}", boot.so_far());
        let finished = boot.finish(SOON);
        finished.assert_code(0).assert_says("report     done after").assert_silent_about("\x1b");
    }
}

#[test]
fn a_locale_without_utf_8_gets_ascii() {
    let scene = failed();
    for (name, value) in [("LANG", "C"), ("LC_ALL", "en_US.ISO-8859-1"), ("LC_CTYPE", "POSIX")] {
        let status = ask(&scene, &["status"]).env(name, value).run(SOON);
        assert!(status.stdout.is_ascii(), "{name}={value}: {status}");
        assert!(status.stdout.lines().any(|line| line.starts_with("x validate ")), "{status}");
        assert!(status.stdout.lines().any(|line| line.starts_with("+ fetch ")), "{status}");
    }
    let status = ask(&scene, &["status"]).env("LC_ALL", "de_DE.utf8").env("LANG", "C").run(SOON);
    assert!(status.stdout.contains('✗'), "{status}");
}

#[test]
fn quiet_and_verbose_mean_the_same_in_every_command() {
    let scene = Scene::new();
    scene.boots().assert_code(0);
    let check = scene.source();
    let silent: [&[&str]; 2] = [&["probe", "-q", "--only", "postgres.main.dns"], &["check", "-q", &check]];
    for command in silent {
        let finished = ask(&scene, command).run(SOON);
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(0), ""), "{command:?}: {finished}");
    }
    // MongoDB is newer than the documented: a warning, and nothing else.
    let status = ask(&scene, &["status", "-q"]).run(SOON);
    status.assert_code(0).assert_silent_about("in service").assert_silent_about("identity");
    assert!(status.stdout.starts_with('!'), "{status}");
    ask(&scene, &["status", "-v"]).run(SOON).assert_says("heartbeats").assert_says("first in service");
    let probe = ask(&scene, &["probe", "-v", "--only", "postgres.main"]).run(SOON);
    for rung in ["uri", "dns", "tcp", "auth", "database", "role"] {
        probe.assert_says(&format!("✓ postgres.main.{rung} "));
    }

    scene.put("license.rli", "<html>login</html>");
    let failing = ask(&scene, &["check", "-q", &check]).run(SOON);
    failing.assert_code(1).assert_says("license.rli");
    scene.world.write("/etc/resolv.conf", "nameserver 127.0.0.1:1\n");
    let failing = ask(&scene, &["probe", "-q", "--only", "bundle.files,source.license"]).run(SOON);
    assert!(lines(&failing).iter().all(|line| !line.starts_with('✓')), "{failing}");
}

#[test]
fn what_cannot_be_printed_is_said_on_standard_error() {
    let scene = failed();
    let status = ask(&scene, &["status"]).under("sh", ["-c", "exec \"$@\" > /dev/full", "sh"]).run(SOON);
    status.assert_code(1);
    assert!(status.stderr.starts_with("agent: cannot write to standard output: No space left"), "{status}");
}

/// `aws ec2 get-console-output` shows it of an instance that nobody can log in to.
#[test]
fn the_console_gets_instance_cause_and_next_step_in_three_lines() {
    let scene = Scene::new();
    scene.world.write("/dev/console", "");
    scene.put("license.rli", "<html>login</html>");
    scene.boots().assert_code(1);
    let console = scene.world.read("/dev/console");
    let lines: Vec<_> = console.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    assert_eq!(lines.len(), 3, "{console}");
    let record = scene.record();
    let said = |key: &str| record["cause"][key].as_str().unwrap().to_owned();
    let instance =
        format!("boot-agent: {}: the boot failed ({}, config)", super::scene::INSTANCE, said("kind"));
    assert_eq!(lines[0], instance);
    assert_eq!(lines[1], format!("boot-agent: cause: {}", said("sentence")));
    assert_eq!(lines[2], format!("boot-agent: next step: {}", said("next_step")));
}
