//! The promise of this reader, put to bash itself: what is called known is what bash gives, for whatever text; and
//! within the subset everything is known.

mod generate;

use std::process::{Command, Stdio};

use generate::{near_subset, subset};
use proptest::prelude::*;

use super::{Construct, Unknown, Value, read};

const NAMES: [&str; 4] = ["A", "B", "AB", "C_1"];

/// For each name `set?value` and whether it is exported, or nothing at all if the file ended the shell.
const ASK: &str = r#". "$1" >/dev/null 2>&1
for name in A B AB C_1; do
  if [[ -v $name ]]; then attributes=${!name@a}; printf '=%s\0%s\0' "${!name}" "${attributes//[^x]/}"; else printf '\0\0'; fi
done"#;

/// What bash makes of the file: for each name its value if set, and whether it is exported.
fn bash(text: &str) -> Option<Vec<(Option<String>, bool)>> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, text).unwrap();
    let output = Command::new("/bin/bash")
        .args(["--norc", "--noprofile", "-c", ASK, "bash"])
        .arg(&file)
        .current_dir(directory.path())
        .env_clear()
        .env("PATH", "/nonexistent")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .expect("bash runs");
    let text = String::from_utf8(output.stdout).ok()?;
    let fields: Vec<&str> = text.split_terminator('\0').collect();
    if fields.len() != NAMES.len() * 2 {
        return None;
    }
    Some(
        fields.chunks(2).map(|pair| (pair[0].strip_prefix('=').map(str::to_owned), pair[1] == "x")).collect(),
    )
}

/// Compares; `all_known` where nothing may stay unknown.
fn agrees(text: &str, all_known: bool) -> Result<(), TestCaseError> {
    let reading = read(text);
    let answers = bash(text);
    for (index, name) in NAMES.iter().enumerate() {
        let answer = answers.as_ref().map(|answers| &answers[index]);
        match reading.value(name) {
            Value::Known(value) => {
                let answer = answer.and_then(|(value, _)| value.clone());
                prop_assert_eq!(Some(value), answer, "{} of {:?}", name, text);
            }
            Value::Unset => prop_assert_eq!(
                answer.map(|(value, _)| value.is_some()),
                Some(false),
                "{} of {:?}",
                name,
                text
            ),
            Value::Unknown(unknown) => prop_assert!(!all_known, "{} of {:?}: {}", name, text, unknown.what),
        }
        let exported = reading
            .variables()
            .get(*name)
            .and_then(|v| if v.value == Value::Unset { None } else { v.exported });
        if let (Some(exported), Some((Some(_), is))) = (exported, answer) {
            prop_assert_eq!(exported, *is, "export of {} in {:?}", name, text);
        }
    }
    Ok(())
}

/// How many files each of three properties generates, for a bash of its own each: 2,000 together, and many more by
/// `tests/against-bash`.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(667)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn within_the_subset_everything_is_known_and_as_bash_has_it(text in subset()) {
        agrees(&text, true)?;
    }

    #[test]
    fn outside_it_nothing_is_called_known_that_bash_has_otherwise(text in near_subset()) {
        agrees(&text, false)?;
    }

    #[test]
    fn mixed_text_is_no_different(good in subset(), odd in near_subset(), more in subset()) {
        agrees(&format!("{good}\n{odd}\n{more}"), false)?;
    }

    #[test]
    fn any_text_is_survived(text in "\\PC*|[ -~\n]{0,200}") {
        read(&text);
    }
}

#[test]
fn a_file_that_ends_in_a_backslash() {
    for start in [
        "A=x",
        "export A=x",
        "A=x ",
        "export A=x ",
        "A='x'",
        "A=\"x\"",
        "A=",
        "A=1\n",
        "",
        "#",
        "A=x;",
        "A=x&",
        "A=x|",
        "A=x\nB=$A",
        "A=$",
        "A=${A}",
        "unset A ",
        "export A ",
        "A=1 B=2 ",
        "A=1\nset -e\n",
        ": ",
        "A=x<",
        "echo x>",
    ] {
        for end in ["\\", "\\\\", "\\\\\\", " \\", "\\\n\\", "\\\n", "x\\", "$A\\"] {
            agrees(&format!("{start}{end}"), false).unwrap();
            agrees(&format!("B=1\n{start}{end}"), false).unwrap();
        }
    }
}

/// What is said of a value that is not known, and yet known to be wrong.
#[test]
fn what_becomes_of_the_process_id_and_of_an_address_in_backquotes() {
    let value = |text: &str| bash(text).unwrap()[0].0.clone().unwrap_or_default();
    for (text, before, after) in
        [("A=x$$y", "x", "y"), ("A=\"p$${B}w\"", "p", "{B}w"), ("A=$$NAME", "", "NAME")]
    {
        assert!(
            matches!(read(text).value("A"), Value::Unknown(Unknown { what: Construct::ProcessId, .. })),
            "{text}"
        );
        let value = value(text);
        let id = value.strip_prefix(before).and_then(|value| value.strip_suffix(after)).unwrap();
        assert!(id.parse::<u32>().is_ok(), "{text}: {value}");
    }
    for text in
        ["A=`mongodb://u:p@h/d`", "A=\"$(postgres://u:p@h/d?x=y)\"", "export A=`'mongodb://h/d?a=b&c=d'`"]
    {
        assert!(
            matches!(
                read(text).value("A"),
                Value::Unknown(Unknown { what: Construct::AddressAsCommand, .. })
            ),
            "{text}"
        );
        assert_eq!(value(text), "", "{text}");
    }
}

#[test]
fn a_line_that_doubles_its_variable_ends_somewhere() {
    let text = format!("A=xxxxxxxx\n{}", "A=$A$A$A$A\n".repeat(10_000));
    assert!(matches!(read(&text).value("A"), Value::Unknown(_)));
}
