//! `agent probe` from its flags to what it prints.

use std::io::Read as _;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::catalogue::catalogue;
use super::check::Check;
use super::facts::ProbeContext;
use super::live::Live;
use super::questions::climbed;
use super::report::Report;
use super::round;
use super::selection::Selection;
use super::support::{self, ArchivePath};
use super::text;
use crate::cause::Cause;
use crate::cli;
use crate::command::{CommandContext, CommandOutput, Exit};
use crate::console::{self, Level, Verbosity};
use crate::database::ladder::{LadderProbe, Request};
use crate::database::uri::{self, Product};
use crate::http::Http;
use crate::kind::Kind;
use crate::secret::Secrets;
use crate::settings;

/// How long to pause between the rounds of `--wait`.
const PAUSE: Duration = Duration::from_secs(2);

/// The longest URI that is read from standard input, in bytes.
const LONGEST_URI: u64 = 64 * 1024;

/// Runs once, or with `--wait` until all checks pass.
///
/// # Errors
/// `usage.unknown_check`, `settings.invalid` for a duration, and those of writing a support bundle.
pub(crate) async fn run(world: CommandContext, flags: &cli::Probe) -> Result<CommandOutput, Cause> {
    let catalogue = catalogue(world.settings.health_urls.len());
    let wanted = Selection::new(&flags.only, &flags.skip, &catalogue)?;
    if flags.list {
        return Ok(listed(catalogue.into_iter().filter(|check| wanted.wants(&check.id)).collect()));
    }
    let bundle = flags.support_bundle.as_deref().map(ArchivePath::new).transpose()?;
    let limit = flags.wait.as_deref().map(duration).transpose()?;
    let http = Http::new(world.root.clone());
    let given = flags.uri.as_deref().map(|text| given(text, &world.secrets)).transpose()?;
    let started = Instant::now();
    let mut said: Option<String> = None;
    loop {
        let mut report = match &given {
            Some(request) => round_of_one(&world, &http, request).await,
            None => round_of_all(&world, &http, &wanted).await,
        };
        report.scrub(&world.secrets);
        let is_good = report.is_good(flags.strict);
        let left = limit.map(|limit| limit.saturating_sub(started.elapsed()));
        match left {
            Some(left) if !is_good && !left.is_zero() => {
                let now = report.root_causes.first().map(|root| root.cause.to_string());
                if now != said {
                    let text = format!("waiting: {}", now.as_deref().unwrap_or_default());
                    world.console.note(Level::Info, text);
                    said = now;
                }
                tokio::time::sleep(PAUSE.min(left)).await;
            }
            _ => {
                let mut printed = printed(&report, world.console.verbosity(), is_good, limit.is_some());
                if let Some(target) = &bundle {
                    add_bundle(&mut printed, &world, &http, target, report).await;
                }
                return Ok(printed);
            }
        }
    }
}

/// Writes the support bundle and reports it; the exit code remains the probe's, unless the bundle failed.
async fn add_bundle(
    printed: &mut CommandOutput,
    world: &CommandContext,
    http: &Http,
    target: &ArchivePath,
    report: Report,
) {
    world.console.note(Level::Info, "collecting the support bundle");
    let ground = ProbeContext { root: &world.root, settings: &world.settings, http, secrets: &world.secrets };
    let settings_file =
        world.own_settings_file.clone().unwrap_or_else(|| world.root.path(settings::SETTINGS_FILE));
    match support::write(target, &ground, settings_file, report).await {
        Ok(written) => {
            printed.text.push_str(&written.text());
            printed.json["support_bundle"] = written.json();
        }
        Err(cause) => {
            let cause = cause.scrubbed(&world.secrets);
            printed.text.push_str(&format!("\n{}", console::text::cause(&cause)));
            printed.json["support_bundle"] = serde_json::json!({ "cause": cause });
            if printed.exit == Exit::Good {
                printed.exit = Exit::Failed;
            }
        }
    }
}

async fn round_of_all(world: &CommandContext, http: &Http, wanted: &Selection) -> Report {
    let ground = ProbeContext { root: &world.root, settings: &world.settings, http, secrets: &world.secrets };
    let live = Live::begin(wanted, world.settings.health_urls.len());
    let (asked_at, started) = (Timestamp::now(), Instant::now());
    let answers = round::ask(&ground, wanted, &live).await;
    Report::new(asked_at, started.elapsed(), answers)
}

async fn round_of_one(world: &CommandContext, http: &Http, request: &Request) -> Report {
    let (asked_at, started) = (Timestamp::now(), Instant::now());
    let ladder_probe = LadderProbe::new(http.names().clone(), world.root.clone(), home());
    let climb = ladder_probe.climb(request).await;
    Report::new(asked_at, started.elapsed(), climbed(&climb))
}

/// Where libpq looks for this user's default certificate files.
fn home() -> std::path::PathBuf {
    std::env::var_os("HOME").map_or_else(|| "/root".into(), Into::into)
}

/// The database of `--uri`. The whole text is a secret until it has been parsed.
fn given(argument: &str, secrets: &Secrets) -> Result<Request, Cause> {
    let text = match argument {
        "-" => {
            let mut text = String::new();
            std::io::stdin().lock().take(LONGEST_URI).read_to_string(&mut text).map_err(|error| {
                Cause::config(Kind::UsageUri, "Standard input is not a URI.", "Give the URI as one line.")
                    .with_error(&error)
            })?;
            text.trim().to_owned()
        }
        text => text.to_owned(),
    };
    secrets.register_all(uri::secrets_in(&text).iter().map(String::as_str));
    let parsed = uri::parse(&text);
    if parsed.is_err() {
        secrets.register(&text);
    }
    let kind = match &parsed {
        Ok(parsed) => parsed.kind(),
        Err(_) if text.starts_with("mongodb") => Product::Mongo,
        Err(_) => Product::Postgres,
    };
    let name = match kind {
        Product::Mongo => "mongodb.given",
        Product::Postgres => "postgres.given",
        Product::Vault => "vault.given",
    };
    Ok(Request { name: name.to_owned(), kind, uri: parsed })
}

fn duration(text: &str) -> Result<Duration, Cause> {
    humantime::parse_duration(text).map_err(|error| {
        Cause::config(
            Kind::SettingsInvalid,
            format!("--wait \"{text}\" is not a duration: {error}."),
            "Write it like 90s, 5m or \"1h 30m\".",
        )
    })
}

fn printed(report: &Report, verbosity: Verbosity, is_good: bool, waited: bool) -> CommandOutput {
    let exit = match (is_good, waited) {
        (true, _) => Exit::Good,
        (false, true) => Exit::Deadline,
        (false, false) => Exit::Failed,
    };
    CommandOutput { text: text::report(report, verbosity), json: report.json(), exit }
}

fn listed(checks: Vec<Check>) -> CommandOutput {
    let listed: Vec<_> = checks
        .iter()
        .map(|check| serde_json::json!({ "id": check.id, "group": check.group.title(), "asks": check.asks }))
        .collect();
    CommandOutput {
        text: text::list(&checks),
        json: serde_json::json!({ "version": super::report::VERSION, "checks": listed }),
        exit: Exit::Good,
    }
}
