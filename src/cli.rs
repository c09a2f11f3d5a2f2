//! The commands and their flags, nothing else.

use std::ffi::OsStr;
use std::path::PathBuf;

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::kind::Kind;

/// Boots a CircleCI Enterprise services box, and says what is wrong when it cannot
#[derive(Debug, Parser)]
#[command(name = "agent", version, max_term_width = 100, arg_required_else_help = true)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
pub struct Common {
    /// Output format; JSON is versioned, and alone on standard output
    #[arg(long, global = true, value_enum, default_value_t = Output::Text, value_name = "FORMAT")]
    pub output: Output,
    /// Root directory: every path the agent reads or writes is below it
    #[arg(long, global = true, default_value = "/", value_name = "DIR", hide_default_value = true)]
    pub root: PathBuf,
    /// Settings file, instead of /etc/boot-agent/agent.toml
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Show details as well
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub verbose: bool,
    /// Show only warnings and failures
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Take this instance from blank to in service, and report to the lifecycle hook
    #[command(after_help = "Examples:
  agent boot s3://ha-bucket/services-box             what user-data runs
  agent boot --dry-run s3://ha-bucket/services-box   show what a boot would do, changing nothing
  agent boot --on-failure hold                       source from agent.toml; keep a failed instance for inspection

Exit codes: 0 in service, 1 failed, 2 usage or settings, 3 a deadline passed.")]
    Boot(Boot),
    /// Check everything about this node, and say what is broken and how to fix it
    #[command(after_help = "Examples:
  agent probe                                   what is wrong with this node
  agent probe --only postgres --only mongodb    the databases alone
  agent probe --wait 10m                        repeat until everything is good
  agent probe --support-bundle box.tar.gz       and collect what a vendor needs, without secrets
  agent probe --uri - < uri.txt                 one database, from any machine, without a bundle

It changes nothing and completes no lifecycle action. Without root it says what it could not see.

Exit codes: 0 good (warnings included), 1 something is broken, 2 usage or settings, 3 still broken after --wait.")]
    Probe(Probe),
    /// Validate a bundle and change nothing
    #[command(after_help = "Examples:
  agent check ./bundle                         a directory
  agent check s3://ha-bucket/services-box      what instances will be given
  agent check                                  what is installed on this machine

Exit codes: 0 valid (warnings included), 1 not valid, 2 usage or settings, 3 a deadline passed.")]
    Check(Check),
    /// Packer step: pull and lock the images, pin the installer, install the unit, leave no leftovers from another instance
    #[command(after_help = "Examples:
  agent bake --clean                           what Packer runs; reads /etc/boot-agent/images.toml
  agent bake --verify                          verify that the image is fit to ship, changing nothing
  agent bake --verify --output json | jq '.checks[] | select(.outcome == \"failed\")'

Exit codes: 0 good (warnings included), 1 something failed or another instance left something, 2 usage or
settings, 3 a deadline passed.")]
    Bake(Bake),
    /// Show the stages of the last boot: what ran, how long it took, how it ended
    #[command(after_help = "Examples:
  agent status
  agent status --output json | jq '.stages[] | {name, outcome, seconds}'
  agent status --plot boot.svg                 as a picture, for a browser
  agent status --plot - > boot.svg             the same

Exit codes: 0 in service or still running, 1 otherwise.")]
    Status(Status),
    /// Explain a kind of failure: what it means, how to confirm it by hand, how to fix it
    #[command(after_help = "Examples:
  agent explain tls.expired
  agent explain postgres                       the kinds of one area
  agent explain --list                         all kinds

Exit codes: 0 explained, 2 there is no such kind.")]
    Explain(Explain),
    /// Print shell completions
    #[command(after_help = "Example:
  agent completions bash > /usr/share/bash-completion/completions/agent")]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page
    #[command(after_help = "Example:
  agent man > /usr/local/share/man/man1/agent.1")]
    Man,
}

