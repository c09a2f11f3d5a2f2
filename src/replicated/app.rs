//! What Replicated says of the app that it runs.

use serde_json::Value;

use crate::cause::{Cause, Class};
use crate::docker::engine::Engine;
use crate::kind::Kind;

use super::daemon::{self, CtlOutput};

const APP_STATUS: &[&str] = &["replicatedctl", "app", "status"];
const SYSTEM_STATUS: &[&str] = &["replicatedctl", "system", "status"];

/// One app's state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppStatus {
    /// Replicated's id of the app, 32 hexadecimal digits.
    pub id: String,
    /// The release that is installed.
    pub sequence: Option<i64>,
    /// `started`, `starting`, `stopped`, …, in lower case.
    pub state: String,
    /// The desired state; empty if the release does not report it.
    pub desired: String,
    /// Whether it is changing from one state to another.
    pub transitioning: bool,
    /// Replicated's error message, if any.
    pub error: String,
}

impl AppStatus {
    /// Started and not transitioning.
    pub fn is_ready(&self) -> bool {
        self.state == "started" && !self.transitioning
    }

    /// What the app is doing, in a few words, e.g. `starting (release 2439)`.
    pub fn doing(&self) -> String {
        let release = self.sequence.map_or_else(String::new, |sequence| format!(" (release {sequence})"));
        let state = if self.state.is_empty() { "in an unknown state" } else { &self.state };
        match (self.transitioning, self.desired.as_str()) {
            (true, desired) if !desired.is_empty() && desired != self.state => {
                format!("{state} → {desired}{release}")
            }
            (true, _) => format!("{state}, in transition{release}"),
            (false, _) => format!("{state}{release}"),
        }
    }
}

/// The state of one of Replicated's own parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemPart {
    /// `Replicated`, `Retraced`.
    pub name: String,
    /// `ready`, `initializing`, `failed`.
    pub status: String,
}

/// Queries the daemon for its apps; empty if none is installed yet. Supports releases without `replicatedctl`.
///
/// # Errors
/// `replicated.container_missing`, `replicated.container_down`, `replicated.ctl_timeout`, `replicated.ctl_failed` and
/// those of [`Engine::ping`], all of class host.
pub async fn app_status(engine: &Engine) -> Result<Vec<AppStatus>, Cause> {
    apps(engine, daemon::ask(engine, APP_STATUS).await).await
}

/// Queries the daemon for its apps and its components, in one request if possible. The latter can flap while everything
/// works, so they decide nothing by themselves. Releases without `replicatedctl` do not report them: the list is empty.
///
/// # Errors
/// Of each as for [`app_status`].
pub async fn statuses(engine: &Engine) -> (Result<Vec<AppStatus>, Cause>, Result<Vec<SystemPart>, Cause>) {
    let [of_apps, of_system] = daemon::ask_both(engine, [APP_STATUS, SYSTEM_STATUS]).await;
    (apps(engine, of_apps).await, parts(of_system))
}

async fn apps(engine: &Engine, answer: Result<CtlOutput, Cause>) -> Result<Vec<AppStatus>, Cause> {
    match answer? {
        CtlOutput::Said(text) => match parse_status(&text) {
            Some(apps) => Ok(apps),
            None => Err(daemon::not_understood(APP_STATUS, &text)),
        },
        CtlOutput::NoApp => Ok(Vec::new()),
        CtlOutput::NoCommand => old_status(engine).await,
    }
}

fn parts(answer: Result<CtlOutput, Cause>) -> Result<Vec<SystemPart>, Cause> {
    match answer? {
        CtlOutput::Said(text) => {
            parse_system(&text).ok_or_else(|| daemon::not_understood(SYSTEM_STATUS, &text))
        }
        CtlOutput::NoApp | CtlOutput::NoCommand => Ok(Vec::new()),
    }
}

/// Whether the apps are ready, and if not, why. No app at all counts as not ready.
///
/// # Errors
/// `app.not_installed`, `app.starting`, `app.transitioning`, `app.stopped`, `app.error` (host).
pub fn ready(apps: &[AppStatus]) -> Result<(), Cause> {
    if apps.is_empty() {
        return Err(Cause::host(
            Kind::AppNotInstalled,
            "Replicated is running but has not installed the app yet: it is still reading, or waiting for, the license and the settings.",
            "Check docker logs --tail 50 replicated, license.rli and replicated.conf.",
        ));
    }
    apps.iter().find(|app| !app.is_ready()).map_or(Ok(()), |app| Err(not_ready(app)))
}

