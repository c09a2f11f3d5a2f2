#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::kind::Kind;
use crate::secret::Secrets;

fn settings_of(text: &str) -> Result<Settings, Cause> {
    let file = Fragment::from_toml(text, "agent.toml")?;
    file.refuse_unknown()?;
    validated(vec![file])
}

/// The documented file with every commented key made active; examples have a space after the "#".
fn documented() -> String {
    include_str!("../../packer/agent.toml")
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_documented_file_shows_every_key_with_its_default() {
    let shown: toml::Table = documented().parse().unwrap();
    let mut defaults = toml::Table::try_from(Inputs::default()).unwrap();
    defaults.remove("extra");
    assert_eq!(shown, defaults);
}

#[test]
fn the_documented_file_changes_nothing_as_it_is() {
    let file = Fragment::from_toml(include_str!("../../packer/agent.toml"), "agent.toml").unwrap();
    assert_eq!(Inputs::merge(vec![file]).unwrap(), Inputs::default());
}

#[test]
fn the_documented_example_of_an_extra_file_is_valid() {
    let example: String = include_str!("../../packer/agent.toml")
        .lines()
        .skip_while(|line| *line != "# [[extra]]")
        .take_while(|line| line.starts_with('#'))
        .map(|line| format!("{}\n", line.trim_start_matches("# ")))
        .collect();
    let settings = settings_of(&example).unwrap();
    assert_eq!(settings.extra[0].mode, 0o644);
}

#[test]
fn unknown_keys_are_errors_that_name_the_nearest() {
    for (text, key, nearest) in [
        ("sorce = \"s3://b/p\"", "sorce", "Did you mean source?"),
        ("[databases]\nwiat = \"1m\"", "databases.wiat", "Did you mean databases.wait?"),
        ("[[extra]]\nobjekt = \"a\"\npath = \"/a\"", "extra.objekt", "Did you mean extra.object?"),
        ("[telemetry]\nurl = \"x\"", "telemetry", "the known settings are"),
    ] {
        let cause = settings_of(text).unwrap_err();
        assert_eq!(cause.kind, Kind::SettingsUnknownKey);
        assert!(cause.sentence.contains(key), "{}", cause.sentence);
        assert!(cause.next_step.contains(nearest), "{}", cause.next_step);
    }
}

#[test]
fn every_invalid_value_is_named_with_its_key() {
    for (text, key) in [
        ("deadline = \"soon\"", "deadline"),
        ("on_failure = \"retry\"", "on_failure"),
        ("source = \"http://x\"", "http://x"),
        ("source = \"s3:///prefix\"", "s3:///prefix"),
        ("source = \"file://dir\"", "file://dir"),
        ("[install]\nsha256 = \"abc\"", "install.sha256"),
        ("[install]\nurl = \"ftp://x/y\"", "install.url"),
        ("[install]\narguments = [\"local_address=1.2.3.4\"]", "install.arguments"),
        ("[app]\nhealth_urls = [\"localhost\"]", "app.health_urls"),
        ("[images]\non_missing = \"ignore\"", "images.on_missing"),
        ("[report]\nupload = \"file:///x\"", "file:///x"),
        ("[[extra]]\nobject = \"../x\"\npath = \"/x\"", "extra.object"),
        ("[[extra]]\nobject = \"x\"\npath = \"/a/../x\"", "extra.path"),
        ("[[extra]]\nobject = \"x/\"\npath = \"/a\"", "extra.path"),
        ("[[extra]]\nobject = \"x\"\npath = \"/a\"\nmode = \"rw\"", "extra.mode"),
        ("[[extra]]\nobject = \"x\"\npath = \"/a\"\nmode = \"4755\"", "extra.mode"),
        ("deadline = 5", "deadline"),
        ("deadline = \"1h", "agent.toml"),
    ] {
        let cause = settings_of(text).expect_err(text);
        let said = format!("{cause} {} {:?}", cause.next_step, cause.evidence);
        assert!(said.contains(key), "{text}: {said}");
    }
}

#[test]
fn flags_win_over_environment_over_file() {
    let variables = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, value)| (name.into(), value.into())).collect::<Vec<(OsString, OsString)>>()
    };
    let environment = variables(&[
        ("BOOT_AGENT_DATABASES_WAIT", "2m"),
        ("BOOT_AGENT_DEADLINE", "3m"),
        ("BOOT_AGENT_APP_HEALTH_URLS", "http://localhost:1/a http://localhost:2/b"),
        ("PATH", "/bin"),
    ]);
    let merged = Inputs::merge(vec![
        Fragment::from_toml(
            "deadline = \"1m\"\n[databases]\nwait = \"1m\"\n[app]\nwait = \"1m\"",
            "agent.toml",
        )
        .unwrap(),
        Fragment::from_environment(environment.into_iter()).unwrap(),
        Fragment::from_flags([("deadline", "4m".to_owned())]),
    ])
    .unwrap();
    assert_eq!(
        (merged.deadline.as_str(), merged.databases.wait.as_str(), merged.app.wait.as_str()),
        ("4m", "2m", "1m")
    );
    assert_eq!(merged.app.health_urls.len(), 2);

    let mistyped = variables(&[("BOOT_AGENT_DATABASE_WAIT", "2m")]);
    let cause = Fragment::from_environment(mistyped.into_iter()).unwrap_err();
    assert!(cause.next_step.contains("BOOT_AGENT_DATABASES_WAIT"), "{}", cause.next_step);
}

