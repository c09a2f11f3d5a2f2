//! The installer's stored answers from earlier runs, which silently override later arguments.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use super::edition::name_of;
use crate::cause::Cause;
use crate::files::{self, Root};
use crate::kind::Kind;
use crate::secret::Secrets;

/// Where the installer stores them; the directory depends on the distribution.
pub const FILES: &[&str] = &[
    "/etc/default/replicated",
    "/etc/default/replicated-operator",
    "/etc/sysconfig/replicated",
    "/etc/sysconfig/replicated-operator",
];

/// The largest file that is read, in bytes; the installer's own have less than one thousand.
const LARGEST: usize = 64 * 1024;

/// The answers that override an argument, and that argument.
const LASTING: [(&str, &str); 4] = [
    ("RELEASE_SEQUENCE", "release-sequence"),
    ("RELEASE_PATCH_SEQUENCE", "release-patch-sequence"),
    ("DAEMON_TOKEN", "daemon-token"),
    ("LOG_LEVEL", "log-level"),
];

/// One answer.
struct SavedAnswer {
    file: PathBuf,
    /// Counted from 1.
    line: usize,
    name: String,
    value: String,
}

/// The address that Replicated was last installed for; `None` if no file has one. An image of a used box also starts
/// containers, with that box's address.
pub fn installed_for(root: &Root) -> Option<Ipv4Addr> {
    let answers = read(root);
    answers.iter().find(|answer| answer.name == "PRIVATE_ADDRESS")?.value.parse().ok()
}