/// The flags of `boot`.
#[derive(Debug, Args)]
pub struct Boot {
    /// Where the bundle comes from: s3://bucket/prefix or file:///directory [default: `source` of the settings]
    ///
    /// cloud-init appends the path of the user-data script as one more argument; it is ignored.
    #[arg(value_name = "SOURCE", num_args = 0..=2)]
    pub words: Vec<String>,
    /// Show what a boot would do, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Run in this process instead of handing over to boot-agent.service
    #[arg(long)]
    pub foreground: bool,
    /// What the unit runs: in place, by the order on record, and nothing where there is none yet
    #[arg(long, hide = true, conflicts_with_all = ["words", "dry_run", "force"])]
    pub unit: bool,
    /// Replace the files and install again, even on an instance that has completed; in this process
    #[arg(long)]
    pub force: bool,
    /// What a failed boot does: abandon (tell the group to replace this instance) or hold (keep it for inspection)
    #[arg(long, value_name = "POLICY")]
    pub on_failure: Option<String>,
    /// Overall time limit for the boot
    #[arg(long, value_name = "DURATION")]
    pub deadline: Option<String>,
    /// Print the JSON Schema of this command's JSON output
    #[arg(long)]
    pub schema: bool,
}

/// The flags of `probe`.
#[derive(Debug, Args)]
pub struct Probe {
    /// List every check with its id, and run none
    #[arg(long)]
    pub list: bool,
    /// Run only this check or family of checks, e.g. postgres.main; may be repeated
    #[arg(long, value_name = "ID", value_delimiter = ',', conflicts_with = "uri")]
    pub only: Vec<String>,
    /// Leave out this check or family of checks; may be repeated
    #[arg(long, value_name = "ID", value_delimiter = ',', conflicts_with = "uri")]
    pub skip: Vec<String>,
    /// Treat warnings as failures
    #[arg(long)]
    pub strict: bool,
    /// Repeat until all checks pass, at most this long
    #[arg(long, value_name = "DURATION")]
    pub wait: Option<String>,
    /// Probe one database URI, without a bundle; "-" reads it from standard input, where no other user sees it
    #[arg(long, value_name = "URI", conflicts_with = "list")]
    pub uri: Option<String>,
    /// Collect what a vendor needs to find the fault in this .tar.gz, redacted, with a manifest of the redactions
    #[arg(long, value_name = "FILE", conflicts_with_all = ["list", "uri", "schema"])]
    pub support_bundle: Option<PathBuf>,
    /// Print the JSON Schema of this command's JSON output
    #[arg(long, conflicts_with_all = ["list", "uri", "wait"])]
    pub schema: bool,
}

/// The flags of `status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Draw the boot as an SVG file too: stages, what they waited for, heartbeats; "-" prints it instead of the text
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
    /// Print the JSON Schema of this command's JSON output
    #[arg(long, conflicts_with = "plot")]
    pub schema: bool,
}

/// The flags of `check`.
#[derive(Debug, Args)]
pub struct Check {
    /// A directory, s3://bucket/prefix, file:///directory [default: what is installed on this machine]
    pub source: Option<String>,
    /// Print the JSON Schema of this command's JSON output
    #[arg(long, conflicts_with = "source")]
    pub schema: bool,
}

/// The flags of `explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// A kind such as tls.expired, as failures name it, or an area such as tls
    #[arg(value_name = "KIND", value_parser = KindName, hide_possible_values = true)]
    pub words: Vec<String>,
    /// List every kind with its meaning
    #[arg(long, conflicts_with = "words")]
    pub list: bool,
    /// Print the JSON Schema of this command's JSON output
    #[arg(long, conflicts_with_all = ["words", "list"])]
    pub schema: bool,
}

/// Any word; shells complete the kinds. What is none is refused by the command, which knows what was meant.
#[derive(Debug, Clone)]
struct KindName;

impl TypedValueParser for KindName {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(Kind::ALL.iter().map(|kind| PossibleValue::new(kind.as_str()))))
    }
}

/// The flags of `bake`.
#[derive(Debug, Args)]
pub struct Bake {
    /// Verify that this image is fit to ship, changing nothing, and name everything that is wrong with it
    #[arg(long, conflicts_with = "clean")]
    pub verify: bool,
    /// Remove what another instance left, and say what was removed
    #[arg(long)]
    pub clean: bool,
    /// Print the JSON Schema of this command's JSON output
    #[arg(long, conflicts_with_all = ["verify", "clean"])]
    pub schema: bool,
}
