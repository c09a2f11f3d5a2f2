//! The settings that the rest of the program sees.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::inputs::{self, Inputs};
use super::source::{Location, Source};
use crate::cause::Cause;
use crate::kind::Kind;
use crate::secret::url::shown;
use crate::unit;

/// What a failed boot tells the Auto Scaling group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// Replace this instance now.
    Abandon,
    /// Keep the lifecycle action alive until its limit, so that a person can log in.
    Hold,
}

/// What happens about a locked image that is not on the box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnMissing {
    /// Pull it by its digest.
    Pull,
    /// Fail the boot.
    Fail,
}

/// The Auto Scaling group and hook, where they are not to be asked of AWS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lifecycle {
    /// The group's name, if set.
    pub group: Option<String>,
    /// The launch hook's name, if set.
    pub hook: Option<String>,
    /// How long to wait for the Auto Scaling API.
    pub wait: Duration,
}

/// One file or directory tree that the bundle has besides the four.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extra {
    /// Relative to the source; ends in `/` for a tree.
    pub object: String,
    /// Absolute path on the box, without `..`.
    pub path: PathBuf,
    /// Permission bits.
    pub mode: u32,
    /// Whether `object` and `path` are a tree.
    pub is_tree: bool,
}

/// How Replicated is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Install {
    /// Where to fetch the installer; `None`: the pinned one.
    pub url: Option<reqwest::Url>,
    /// SHA-256 it must have, lower-case hex; `None`: the image lock's.
    pub sha256: Option<String>,
    /// Its arguments besides `local-address=`.
    pub arguments: Vec<String>,
    /// When it is killed.
    pub deadline: Duration,
    /// How long it is tried again while a server that it needs cannot be reached.
    pub wait: Duration,
}

/// Validated settings; see `packer/agent.toml` for what each key means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where the bundle comes from, unless the command line says.
    pub source: Option<Source>,
    /// When the boot as a whole is given up.
    pub deadline: Duration,
    /// What a failed boot does.
    pub on_failure: OnFailure,
    /// How long to wait for IMDS.
    pub identity_wait: Duration,
    /// Group and hook.
    pub lifecycle: Lifecycle,
    /// How long to wait for the source.
    pub fetch_wait: Duration,
    /// Additional files of the bundle.
    pub extra: Vec<Extra>,
    /// How long to wait for databases.
    pub databases_wait: Duration,
    /// What to do about missing images.
    pub on_missing: OnMissing,
    /// How long to wait for the Docker engine and for pulls.
    pub images_wait: Duration,
    /// The installer.
    pub install: Install,
    /// How long to wait for the app.
    pub app_wait: Duration,
    /// How long the app must stay ready.
    pub app_steady: Duration,
    /// After how long without a change the cause is looked for.
    pub app_stalled_after: Duration,
    /// URLs that must answer; empty: those of the services that run here.
    pub health_urls: Vec<reqwest::Url>,
    /// Where the report of a failed boot goes.
    pub report_upload: Option<Location>,
}

impl Settings {
    /// Validates merged settings.
    ///
    /// # Errors
    /// `settings.invalid` or `source.invalid`, naming the key.
    pub fn new(inputs: Inputs) -> Result<Self, Cause> {
        let source = match inputs.source.as_str() {
            "" => None,
            text => Some(Source::parse(text)?),
        };
        let report_upload = match inputs.report.upload.as_str() {
            "" => None,
            text => Some(Location::parse(text)?),
        };
        Ok(Settings {
            source,
            deadline: duration("deadline", &inputs.deadline)?,
            on_failure: choice(
                "on_failure",
                &inputs.on_failure,
                &[("abandon", OnFailure::Abandon), ("hold", OnFailure::Hold)],
            )?,
            identity_wait: duration("identity.wait", &inputs.identity.wait)?,
            lifecycle: Lifecycle {
                group: non_empty(inputs.lifecycle.group),
                hook: non_empty(inputs.lifecycle.hook),
                wait: duration("lifecycle.wait", &inputs.lifecycle.wait)?,
            },
            fetch_wait: duration("fetch.wait", &inputs.fetch.wait)?,
            extra: inputs.extra.iter().map(extra).collect::<Result<_, _>>()?,
            databases_wait: duration("databases.wait", &inputs.databases.wait)?,
            on_missing: choice(
                "images.on_missing",
                &inputs.images.on_missing,
                &[("pull", OnMissing::Pull), ("fail", OnMissing::Fail)],
            )?,
            images_wait: duration("images.wait", &inputs.images.wait)?,
            install: install(inputs.install)?,
            app_wait: duration("app.wait", &inputs.app.wait)?,
            app_steady: duration("app.steady", &inputs.app.steady)?,
            app_stalled_after: duration("app.stalled_after", &inputs.app.stalled_after)?,
            health_urls: inputs
                .app
                .health_urls
                .iter()
                .map(|text| url("app.health_urls", text))
                .collect::<Result<_, _>>()?,
            report_upload,
        })
    }
}

