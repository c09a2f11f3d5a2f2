//! `agent check`: every rule for a bundle as a table, and the four places where a bundle can lie.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::harness::agent::{Agent, CommandContext, Finished};
use super::harness::{parts, s3};
use super::scene::{REPLICATED, SETTINGS};
use super::terminal::on_a_terminal_of;

pub(crate) const SOON: Duration = Duration::from_secs(90);

pub(crate) const SET: &str = "settings.conf";
pub(crate) const REP: &str = "replicated.conf";
pub(crate) const LIC: &str = "license.rli";
pub(crate) const CUS: &str = "circle-installation-customizations";

/// Addresses at which nothing listens: `check` connects to nobody.
const CUSTOMIZATIONS: &str = "\
# made by the test
export CIRCLE_SECRETS_MONGODB_MAIN_URI='mongodb://circle:pw@db.example.com:27017/circle_ghe'
export CIRCLE_SECRETS_MONGODB_ACTION_LOGS_URI='mongodb://circle:pw@db.example.com:27017/circle_ghe'
export CIRCLE_SECRETS_MONGODB_BUILD_STATE_URI='mongodb://circle:pw@db.example.com:27017/build_state_dev_ghe'
export CIRCLE_SECRETS_MONGODB_CONTAINERS_URI='mongodb://circle:pw@db.example.com:27017/containers_dev_ghe'
export CIRCLE_SECRETS_MONGODB_REMOTE_CONTAINERS_URI='mongodb://circle:pw@db.example.com:27017/remote_containers_dev_ghe'
export CIRCLE_SECRETS_POSTGRES_MAIN_URI='postgres://circle:pw@db.example.com:5432/circle'
";

/// A bundle that only `check` reads.
pub(crate) struct Draft {
    pub(crate) files: BTreeMap<&'static str, Vec<u8>>,
}

impl Draft {
    pub(crate) fn good() -> Self {
        let files = [(SET, SETTINGS), (REP, REPLICATED), (LIC, "a licence\n"), (CUS, CUSTOMIZATIONS)];
        Draft { files: files.map(|(name, text)| (name, text.as_bytes().to_vec())).into() }
    }

    fn text(&self, file: &str) -> &str {
        std::str::from_utf8(&self.files[file]).unwrap()
    }

    pub(crate) fn apply(&mut self, change: &Change) {
        match change {
            Change::Replace(file, from, to) => {
                let text = self.text(file);
                assert!(text.contains(from), "{file} of the good bundle has no {from:?}");
                let changed = text.replacen(from, to, 1);
                self.files.insert(file, changed.into_bytes());
            }
            Change::Add(file, line) if *file == CUS => {
                let changed = format!("{}{line}\n", self.text(file));
                self.files.insert(file, changed.into_bytes());
            }
            // Another key of the object, as its last.
            Change::Add(file, member) => {
                let text = self.text(file).trim_end().trim_end_matches('}').trim_end();
                let changed = format!("{text},\n  {member}\n}}\n");
                self.files.insert(file, changed.into_bytes());
            }
            Change::Drop(file, key) => {
                let text = self.text(file);
                let lines: Vec<&str> = text.lines().filter(|line| !line.contains(key)).collect();
                assert!(lines.len() < text.lines().count(), "{file} of the good bundle has no {key:?}");
                // The last member may have gone, and with it the reason for the comma before it.
                let changed = format!("{}\n", lines.join("\n")).replace(",\n}", "\n}");
                self.files.insert(file, changed.into_bytes());
            }
            Change::Write(file, content) => {
                self.files.insert(file, content.to_vec());
            }
        }
    }

    pub(crate) fn directory(&self) -> TempDir {
        let directory = parts::directory("bundle");
        for (name, content) in &self.files {
            fs::write(directory.path().join(name), content).unwrap();
        }
        directory
    }
}

/// What a row does to the good bundle.
pub(crate) enum Change {
    Replace(&'static str, &'static str, &'static str),
    Add(&'static str, &'static str),
    Drop(&'static str, &'static str),
    Write(&'static str, &'static [u8]),
}

/// A change, and every finding that it must lead to: `SEVERITY KIND` and, where it matters, `FILE:LINE:COLUMN`.
pub(crate) type Row = (Change, &'static [&'static str]);