fn not_ready(app: &AppStatus) -> Cause {
    let logs = "Check the app's log: docker logs --tail 50 frontend.";
    let (kind, sentence, next_step) = if !app.error.is_empty() {
        (
            Kind::AppError,
            "Replicated reports an error with the app.".to_owned(),
            "Resolve the error, then run: replicatedctl app start.",
        )
    } else if app.transitioning {
        let sentence = match app.desired.as_str() {
            "" => "The app is still transitioning.".to_owned(),
            desired => format!("The app is still transitioning ({} → {desired}).", app.state),
        };
        (Kind::AppTransitioning, sentence, logs)
    } else if app.desired == "stopped" || (app.state == "stopped" && app.desired.is_empty()) {
        (
            Kind::AppStopped,
            "The app is stopped, and its desired state is stopped.".to_owned(),
            "Start it: replicatedctl app start.",
        )
    } else {
        (Kind::AppStarting, "The app has not started yet.".to_owned(), logs)
    };
    let mut cause = Cause::new(Class::Host, kind, sentence, next_step);
    if !app.error.is_empty() {
        cause = cause.with_quote("error", &app.error, daemon::QUOTED);
    }
    cause = cause.with("state", app.doing());
    if app.id.is_empty() { cause } else { cause.with("app", &app.id) }
}

/// Reads the JSON of `replicatedctl app status`: a list, or one object; unknown fields and text before it are passed over.
pub(super) fn parse_status(text: &str) -> Option<Vec<AppStatus>> {
    let list = match json_in(text)? {
        Value::Array(list) => list,
        Value::Null => Vec::new(),
        object @ Value::Object(_) => vec![object],
        _ => return None,
    };
    list.iter().map(status_of).collect()
}

fn json_in(text: &str) -> Option<Value> {
    let text = text.trim();
    if text.is_empty() {
        return Some(Value::Null);
    }
    serde_json::from_str(text).ok().or_else(|| {
        // A warning may stand in front.
        let start = text.find(['[', '{'])?;
        serde_json::Deserializer::from_str(&text[start..]).into_iter().next()?.ok()
    })
}