#[test]
fn what_is_valid_by_itself_is_usable() {
    let directory = tempfile::tempdir().unwrap();
    let root = Root::new(directory.path());
    let path = root.path(SETTINGS_FILE);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let usable = |file: &str, variables: &[(&str, &str)]| {
        std::fs::write(&path, file).unwrap();
        let variables = || variables.iter().map(|(name, value)| (name.into(), value.into()));
        load_usable(
            &root,
            None,
            variables,
            Fragment::from_flags([("deadline", "9m".to_owned())]),
            &Secrets::default(),
        )
        .unwrap()
    };
    let good =
        "on_failure = \"hold\"\n[lifecycle]\ngroup = \"g\"\n[[extra]]\nobject = \"a\"\npath = \"/a\"\n";
    let (whole, fault) = usable(good, &[]);
    assert_eq!(fault, None);
    for (bad, variables, kind) in [
        ("sourze = \"x\"\n", &[][..], Kind::SettingsUnknownKey),
        ("source = \"x\"\n", &[], Kind::SourceInvalid),
        ("deadline = 5\n", &[], Kind::SettingsType),
        ("", &[("BOOT_AGENT_SOURZE", "x")], Kind::SettingsUnknownKey),
        ("", &[("BOOT_AGENT_IDENTITY_WAIT", "x")], Kind::SettingsInvalid),
    ] {
        let (settings, fault) = usable(&format!("{bad}{good}"), variables);
        assert_eq!(fault.unwrap().kind, kind, "{bad}{variables:?}");
        assert_eq!(settings, whole, "{bad}{variables:?}");
    }
    let (settings, fault) = usable("on_failure = hold", &[("BOOT_AGENT_LIFECYCLE_GROUP", "g")]);
    assert_eq!(fault.unwrap().kind, Kind::SettingsSyntax);
    assert_eq!((settings.on_failure, settings.lifecycle.group.as_deref()), (OnFailure::Abandon, Some("g")));
    assert_eq!(settings.deadline, whole.deadline);
}

/// `docs/settings.md`: every key with its default from the schema, and its description from the documented file.
fn settings_page() -> String {
    let mut page = String::from(
        "# Settings\n\n\
         <!-- Generated from the settings schema and packer/agent.toml. Regenerate it with: just docs -->\n\n\
         `/etc/boot-agent/agent.toml`, or the file that `--config` names. [packer/agent.toml](../packer/agent.toml) is the same list \
         as a file to edit.\n\n\
         Flags take precedence over environment variables, those over the file, and that over the defaults. An unknown key is an \
         error that suggests the nearest known one. Durations: `90s`, `5m`, `1h 30m`. A list in an environment variable is \
         separated by spaces.\n",
    );
    let defaults = toml::Table::try_from(Inputs::default()).unwrap();
    let (mut table, mut described) = (String::new(), Vec::new());
    page.push_str(HEAD);
    for line in include_str!("../../packer/agent.toml").lines().skip_while(|line| !line.is_empty()) {
        if let Some(text) = line.strip_prefix("# ") {
            described.push(text.to_owned());
        } else if line == "#" {
            described.push(String::new());
        } else if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            table = format!("{name}.");
            page.push_str(&format!("\n## {name}\n{HEAD}"));
        } else if let Some((key, _)) = line.strip_prefix('#').and_then(|line| line.split_once(" = ")) {
            let path = format!("{table}{key}");
            let default =
                path.split('.').fold(toml::Value::Table(defaults.clone()), |value, part| value[part].clone());
            let variable = path.replace('.', "_").to_uppercase();
            let text = std::mem::take(&mut described).join(" ");
            page.push_str(&format!(
                "| `{path}` | `{default}` | `{ENVIRONMENT_PREFIX}{variable}` | {text} |\n"
            ));
        } else if !described.is_empty() && line.is_empty() {
            // The example of an extra file: its keys have no defaults.
            let (text, example) = described.split_at(described.iter().position(String::is_empty).unwrap());
            page.push_str(&format!(
                "\n## extra\n\n{}\n\n```toml\n{}\n```\n",
                text.join(" "),
                example[1..].join("\n")
            ));
            described.clear();
        }
    }
    page
}

const HEAD: &str = "\n| key | default | environment variable | description |\n|---|---|---|---|\n";

#[test]
fn docs_settings_page_is_the_generated_one() {
    let (path, page) = (concat!(env!("CARGO_MANIFEST_DIR"), "/docs/settings.md"), settings_page());
    if std::env::var_os("REGENERATE").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == page, "docs/settings.md is out of date; regenerate it with: just docs");
}
