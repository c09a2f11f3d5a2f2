//! What a person sees: on a terminal, in a log, and afterwards.

use serde_json::Value;
use stand_ins::autoscaling::{self, Fault};

use super::harness::agent::{Agent, Finished};
use super::scene::{SOON, STAGES, Scene};

const COLUMNS: usize = 200;

/// `agent` on a terminal of its own, wide enough for every line; both its streams are the one of [`Finished::stdout`].
pub(crate) fn on_a_terminal(agent: Agent) -> Agent {
    on_a_terminal_of(agent, COLUMNS)
}

/// The same, so many columns wide.
pub(crate) fn on_a_terminal_of(agent: Agent, columns: usize) -> Agent {
    // `script` takes a command line alone, so the words go round it: it ends with `sh -c`, which has them as its own.
    let inner = format!("stty cols {columns} rows 60; exec \"$@\"");
    let quote = "for word in sh \"$@\"; do printf \" '%s'\" \"$word\"; done";
    let script = format!(
        "command=\"exec sh -c '$INNER'$({quote})\"; exec script --quiet --return --command \"$command\" /dev/null"
    );
    agent.env("INNER", inner).env("TERM", "xterm").under("sh", ["-c", &script, "sh"])
}

/// A screen as a terminal would show it after all that was printed, without colours; nothing scrolls away.
pub(crate) fn screen(printed: &str) -> Vec<String> {
    let mut lines: Vec<Vec<char>> = vec![Vec::new()];
    let (mut row, mut column) = (0_usize, 0_usize);
    let mut characters = printed.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\r' => column = 0,
            '\n' => row += 1,
            '\x1b' => {
                assert_eq!(characters.next(), Some('['), "an escape that this screen does not know");
                let mut number = String::new();
                let command = loop {
                    match characters.next().expect("the end of an escape") {
                        digit @ ('0'..='9' | ';' | '?') => number.push(digit),
                        command => break command,
                    }
                };
                let count = number.parse().unwrap_or(1);
                match command {
                    'A' => row = row.saturating_sub(count),
                    'B' => row += count,
                    'K' if number == "2" => lines[row].clear(),
                    'K' => lines[row].truncate(column),
                    'J' => lines.truncate(row + 1),
                    'm' | 'h' | 'l' => {}
                    other => panic!("an escape that this screen does not know: {number}{other}"),
                }
            }
            character => {
                // The cursor waits behind the last column until there is more to print.
                if column == COLUMNS {
                    (row, column) = (row + 1, 0);
                    lines.resize(lines.len().max(row + 1), Vec::new());
                }
                let line = &mut lines[row];
                line.resize(line.len().max(column + 1), ' ');
                line[column] = character;
                column += 1;
            }
        }
        while lines.len() <= row {
            lines.push(Vec::new());
        }
    }
    lines.iter().map(|line| line.iter().collect::<String>().trim_end().to_owned()).collect()
}

/// The live list's part of a screen: what stands above the closing summary.
fn list(printed: &str) -> Vec<String> {
    let mut lines = screen(printed);
    let summary = lines.iter().position(|line| line.starts_with("i-")).expect("a summary");
    lines.truncate(summary);
    lines
}

#[test]
fn a_terminal_shows_a_live_list_and_keeps_one_line_of_each_stage() {
    let scene = Scene::new();
    scene.stand_in("timeline", "0 starting started true 503\n5 started started false 200\n");
    let finished = on_a_terminal(scene.boot()).run(SOON);
    finished.assert_code(0);
    // While it ran: the wait, drawn over and over, and elapsed time.
    finished.assert_says("waiting:").assert_says("The app is still transitioning");
    let list = list(&finished.stdout);
    // A warning may stand between them, under its own sign; nothing that was drawn for a while is left.
    for stage in STAGES {
        let of_it = list.iter().filter(|line| line.contains(&format!(" {stage} ")) && !line.starts_with('!'));
        let of_it: Vec<_> = of_it.collect();
        assert_eq!(of_it.len(), 1, "{stage}: {list:#?}");
        assert!(of_it[0].starts_with(['✓', '–']), "{of_it:?}");
    }
    assert!(!list.iter().any(|line| line.contains("waiting")), "{list:#?}");
    assert!(finished.stdout.contains("\x1b[32m✓\x1b[0m"), "no colour: {finished}");
}

#[test]
fn a_failure_on_a_terminal_ends_with_its_cause() {
    let scene = Scene::new();
    scene.put("license.rli", "<html>login</html>");
    let finished = on_a_terminal(scene.boot()).run(SOON);
    finished.assert_code(1);
    let list = list(&finished.stdout);
    let failed: Vec<_> = list.iter().filter(|line| line.starts_with('✗')).collect();
    assert_eq!(failed.len(), 1, "{list:#?}");
    assert!(failed[0].contains("validate"), "{list:#?}");
    let all = screen(&finished.stdout);
    assert!(all.iter().any(|line| line.trim_start().starts_with("next step")), "{all:#?}");
}

#[test]
fn no_color_and_a_dumb_terminal_get_no_colour() {
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let scene = Scene::new();
        scene.put("license.rli", "<html>login</html>");
        let finished = on_a_terminal(scene.boot()).env(name, value).run(SOON);
        finished.assert_code(1);
        assert!(!has_colour(&finished.stdout), "{name}: {:?}", finished.stdout);
        let status = on_a_terminal(Agent::new(&scene.world).arg("status")).env(name, value).run(SOON);
        assert!(!status.stdout.contains('\x1b'), "{name}: {:?}", status.stdout);
    }
}