fn install(inputs: inputs::Install) -> Result<Install, Cause> {
    let sha256 = non_empty(inputs.sha256.to_ascii_lowercase());
    if let Some(sum) = &sha256
        && (sum.len() != 64 || !sum.chars().all(|c| c.is_ascii_hexdigit()))
    {
        return Err(invalid("install.sha256", sum, "a SHA-256 is 64 hexadecimal digits"));
    }
    if let Some(own) = inputs.arguments.iter().find(|argument| {
        let name = argument.split('=').next().unwrap_or_default().replace('_', "-");
        name == "local-address" || name == "private-address"
    }) {
        return Err(invalid(
            "install.arguments",
            own,
            "the agent passes the local address itself, from IMDS",
        ));
    }
    Ok(Install {
        url: non_empty(inputs.url).map(|text| url("install.url", &text)).transpose()?,
        sha256,
        arguments: inputs.arguments,
        deadline: duration("install.deadline", &inputs.deadline)?,
        wait: duration("install.wait", &inputs.wait)?,
    })
}

fn extra(given: &inputs::Extra) -> Result<Extra, Cause> {
    let path = Path::new(&given.path);
    if !path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
        return Err(invalid("extra.path", &given.path, "it must be an absolute path without \"..\""));
    }
    if let Some(own) = unit::OWN_FILES.iter().find(|own| path.starts_with(own)) {
        return Err(invalid("extra.path", &given.path, &format!("{own} is the agent's own")));
    }
    let relative = Path::new(&given.object);
    if given.object.is_empty() || !relative.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(invalid(
            "extra.object",
            &given.object,
            "it must be a path relative to the source, without \"..\"",
        ));
    }
    if given.object.ends_with('/') != given.path.ends_with('/') {
        return Err(invalid(
            "extra.path",
            &given.path,
            "\"object\" and \"path\" must both end in \"/\" (a directory tree), or neither",
        ));
    }
    let mode =
        u32::from_str_radix(&given.mode, 8).ok().filter(|mode| *mode <= 0o777 && given.mode.len() <= 4);
    Ok(Extra {
        object: given.object.clone(),
        path: path.to_path_buf(),
        mode: mode.ok_or_else(|| invalid("extra.mode", &given.mode, "it must be octal, e.g. \"0640\""))?,
        is_tree: given.object.ends_with('/'),
    })
}

fn duration(key: &str, text: &str) -> Result<Duration, Cause> {
    humantime::parse_duration(text)
        .map_err(|_| invalid(key, text, "it must be a duration such as \"90s\", \"5m\" or \"1h 30m\""))
}

fn url(key: &str, text: &str) -> Result<reqwest::Url, Cause> {
    let parsed = reqwest::Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host() && url.password().is_none());
    parsed
        .ok_or_else(|| invalid(key, &shown(text), "it must be an http:// or https:// URL without a password"))
}

fn choice<T: Copy>(key: &str, text: &str, choices: &[(&str, T)]) -> Result<T, Cause> {
    choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<String> = choices.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        invalid(key, text, &format!("it must be {}", names.join(" or ")))
    })
}

fn non_empty(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn invalid(key: &str, value: &str, why: &str) -> Cause {
    let variable = key.replace('.', "_").to_uppercase();
    Cause::config(
        Kind::SettingsInvalid,
        format!("The setting {key} = \"{value}\" is not valid: {why}."),
        format!("Correct {key} in agent.toml (or BOOT_AGENT_{variable}, or the flag)."),
    )
}