/// Runs the rows and names every one that is not as it should be, not the first alone.
pub(crate) fn assert_rows(rows: &[Row]) {
    let world = CommandContext::new();
    let mut wrong = Vec::new();
    for (number, (change, expected)) in rows.iter().enumerate() {
        let mut draft = Draft::good();
        draft.apply(change);
        let directory = draft.directory();
        let run =
            Agent::new(&world).args(["--output", "json", "check"]).arg(directory.path().display()).run(SOON);
        let found = findings(&run);
        let matches = found.len() == expected.len()
            && found.iter().zip(*expected).all(|(found, expected)| found.starts_with(expected));
        let code = i32::from(expected.iter().any(|finding| finding.starts_with("error")));
        if !matches || run.code != Some(code) {
            wrong.push(format!("row {number}: expected {expected:?}, exit {code}; got {found:?}\n{run}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The findings of the JSON output, each with all that a cause must have.
pub(crate) fn findings(run: &Finished) -> Vec<String> {
    let json: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}\n{run}"));
    assert_eq!(json["version"], 1, "{run}");
    let found = json["findings"].as_array().unwrap_or_else(|| panic!("no findings\n{run}"));
    let texts = found.iter().map(|finding| {
        let text = |name: &str| finding[name].as_str().unwrap_or_default();
        assert_eq!(text("class"), "config", "{finding}");
        assert!(text("sentence").contains(char::is_whitespace) && !text("next_step").is_empty(), "{finding}");
        let place = match finding["line"].as_u64() {
            Some(line) => format!(":{line}:{}", finding["column"]),
            None => String::new(),
        };
        format!("{} {} {}{place}", text("severity"), text("kind"), text("file"))
    });
    texts.collect()
}

#[test]
fn a_good_bundle_in_a_directory_is_valid() {
    let directory = Draft::good().directory();
    let run = |output: &str| {
        let world = CommandContext::new();
        Agent::new(&world).args(["--output", output, "check"]).arg(directory.path().display()).run(SOON)
    };
    run("text").assert_code(0).assert_says(": valid\n");
    let json = run("json");
    json.assert_code(0);
    assert_eq!(findings(&json), Vec::<String>::new());
    assert!(json.stdout.contains("\"valid\": true"), "{json}");
}

#[test]
fn the_text_says_where_what_and_what_to_do() {
    let mut draft = Draft::good();
    draft.apply(&Change::Replace(CUS, "circle:pw@db.example.com:5432", "circle:p@w@db.example.com:5432"));
    draft.apply(&Change::Add(REP, r#""LogLevl": "info""#));
    let (directory, world) = (draft.directory(), CommandContext::new());
    let run = Agent::new(&world).arg("check").arg(directory.path().display()).run(SOON);
    run.assert_code(1)
        .assert_says("circle-installation-customizations:7:61: error: The PostgreSQL URI ")
        .assert_says("unescaped @ in its password")
        .assert_says("→ ")
        .assert_says("%40")
        .assert_says("replicated.conf:10:3: warning: Unknown key \"LogLevl\"")
        .assert_says("Did you mean LogLevel?")
        .assert_says("1 error, 1 warning")
        .assert_silent_about("p@w");
}

#[test]
fn check_reads_s3_and_file_sources_and_what_is_installed() {
    let s3 = s3::moto();
    let bucket = s3.bucket();
    let world = with_own_credentials(s3.url());
    let draft = Draft::good();
    for (name, content) in &draft.files {
        s3.put(&bucket, &format!("services-box/{name}"), content);
        // A source by `file://` lies under the root, as every path of the box does.
        world.write(&format!("/srv/bundle/{name}"), content);
        world.write(&format!("/etc/{name}"), content);
    }
    let before = world.files();
    let of_bucket = format!("s3://{bucket}/services-box");
    for source in [Some(of_bucket.as_str()), Some("file:///srv/bundle"), None] {
        Agent::new(&world).arg("check").args(source).run(SOON).assert_code(0).assert_says(": valid\n");
    }

    s3.put(&bucket, "services-box/license.rli", "");
    world.write("/srv/bundle/license.rli", "");
    fs::remove_file(world.path("/etc/license.rli")).unwrap();
    for (source, kind) in [
        (Some(of_bucket.as_str()), "bundle.empty_file"),
        (Some("file:///srv/bundle"), "bundle.empty_file"),
        (None, "bundle.missing_file"),
    ] {
        let run = Agent::new(&world).args(["--output", "json", "check"]).args(source).run(SOON);
        run.assert_code(1);
        assert_eq!(findings(&run), [format!("error {kind} license.rli")]);
    }
    let changed = ["./srv/bundle/license.rli", "./etc/license.rli"].map(std::path::PathBuf::from);
    let rest = |files: BTreeMap<_, _>| -> Vec<_> {
        files.into_iter().filter(|(path, _)| !changed.contains(path)).collect()
    };
    assert_eq!(rest(world.files()), rest(before), "check changes nothing");
}

/// A machine of a person who has credentials, and no metadata service.
fn with_own_credentials(s3: impl std::fmt::Display) -> CommandContext {
    CommandContext::new()
        .with_s3(s3)
        .with_env("AWS_REGION", "us-east-1")
        .with_env("AWS_ACCESS_KEY_ID", s3::ACCESS_KEY)
        .with_env("AWS_SECRET_ACCESS_KEY", s3::SECRET_KEY)
}

fn check(world: &CommandContext, output: &str, place: impl std::fmt::Display) -> Finished {
    Agent::new(world).args(["--output", output, "check"]).arg(place).run(SOON)
}

#[test]
fn a_file_that_is_absent_is_named_and_the_others_are_validated_all_the_same() {
    let mut draft = Draft::good();
    draft.apply(&Change::Add(REP, r#""LogLevl": "info""#));
    let (directory, world) = (draft.directory(), CommandContext::new());
    let at = |name: &str| directory.path().join(name);
    fs::rename(at(LIC), at("Acme-license.rli")).unwrap();
    fs::rename(at(SET), at("settings.conf.txt")).unwrap();
    fs::remove_file(at(CUS)).unwrap();
    let place = directory.path().display().to_string();
    assert_eq!(
        findings(&check(&world, "json", &place)),
        [
            "error bundle.missing_file settings.conf".to_owned(),
            "error bundle.missing_file license.rli".to_owned(),
            "error bundle.missing_file circle-installation-customizations".to_owned(),
            "warning replicated_conf.unknown_key replicated.conf:10:3".to_owned(),
        ]
    );
    check(&world, "text", &place)
        .assert_code(1)
        .assert_says("settings.conf is missing; settings.conf.txt is there.")
        .assert_says(&format!("mv {place}/settings.conf.txt {place}/settings.conf"))
        .assert_says(&format!("mv {place}/Acme-license.rli {place}/license.rli"))
        .assert_says("circle-installation-customizations is missing.");
}

#[test]
fn a_near_name_at_s3_is_pointed_at_too() {
    let s3 = s3::moto();
    let bucket = s3.bucket();
    let world = with_own_credentials(s3.url());
    let draft = Draft::good();
    for (name, content) in &draft.files {
        let name = if *name == REP { "replicated.conf.json" } else { name };
        s3.put(&bucket, &format!("box/{name}"), content);
    }
    let source = format!("s3://{bucket}/box");
    assert_eq!(findings(&check(&world, "json", &source)), ["error bundle.missing_file replicated.conf"]);
    check(&world, "text", &source)
        .assert_says("replicated.conf is missing; replicated.conf.json is there.")
        .assert_says(&format!("aws s3 mv {source}/replicated.conf.json {source}/replicated.conf"));
    let nothing = format!("s3://{bucket}/another");
    check(&world, "text", &nothing).assert_code(1).assert_says("contains none of the files of a bundle");
}

#[test]
fn what_is_no_directory_and_no_bundle_is_one_sentence() {
    let (directory, world) = (Draft::good().directory(), CommandContext::new());
    let empty = parts::directory("empty");
    for (place, sentence) in [
        (Some("/nowhere/at/all".to_owned()), "/nowhere/at/all does not exist."),
        (Some(directory.path().join(LIC).display().to_string()), "license.rli is not a directory."),
        (Some(empty.path().display().to_string()), "contains none of the files of a bundle."),
        (None, "No bundle is installed on this machine."),
    ] {
        let run = Agent::new(&world).arg("check").args(place.as_deref()).run(SOON);
        run.assert_code(1).assert_says(sentence);
        let said = format!("{}{}", run.stdout, run.stderr);
        assert!(said.trim_end().lines().count() <= 4, "{run}");
    }
}

#[test]
fn a_special_file_is_named_and_never_read() {
    for (file, what) in [(SET, "named pipe"), (REP, "directory"), (LIC, "character device"), (CUS, "socket")]
    {
        let (directory, world) = (Draft::good().directory(), CommandContext::new());
        let path = directory.path().join(file);
        fs::remove_file(&path).unwrap();
        let mut socket = None;
        match what {
            "named pipe" => nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap(),
            "directory" => fs::create_dir(&path).unwrap(),
            "character device" => std::os::unix::fs::symlink("/dev/zero", &path).unwrap(),
            _ => socket = Some(std::os::unix::net::UnixListener::bind(&path).unwrap()),
        }
        let place = directory.path().display().to_string();
        assert_eq!(findings(&check(&world, "json", &place)), [format!("error source.not_a_file {file}")]);
        check(&world, "text", &place).assert_code(1).assert_says(what);
        drop(socket);
    }
}

#[test]
fn each_finding_shows_its_line_with_a_caret_and_no_secret() {
    let mut draft = Draft::good();
    draft.apply(&Change::Replace(
        CUS,
        "'postgres://circle:pw@db.example.com:5432/circle'",
        "postgres://circle:hunter2@db.example.com:5432/circle?a=b&c=d",
    ));
    draft.apply(&Change::Replace(
        REP,
        "\"console-password-of-the-test\",",
        "\"console-password-of-the-test\"",
    ));
    let (directory, world) = (draft.directory(), CommandContext::new());
    let run = check(&world, "text", directory.path().display());
    run.assert_code(1).assert_silent_about("hunter2").assert_silent_about("console-password");
    let lines: Vec<&str> = run.stdout.lines().collect();
    let shown = lines.iter().position(|line| line.contains(":*******@db")).unwrap_or_else(|| panic!("{run}"));
    let caret = lines[shown + 1].chars().position(|c| c == '^').unwrap();
    assert_eq!(lines[shown].chars().nth(caret), Some('&'), "{run}");
    let json: Value =
        serde_json::from_str(&check(&world, "json", directory.path().display()).stdout).unwrap();
    let found = json["findings"].as_array().unwrap();
    let excerpt = &found.last().unwrap()["excerpt"];
    let (text, column) = (excerpt["text"].as_str().unwrap(), excerpt["column"].as_u64().unwrap() as usize);
    assert_eq!(text.chars().nth(column - 1), Some('&'), "{text}");
}

#[test]
fn excerpts_fit_the_terminal_and_point_at_the_place() {
    let mut draft = Draft::good();
    let line = "export CIRCLE_SECRETS_POSTGRES_MAIN_URI=postgres://circle:hunter2@db.internal:5432/circle?sslmode=require&connect_timeout=10";
    draft.files.insert(CUS, format!("{line}\n").into_bytes());
    let directory = draft.directory();
    for columns in [40, 80, 200] {
        let world = CommandContext::new();
        let agent =
            Agent::new(&world).args(["check", directory.path().to_str().unwrap()]).env("NO_COLOR", "1");
        let run = on_a_terminal_of(agent, columns).run(SOON);
        let lines: Vec<&str> = run.stdout.lines().map(str::trim_end).collect();
        let caret = lines.iter().position(|line| line.trim_start() == "^").unwrap_or_else(|| panic!("{run}"));
        let (excerpt, place) = (lines[caret - 1], lines[caret].len() - 1);
        assert_eq!(excerpt.chars().nth(place), Some('&'), "{columns} columns: {run}");
        assert!(excerpt.chars().count() <= columns, "{columns} columns: {run}");
        let text = excerpt.split_once("| ").unwrap().1.trim_matches('…');
        let masked = line.replace("hunter2", "*******");
        let at = masked.find(text).unwrap_or_else(|| panic!("{text}: {run}"));
        let whole = |place: usize| {
            let joined = |c: char| c.is_alphanumeric() || c == '_';
            let (before, after) = (masked[..place].chars().last(), masked[place..].chars().next());
            !before.is_some_and(joined) || !after.is_some_and(joined)
        };
        assert!(whole(at) && whole(at + text.len()), "{columns} columns cut a word: {excerpt}");
    }
}

#[test]
fn output_stays_short_whatever_the_file() {
    let mut draft = Draft::good();
    draft.files.insert(CUS, b"export CIRCLE_SECRETS_POSTGRES_MAIN_URI = x\n".repeat(20_000));
    draft.files.insert(REP, "\u{201c}\n".repeat(100_000).into_bytes());
    let (directory, world) = (draft.directory(), CommandContext::new());
    let run = check(&world, "json", directory.path().display());
    let found = findings(&run);
    assert!(found.len() <= 201, "{}", found.len());
    assert!(found.last().unwrap().starts_with("warning bundle.more_findings"), "{found:?}");
    assert!(check(&world, "text", directory.path().display()).stdout.len() < 100_000);
}
