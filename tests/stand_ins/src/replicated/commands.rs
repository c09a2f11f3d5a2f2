//! `replicatedctl`, and the `replicated` of releases before it, as they answer inside the container `replicated`.

use std::fmt;

use jiff::Timestamp;
use serde_json::json;

use super::Script;

const APP_ID: &str = "1c2f5a1b9f0d4e6c8a7b3d2e1f0a9b8c";

/// The release that the command says it is.
const VERSION: &str = "2.38.6";

/// Why a command failed, as it prints it to stderr before it exits with 1.
#[derive(Debug)]
pub struct Failed(String);

impl fmt::Display for Failed {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "Error: {}", self.0)
    }
}

/// `replicatedctl ARGUMENTS`: its stdout.
///
/// # Errors
/// When the command is unknown, or no app is installed.
pub fn replicatedctl(script: &Script, arguments: &[&str]) -> Result<String, Failed> {
    match arguments {
        ["app", "status", ..] => {
            let moment = moment(script)?;
            let status = json!([{
                "AppID": APP_ID,
                "Sequence": 2439,
                "PatchSequence": 0,
                "State": moment.state,
                "DesiredState": moment.desired,
                "Error": script.text("app-error").unwrap_or_default().trim(),
                "IsCancellable": false,
                "IsTransitioning": moment.transitioning,
                "LastModifiedAt": Timestamp::now().to_string(),
            }]);
            Ok(format!("{status:#}\n"))
        }
        ["system", "status", ..] => {
            let ready = || "{\n    \"Replicated\": \"ready\",\n    \"Retraced\": \"ready\"\n}\n".to_owned();
            Ok(script.text("system-status").unwrap_or_else(ready))
        }
        ["version", "--quiet"] => Ok(format!("{VERSION}\n")),
        ["version"] => {
            Ok(format!("replicatedctl version {VERSION} (git=\"d41c8f1\", date=\"2019-08-07T19:24:38Z\")\n"))
        }
        _ => Err(Failed(format!("unknown command \"{}\" for \"replicatedctl\"", arguments.join(" ")))),
    }
}

/// `replicated ARGUMENTS`, of a release that has no `replicatedctl`: its stdout.
///
/// # Errors
/// When the command is unknown, or no app is installed.
pub fn replicated(script: &Script, arguments: &[&str]) -> Result<String, Failed> {
    match arguments {
        ["apps"] => {
            let app = moment(script)?;
            Ok(format!("ID\tNAME\tSTATUS\tVERSION\n{APP_ID}\tCircleCI Enterprise\t{}\t2.18.3\n", app.state))
        }
        ["app", APP_ID, "status"] => Ok(format!("{}\n", moment(script)?.state)),
        ["app", other, "status"] => Err(Failed(format!("app {other} not found"))),
        ["--version" | "version"] => Ok(format!("Replicated version {VERSION}\n")),
        _ => Err(Failed(format!("unknown command: {}", arguments.join(" ")))),
    }
}

fn moment(script: &Script) -> Result<super::Moment, Failed> {
    match script.now() {
        Ok(Some(moment)) => Ok(moment),
        Ok(None) => Err(Failed("no app is installed".into())),
        Err(error) => Err(Failed(error.to_string())),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn script(files: &[(&str, &str)]) -> (tempfile::TempDir, Script) {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        let script = Script::at(directory.path());
        (directory, script)
    }

    #[test]
    fn the_status_is_a_list_of_one() {
        let (_kept, script) = script(&[("installed", "0.0"), ("timeline", "0 started started false 200\n")]);
        let printed = replicatedctl(&script, &["app", "status"]).unwrap();
        let status: serde_json::Value = serde_json::from_str(&printed).unwrap();
        assert_eq!(status[0]["State"], "started");
        assert_eq!(status[0]["IsTransitioning"], false);
        assert_eq!(replicated(&script, &["app", APP_ID, "status"]).unwrap(), "started\n");
        assert!(replicated(&script, &["apps"]).unwrap().contains(APP_ID));
    }

    #[test]
    fn without_an_app_the_command_fails() {
        let (_kept, script) = script(&[]);
        assert_eq!(
            replicatedctl(&script, &["app", "status"]).unwrap_err().to_string(),
            "Error: no app is installed"
        );
        assert!(replicatedctl(&script, &["system", "status"]).unwrap().contains("\"Replicated\": \"ready\""));
    }
}