/// Whether any escape sequence of the kind that sets colours is there.
fn has_colour(printed: &str) -> bool {
    printed.split("\x1b[").skip(1).any(|rest| {
        rest.trim_start_matches(|character: char| character.is_ascii_digit() || character == ';')
            .starts_with('m')
    })
}

#[test]
fn a_log_gets_one_plain_line_per_event() {
    let scene = Scene::new();
    let finished = scene.boots();
    finished.assert_code(0);
    assert!(!format!("{}{}", finished.stdout, finished.stderr).contains(['\x1b', '\r']), "{finished}");
    for stage in STAGES {
        let lines = |word: &str| {
            let begin = format!("{stage:<10} {word}");
            finished.stderr.lines().filter(|line| undated(line).starts_with(&begin)).count()
        };
        assert_eq!(lines("started"), 1, "{stage}: {finished}");
        assert_eq!(lines("done after") + lines("skipped after"), 1, "{stage}: {finished}");
    }
}

/// A line of a log without its time.
///
/// # Panics
/// Unless it begins with one, like `2026-11-25T10:24:01Z `.
pub(crate) fn undated(line: &str) -> &str {
    let (time, rest) = line.split_at(21);
    let shape: String =
        time.chars().map(|character| if character.is_ascii_digit() { '0' } else { character }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00Z ", "{line}");
    rest
}

#[test]
fn quiet_says_failures_and_nothing_else() {
    let scene = Scene::new();
    let license = scene.s3.get(&scene.bucket, "services-box/license.rli");
    scene.put("license.rli", "<html>login</html>");
    let finished = scene.boot().arg("--quiet").run(SOON);
    finished.assert_code(1);
    let said: Vec<_> = finished.stderr.lines().collect();
    assert_eq!(said.len(), 1, "{finished}");
    assert!(undated(said[0]).starts_with("validate   FAILED after"), "{finished}");
    assert!(!finished.stdout.contains("identity"), "{finished}");

    scene.put("license.rli", license);
    scene.auto_scaling.place(super::scene::INSTANCE, autoscaling::Stage::PendingWait, false);
    let finished = scene.boot().arg("--quiet").run(SOON);
    finished.assert_code(0);
    let is_warning = |line: &str| line.contains(" warning: ");
    assert!(finished.stderr.lines().all(is_warning), "{finished}");
    assert!(!finished.stdout.contains("in service"), "{finished}");
}

#[test]
fn verbose_says_details_that_nobody_else_hears() {
    let heard = |flag: Option<&str>| -> Finished {
        let scene = Scene::new();
        scene.auto_scaling.inject(Fault::Race(1));
        scene.put("license.rli", "<html>login</html>");
        let boot = flag.into_iter().fold(scene.boot(), |boot, flag| boot.arg(flag));
        boot.run(SOON)
    };
    heard(Some("--verbose")).assert_code(1).assert_says("heartbeat rejected");
    heard(None).assert_code(1).assert_silent_about("heartbeat rejected");
}

#[test]
fn status_is_a_timeline_with_the_slowest_stage_marked() {
    let scene = Scene::new();
    scene.stand_in("timeline", "0 starting started true 503\n8 started started false 200\n");
    scene.boots().assert_code(0);
    let status = Agent::new(&scene.world).arg("status").run(SOON);
    status.assert_code(0).assert_says("in service after").assert_says("completed with CONTINUE");
    let marked: Vec<_> = status.stdout.lines().filter(|line| line.contains("← slowest")).collect();
    assert_eq!(marked.len(), 1, "{status}");
    assert!(marked[0].starts_with("✓ ready"), "{status}");
    for stage in STAGES {
        let of_it = status.stdout.lines().filter(|line| line.contains(&format!(" {stage} "))).count();
        assert_eq!(of_it, 1, "{stage}: {status}");
    }
    assert_eq!(status.stderr, "");
}

#[test]
fn status_of_a_box_that_was_never_booted_says_so() {
    let scene = Scene::new();
    let status = Agent::new(&scene.world).arg("status").run(SOON);
    status.assert_code(1).assert_says("has not booted").assert_says("agent boot s3://bucket/prefix");
    let status = Agent::new(&scene.world).args(["status", "--output", "json"]).run(SOON);
    status.assert_code(1);
    let json: Value =
        serde_json::from_str(&status.stdout).unwrap_or_else(|error| panic!("{error}: {status}"));
    assert_eq!(json["version"], 1);
    assert!(json.to_string().contains("record.none"), "{json}");
}

#[test]
fn json_is_alone_on_standard_output() {
    let scene = Scene::new();
    scene.put("license.rli", "<html>login</html>");
    let failed = scene.boot().args(["--output", "json"]).run(SOON);
    failed.assert_code(1);
    let boot: Value = serde_json::from_str(&failed.stdout).unwrap();
    assert_eq!((&boot["version"], &boot["outcome"]), (&1.into(), &"abandoned".into()));
    assert_eq!(boot["cause"]["kind"], "bundle.invalid");
    let status = Agent::new(&scene.world).args(["--output", "json", "status"]).run(SOON);
    status.assert_code(1);
    let mut status: Value = serde_json::from_str(&status.stdout).unwrap();
    assert_eq!(status.as_object_mut().unwrap().remove("is_running"), Some(false.into()));
    let critical_path = status.as_object_mut().unwrap().remove("critical_path").unwrap();
    assert_eq!(critical_path.as_array().unwrap().last(), Some(&"validate".into()));
    assert_eq!(status, boot);
}
