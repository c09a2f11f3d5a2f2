//! The commands and their flags, nothing else.

use std::ffi::OsStr;
use std::path::PathBuf;

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::kind::Kind;

/// Boots a CircleCI Enterprise services box and diagnoses failures
#[derive(Debug, Parser)]
#[command(name = "agent", version, max_term_width = 100, arg_required_else_help = true)]
pub struct Cli {
    /// The command line.
    #[command(flatten)]
    pub common: Common,
    /// The commands.
    #[command(subcommand)]
    pub command: Command,
}

/// The command line.
#[derive(Debug, Args)]
pub struct Common {
    /// Output format; JSON is versioned and is the only output on stdout
    #[arg(long, global = true, value_enum, default_value_t = Output::Text, value_name = "FORMAT")]
    pub output: Output,
    /// Root directory: every path that the agent reads or writes is below it
    #[arg(long, global = true, default_value = "/", value_name = "DIR", hide_default_value = true)]
    pub root: PathBuf,
    /// Settings file to use instead of /etc/boot-agent/agent.toml
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Show details
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub verbose: bool,
    /// Show only warnings and failures
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

/// Output formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Human-readable.
    Text,
    /// Machine-readable.
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Take this instance from blank to in service, and complete its lifecycle hook
    #[command(after_help = "Examples:
  agent boot s3://ha-bucket/services-box             as run by user-data
  agent boot --dry-run s3://ha-bucket/services-box   show what a boot would do
  agent boot --on-failure hold                       source from agent.toml; keep a failed instance

Exit codes: 0 in service, 1 failed, 2 usage or settings error, 3 deadline exceeded.")]
    Boot(Boot),
    /// Check everything on this node, and report what is broken and how to fix it
    #[command(after_help = "Examples:
  agent probe                                   what is wrong with this node
  agent probe --only postgres --only mongodb    only the databases
  agent probe --wait 10m                        repeat until all checks pass
  agent probe --support-bundle box.tar.gz       also write a redacted support bundle
  agent probe --uri - < uri.txt                 one database, from any machine

agent probe changes nothing and completes no lifecycle action. Without root, it skips some checks and says which.

Exit codes: 0 good (warnings included), 1 something is broken, 2 usage or settings error, 3 still broken after --wait.")]
    Probe(Probe),
    /// Validate a bundle without changing anything
    #[command(after_help = "Examples:
  agent check ./bundle                         a directory
  agent check s3://ha-bucket/services-box      what instances will get
  agent check                                  the installed bundle

Exit codes: 0 valid (warnings included), 1 invalid, 2 usage or settings error, 3 deadline exceeded.")]
    Check(Check),
    /// Prepare an AMI (Packer step): pull and lock the images, pin the installer, install the unit
    #[command(after_help = "Examples:
  agent bake --clean                           as run by Packer; reads /etc/boot-agent/images.toml
  agent bake --verify                          verify that the image is ready to ship
  agent bake --verify --output json | jq '.checks[] | select(.outcome == \"failed\")'

Exit codes: 0 good (warnings included), 1 something failed or leftovers remain, 2 usage or settings error,
3 deadline exceeded.")]
    Bake(Bake),
    /// Show the stages of the last boot, with durations and outcomes
    #[command(after_help = "Examples:
  agent status
  agent status --output json | jq '.stages[] | {name, outcome, seconds}'
  agent status --plot boot.svg                 also draw it as SVG
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
    /// Print the man page
    #[command(after_help = "Example:
  agent man > /usr/local/share/man/man1/agent.1")]
    Man,
}

/// The flags of `boot`.
#[derive(Debug, Args)]
pub struct Boot {
    /// Where the bundle comes from: s3://bucket/prefix or file:///directory [default: the `source` setting]
    ///
    /// The user-data script path that cloud-init appends as an extra argument is ignored.
    #[arg(value_name = "SOURCE", num_args = 0..=2)]
    pub words: Vec<String>,
    /// Show what a boot would do without changing anything
    #[arg(long)]
    pub dry_run: bool,
    /// Run in this process instead of delegating to boot-agent.service
    #[arg(long)]
    pub foreground: bool,
    /// Used by the unit: run in this process with the recorded boot request, if there is one
    #[arg(long, hide = true, conflicts_with_all = ["words", "dry_run", "force"])]
    pub unit: bool,
    /// Replace the files and reinstall, even on an instance that has completed; implies --foreground
    #[arg(long)]
    pub force: bool,
    /// What to do when the boot fails: abandon (have the group replace this instance) or hold (keep it for inspection)
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
    /// List all checks and their IDs without running them
    #[arg(long)]
    pub list: bool,
    /// Run only this check or group of checks, e.g. postgres.main; can be repeated
    #[arg(long, value_name = "ID", value_delimiter = ',', conflicts_with = "uri")]
    pub only: Vec<String>,
    /// Skip this check or group of checks; can be repeated
    #[arg(long, value_name = "ID", value_delimiter = ',', conflicts_with = "uri")]
    pub skip: Vec<String>,
    /// Treat warnings as failures
    #[arg(long)]
    pub strict: bool,
    /// Repeat until all checks pass, for at most this long
    #[arg(long, value_name = "DURATION")]
    pub wait: Option<String>,
    /// Probe one database URI, without a bundle; "-" reads it from stdin, which keeps it out of the process list
    #[arg(long, value_name = "URI", conflicts_with = "list")]
    pub uri: Option<String>,
    /// Write a redacted support bundle to this .tar.gz, with a manifest of what was redacted
    #[arg(long, value_name = "FILE", conflicts_with_all = ["list", "uri", "schema"])]
    pub support_bundle: Option<PathBuf>,
    /// Print the JSON Schema of this command's JSON output
    #[arg(long, conflicts_with_all = ["list", "uri", "wait"])]
    pub schema: bool,
}

/// The flags of `status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Also draw the boot as an SVG file: stages, waits, heartbeats; "-" prints the SVG instead of the text
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
    /// Print the JSON Schema of this command's JSON output
    #[arg(long, conflicts_with = "plot")]
    pub schema: bool,
}

/// The flags of `check`.
#[derive(Debug, Args)]
pub struct Check {
    /// A directory, s3://bucket/prefix, file:///directory [default: the installed bundle]
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
    /// Verify that this image is ready to ship, and list every problem, without changing anything
    #[arg(long, conflicts_with = "clean")]
    pub verify: bool,
    /// Remove leftovers from another instance, and list them
    #[arg(long)]
    pub clean: bool,
    /// Print the JSON Schema of this command's JSON output
    #[arg(long, conflicts_with_all = ["verify", "clean"])]
    pub schema: bool,
}
