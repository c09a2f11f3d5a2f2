//! `agent check`: validates a bundle and changes nothing.

use std::path::Path;

use indicatif::BinaryBytes;
use serde::Serialize;

use crate::aws::imds::{self, Imds};
use crate::aws::s3::S3;
use crate::aws::{self, Aws};
use crate::bundle::{self, Fetched, Finding, Package, Validation};
use crate::cause::{Cause, Evidence};
use crate::cli;
use crate::command::{CommandContext, CommandOutput, Exit};
use crate::console::layout::{HANG, Screen};
use crate::console::{Level, Verbosity, text};
use crate::draft;
use crate::files::{self, Root};
use crate::http::Http;
use crate::secret::{Secrets, url, visible};
use crate::settings::Source;

pub(crate) async fn run(world: CommandContext, flags: &cli::Check) -> Result<CommandOutput, Cause> {
    let extra = &world.settings.extra;
    let (fetched, what) = match &flags.source {
        None => (draft::installed(&world.root, extra)?, "the installed bundle".to_owned()),
        Some(directory) if !directory.contains("://") => {
            let path = std::path::absolute(directory)
                .map_err(|error| files::failed("find", Path::new(directory), &error))?;
            // A directory given on the command line is on this machine, whatever `--root` is.
            let from = Source::Directory(path);
            (draft::at(&Root::default(), &from, directory, extra, None, |_| {}).await?, directory.clone())
        }
        Some(text) => (from_source(&world, &Source::parse(text)?, text).await?, text.clone()),
    };
    let mut validation = bundle::validate(&fetched, &world.settings.install.arguments, &world.secrets);
    validation.findings.iter_mut().for_each(|finding| finding.scrub(&world.secrets));
    let airgap = AirgapPackage::of(&validation, &fetched);
    let what = visible(&url::shown(&what)).into_owned();
    Ok(printed(&validation.findings, &what, airgap.as_ref(), world.console.verbosity()))
}

async fn from_source(world: &CommandContext, from: &Source, typed: &str) -> Result<Fetched, Cause> {
    let http = Http::new(world.root.clone());
    let (s3, place) = match from {
        Source::S3(_) => (Some(S3::new(&aws(&http, &world.secrets).await?)), typed.to_owned()),
        Source::Directory(path) => (None, world.root.path(path).to_string_lossy().into_owned()),
    };
    let warn = |cause: Cause| world.console.note(Level::Warning, cause.to_string());
    draft::at(&world.root, from, &place, &world.settings.extra, s3.as_ref(), warn).await
}

/// On an instance, its role and region; elsewhere, those of the environment. IMDS is queried only if the environment
/// leaves something open.
async fn aws(http: &Http, secrets: &Secrets) -> Result<Aws, Cause> {
    let environment = |name: &str| std::env::var(name).ok();
    let imds = Imds::new(http, &imds::endpoint(environment))?;
    let region = match aws::region(environment) {
        Some(region) => region,
        None => {
            imds.identity().await.map_or_else(|_| aws::SOME_REGION.to_owned(), |identity| identity.region)
        }
    };
    Aws::new(http, &region, Some(imds), secrets).await
}

/// The package that a boot of this bundle would bring to its place.
#[derive(Serialize)]
struct AirgapPackage<'c> {
    name: &'c str,
    bytes: u64,
    path: &'c Path,
}

impl<'c> AirgapPackage<'c> {
    fn of(validation: &'c Validation, fetched: &'c Fetched) -> Option<Self> {
        let path = validation.replicated.airgap_path.as_deref()?;
        let package = Package::for_path(path, fetched.packages.as_deref()?).ok()??;
        Some(AirgapPackage { name: &package.name, bytes: package.size, path })
    }
}

fn printed(
    findings: &[Finding],
    what: &str,
    airgap: Option<&AirgapPackage<'_>>,
    verbosity: Verbosity,
) -> CommandOutput {
    let (mut said, screen) = (String::new(), Screen::stdout());
    for finding in findings {
        let sign = if finding.is_error() { text::red("✗") } else { text::yellow("!") };
        said.push_str(&format!("{sign} {HANG}{finding}\n"));
        if let (Some(excerpt), Some(position)) = (&finding.excerpt, finding.position) {
            said.push_str(&screen.excerpt(position.line, &excerpt.text, excerpt.column));
        }
        if verbosity == Verbosity::Verbose {
            said.push_str(&text::evidence(&finding.cause));
        }
        let shown =
            |evidence: &&Evidence| verbosity != Verbosity::Verbose && SHOWN.contains(&&*evidence.name);
        for evidence in finding.cause.evidence.iter().filter(shown) {
            said.push_str(&format!("    {}: {HANG}{}\n", evidence.name, evidence.value));
        }
        said.push_str(&format!("    → {HANG}{}\n", finding.cause.next_step));
    }
    let errors = findings.iter().filter(|finding| finding.is_error()).count();
    let warnings = findings.len() - errors;
    said.push_str(&match (errors, warnings) {
        (0, _) if verbosity == Verbosity::Quiet => String::new(),
        (0, 0) => format!("{} {what}: valid\n", text::green("✓")),
        (0, _) => format!("{} {what}: valid, {}\n", text::green("✓"), counted(warnings, "warning")),
        _ => format!(
            "{} {what}: {}, {}\n",
            text::red("✗"),
            counted(errors, "error"),
            counted(warnings, "warning")
        ),
    });
    let first = findings.iter().find(|finding| finding.is_error());
    if let Some(first) = first.filter(|_| verbosity != Verbosity::Quiet) {
        let which = if errors == 1 { "it" } else { "the first" };
        said.push_str(&format!("  {HANG}More about {which}: {}\n", first.cause.kind.ask()));
    }
    if let Some(AirgapPackage { name, bytes, path }) = airgap.filter(|_| verbosity != Verbosity::Quiet) {
        let size = BinaryBytes(*bytes);
        said.push_str(&format!(
            "  {HANG}A boot streams {name} ({size}) to {} and installs with airgap.\n",
            path.display()
        ));
    }
    let mut json =
        serde_json::json!({ "version": 1, "source": what, "valid": errors == 0, "findings": findings });
    if let Some(package) = airgap {
        json["airgap_package"] = serde_json::json!(package);
    }
    CommandOutput { text: said, json, exit: if errors == 0 { Exit::Good } else { Exit::Failed } }
}

/// The evidence shown in the text output; the rest repeats the sentence or the excerpt.
const SHOWN: [&str; 7] = ["also affects", "also on line", "also in", "code", "message", "title", "error"];

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