fn status_of(value: &Value) -> Option<AppStatus> {
    let object = value.as_object()?;
    let field =
        |name: &str| object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    let text = |name: &str| field(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    // Without a state there is nothing to judge, and something else than a status was read.
    field("State")?.as_str()?;
    Some(AppStatus {
        id: text("AppID"),
        sequence: field("Sequence").and_then(Value::as_i64),
        state: text("State").to_ascii_lowercase(),
        desired: text("DesiredState").to_ascii_lowercase(),
        transitioning: field("IsTransitioning").and_then(Value::as_bool).unwrap_or(false),
        error: text("Error"),
    })
}

pub(super) fn parse_system(text: &str) -> Option<Vec<SystemPart>> {
    let Value::Object(parts) = json_in(text)? else {
        return None;
    };
    let part = |(name, status): (String, Value)| {
        Some(SystemPart { name, status: status.as_str()?.to_ascii_lowercase() })
    };
    Some(parts.into_iter().filter_map(part).collect())
}

async fn old_status(engine: &Engine) -> Result<Vec<AppStatus>, Cause> {
    let CtlOutput::Said(listed) = daemon::ask(engine, &["replicated", "apps"]).await? else {
        return Ok(Vec::new());
    };
    let mut apps = parse_old_list(&listed);
    for app in &mut apps {
        if let CtlOutput::Said(said) = daemon::ask(engine, &["replicated", "app", &app.id, "status"]).await? {
            take_old_status(app, &said);
        }
    }
    Ok(apps)
}

/// `replicated apps` prints a table of id, sequence and status, whose columns moved between releases; the id is the one
/// word of 32 hexadecimal digits in a line, and the sequence the first number.
pub(super) fn parse_old_list(text: &str) -> Vec<AppStatus> {
    let is_id = |word: &&str| word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let apps = text.lines().filter_map(|line| {
        let words =
            || line.split(|c: char| c.is_whitespace() || matches!(c, '|' | ',')).filter(|w| !w.is_empty());
        let id = words().find(is_id)?;
        let sequence = words().filter(|word| *word != id).find_map(|word| word.parse().ok());
        let state = words().next_back().filter(|word| *word != id).unwrap_or_default().to_ascii_lowercase();
        let state = if state.bytes().all(|byte| byte.is_ascii_alphabetic()) { state } else { String::new() };
        Some(AppStatus { id: id.to_owned(), sequence, state, ..Default::default() })
    });
    apps.collect()
}

/// `replicated app ID status` prints the state as a word, alone or at the end of a line.
pub(super) fn take_old_status(app: &mut AppStatus, text: &str) {
    if let Some([status, ..]) = parse_status(text).as_deref() {
        *app = AppStatus { id: app.id.clone(), sequence: status.sequence.or(app.sequence), ..status.clone() };
        return;
    }
    let mut words = text.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty());
    if let Some(state) = words.next_back() {
        app.state = state.to_ascii_lowercase();
        app.transitioning = app.state.ends_with("ing") && app.state != "running";
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STARTED: &str = r#"[{"AppID":"edd9471be0bc4ea04dfca94718ddf621","Sequence":2439,"State":"started","DesiredState":"started","Error":"","IsCancellable":false,"IsTransitioning":false,"LastModifiedAt":"2018-10-23T22:00:13Z"}]"#;

    fn kind(text: &str) -> Option<Kind> {
        ready(&parse_status(text).unwrap()).err().map(|cause| cause.kind)
    }

    #[test]
    fn a_started_app_is_ready() {
        let apps = parse_status(STARTED).unwrap();
        assert_eq!(apps[0].sequence, Some(2439));
        assert_eq!(apps[0].doing(), "started (release 2439)");
        assert!(ready(&apps).is_ok());
        assert!(ready(&parse_status(&format!("WARN: slow\n{STARTED}\n")).unwrap()).is_ok());
    }

    #[test]
    fn each_way_of_not_being_ready_has_its_cause() {
        for (text, expected) in [
            ("[]", Kind::AppNotInstalled),
            ("", Kind::AppNotInstalled),
            ("null", Kind::AppNotInstalled),
            (&STARTED.replace("Transitioning\":false", "Transitioning\":true"), Kind::AppTransitioning),
            (r#"[{"State":"starting","DesiredState":"started"}]"#, Kind::AppStarting),
            (r#"[{"State":"stopped","DesiredState":"stopped"}]"#, Kind::AppStopped),
            (r#"{"State":"stopped","DesiredState":"started","Error":"port 80 is in use"}"#, Kind::AppError),
            (&STARTED.replace("}]", r#"},{"State":"starting"}]"#), Kind::AppStarting),
        ] {
            assert_eq!(kind(text), Some(expected), "{text}");
        }
        let apps = parse_status(r#"[{"State":"stopped","Error":"port 80 is in use"}]"#).unwrap();
        assert_eq!(ready(&apps).unwrap_err().evidence[0].value, "port 80 is in use");
    }

    #[test]
    fn what_it_does_is_told_in_a_few_words() {
        let apps = parse_status(
            r#"[{"State":"stopped","DesiredState":"started","IsTransitioning":true,"Sequence":7}]"#,
        );
        assert_eq!(apps.unwrap()[0].doing(), "stopped → started (release 7)");
    }

    #[test]
    fn what_is_no_status_is_not_taken_for_one() {
        for text in
            ["Error: no", "42", r#"[{"State":1}]"#, r#"["started"]"#, r#"{"Replicated":"ready"}"#, "[{"]
        {
            assert_eq!(parse_status(text), None, "{text}");
        }
    }

    #[test]
    fn the_parts_of_the_system_are_read() {
        let parts = parse_system(r#"{"Replicated":"ready","Retraced":"Initializing","Extra":{}}"#).unwrap();
        assert_eq!(parts[1], SystemPart { name: "Retraced".to_owned(), status: "initializing".to_owned() });
        assert_eq!(parts.len(), 2);
    }

    #[test]
    fn old_releases_are_understood() {
        let table = "ID                               SEQUENCE  STATUS\nedd9471be0bc4ea04dfca94718ddf621  2439  Started\n";
        let mut apps = parse_old_list(table);
        assert_eq!((apps.len(), apps[0].sequence, apps[0].state.as_str()), (1, Some(2439), "started"));
        take_old_status(&mut apps[0], "Status: Starting\n");
        assert!(apps[0].transitioning && !apps[0].is_ready());
        take_old_status(&mut apps[0], "started\n");
        assert!(apps[0].is_ready());
        assert_eq!(parse_old_list("No apps\n"), Vec::new());
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_readers(text in "\\PC{0,120}") {
            let _ = (parse_status(&text), parse_system(&text), parse_old_list(&text));
        }

        #[test]
        fn a_state_is_ready_only_if_it_says_so(state in "started|Started|starting|[a-zA-Z]{0,9}", transitioning: bool, other in "[a-z]{1,6}") {
            let text = serde_json::json!([{"State": state, "IsTransitioning": transitioning, other: [1]}]).to_string();
            let apps = parse_status(&text).unwrap();
            prop_assert_eq!(ready(&apps).is_ok(), state.eq_ignore_ascii_case("started") && !transitioning);
        }
    }
}