/// Removes another instance's answers. Returns the removed files.
///
/// # Errors
/// `host.file`.
pub fn forget(root: &Root) -> Result<Vec<PathBuf>, Cause> {
    let mut removed = Vec::new();
    for path in FILES.iter().map(|file| root.path(file)) {
        match fs::remove_file(&path) {
            Ok(()) => removed.push(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(files::failed("remove", &path, &error)),
        }
    }
    Ok(removed)
}

/// Each answer of this box that contradicts an argument, as a warning `installer.old_answer` (config).
///
/// # Errors
/// `installer.old_answer` (config), if by it the operator would not be installed, which `arguments` want.
pub fn compare(root: &Root, arguments: &[String]) -> Result<Vec<Cause>, Cause> {
    let given = |name: &str| arguments.iter().rev().find(|argument| name_of(argument) == name);
    let mut warnings = Vec::new();
    for answer in read(root) {
        if answer.name == "SKIP_OPERATOR_INSTALL" && answer.value == "1" && given("no-operator").is_none() {
            return Err(contradiction(&answer, "the arguments do not include no-operator"));
        }
        if answer.name == "AIRGAP" && answer.value == "true" && given("airgap").is_none() {
            warnings.push(contradiction(&answer, "the arguments do not include airgap"));
        }
        if let Some((_, argument)) = LASTING.iter().find(|(name, _)| *name == answer.name)
            && let Some(argument) = given(argument)
            && argument.split_once('=').is_some_and(|(_, value)| value != answer.value)
        {
            let argument =
                if name_of(argument) == "daemon-token" { "daemon-token" } else { argument.as_str() };
            warnings.push(contradiction(&answer, &format!("the arguments include {argument}")));
        }
    }
    Ok(warnings)
}

fn contradiction(answer: &SavedAnswer, but: &str) -> Cause {
    let SavedAnswer { file, line, name, value } = answer;
    let file = file.display();
    let set = if name == "DAEMON_TOKEN" { name.clone() } else { format!("{name}={value}") };
    Cause::config(
        Kind::InstallerOldAnswer,
        format!(
            "An earlier run of the Replicated installer set {set}, which stays in effect although {but}."
        ),
        format!("Correct line {line} of {file}, or remove the file, and run agent boot --force."),
    )
    .with("file", format!("{file}:{line}"))
}

/// Registers the token that the installer generated for this box's daemon. Unreadable files contain nothing that this
/// process could print.
pub fn register_daemon_token(root: &Root, secrets: &Secrets) {
    for answer in read(root) {
        if answer.name.ends_with("DAEMON_TOKEN") {
            secrets.register(&answer.value);
        }
    }
}

/// Every answer: those in variables of their own, and those that stand as `-e NAME=VALUE` in another variable's value.
fn read(root: &Root) -> Vec<SavedAnswer> {
    let mut answers = Vec::new();
    for file in FILES.iter().map(|file| root.path(file)) {
        let Ok(content) = files::read_bounded(&file, LARGEST) else { continue };
        for (index, line) in String::from_utf8_lossy(&content).lines().enumerate() {
            let mut add = |text: &str| {
                if let Some((name, value)) = text.split_once('=')
                    && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                {
                    let value = value.trim_matches(['"', '\'']).to_owned();
                    answers.push(SavedAnswer {
                        file: file.clone(),
                        line: index + 1,
                        name: name.to_owned(),
                        value,
                    });
                }
            };
            let line = line.trim().trim_start_matches("export ");
            if line.starts_with('#') {
                continue;
            }
            add(line);
            // The value of a variable may itself hold some, and the first of them stands behind the quotation mark.
            let value = line.split_once('=').map_or("", |(_, value)| value);
            value.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'')).for_each(add);
        }
    }
    answers
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn with(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::new(directory.path());
        for (file, text) in files {
            fs::create_dir_all(root.path(file).parent().unwrap()).unwrap();
            fs::write(root.path(file), text).unwrap();
        }
        (directory, root)
    }

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn the_boxs_own_daemon_token_is_a_secret() {
        let (_directory, root) = with(&[
            (FILES[0], "REPLICATED_OPTS=\"-e LOG_LEVEL=info -e DAEMON_TOKEN=token-canary-1 \"\n"),
            (FILES[3], "DAEMON_TOKEN=\"token-canary-2\"\nTAGS=local\n"),
        ]);
        let secrets = Secrets::default();
        register_daemon_token(&root, &secrets);
        assert_eq!(installed_for(&root), None);
        assert!(
            secrets.is_in("token-canary-1") && secrets.is_in("token-canary-2") && !secrets.is_in("local")
        );
    }

    #[test]
    fn what_an_argument_cannot_change_any_more_is_named_with_its_place() {
        let text = "RELEASE_CHANNEL=stable\nPRIVATE_ADDRESS=10.0.0.7\nSKIP_OPERATOR_INSTALL=0\n\
                    REPLICATED_OPTS=\" -e AIRGAP=true -e RELEASE_SEQUENCE=5 -e LOG_LEVEL=info\"\n";
        let (_directory, root) = with(&[(FILES[0], text)]);
        assert_eq!(installed_for(&root), Some(Ipv4Addr::new(10, 0, 0, 7)));
        let found = |arguments: &[&str]| -> Vec<String> {
            let causes = compare(&root, &strings(arguments)).unwrap();
            causes.iter().map(|cause| format!("{} {}", cause.sentence, cause.evidence[0].value)).collect()
        };
        assert_eq!(found(&["airgap", "release_sequence=5", "log-level=info"]), Vec::<String>::new());
        let found = found(&["release_sequence=6"]);
        assert!(
            found[0].contains("AIRGAP=true") && found[0].ends_with("/etc/default/replicated:4"),
            "{found:?}"
        );
        assert!(
            found[1].contains("RELEASE_SEQUENCE=5") && found[1].contains("release_sequence=6"),
            "{found:?}"
        );
    }

    #[test]
    fn an_answer_that_leaves_the_operator_out_is_an_error() {
        let (_directory, root) = with(&[(FILES[2], "SKIP_OPERATOR_INSTALL=1\n")]);
        assert!(compare(&root, &strings(&["no_operator"])).unwrap().is_empty());
        let cause = compare(&root, &[]).unwrap_err();
        assert_eq!(cause.kind, Kind::InstallerOldAnswer);
        assert!(cause.next_step.contains("line 1 of "), "{cause}");
        assert_eq!(forget(&root).unwrap(), [root.path(FILES[2])]);
        assert!(compare(&root, &[]).unwrap().is_empty() && forget(&root).unwrap().is_empty());
    }
}
