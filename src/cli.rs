//! The commands and their flags, nothing else.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

/// Boots a CircleCI Enterprise services box, and says what is wrong when it cannot.
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
    /// How results are printed; json is versioned, and alone on standard output
    #[arg(long, global = true, value_enum, default_value_t = Output::Text, value_name = "FORMAT")]
    pub output: Output,
    /// The directory under which every path lies that is read or written
    #[arg(long, global = true, default_value = "/", value_name = "DIR", hide_default_value = true)]
    pub root: PathBuf,
    /// The settings file, instead of /etc/boot-agent/agent.toml
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Show details too
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
  agent boot --dry-run s3://ha-bucket/services-box   what it would do, touching nothing
  agent boot --on-failure hold                       source from agent.toml; keep a failed box for a look

Exit codes: 0 in service, 1 failed, 2 usage or settings, 3 a deadline passed.")]
    Boot(Boot),
    /// Ask every question about this node, and say what is broken and what to do
    #[command(after_help = "Examples:
  agent probe                                   what is wrong with this box
  agent probe --only postgres --only mongodb    the databases alone
  agent probe --wait 10m                        ask until it is good
  agent probe --support-bundle box.tar.gz       and pack what a vendor needs, without a secret
  agent probe --uri - < uri.txt                 one database, from any machine, without a bundle

It changes nothing and completes no lifecycle action. Without root it says what it could not see.

Exit codes: 0 good (warnings included), 1 something is broken, 2 usage or settings, 3 still broken after --wait.")]
    Probe(Probe),
    /// Validate a bundle and change nothing
    #[command(after_help = "Examples:
  agent check ./bundle                         a directory
  agent check s3://ha-bucket/services-box      what instances will be given
  agent check                                  what is installed on this box

Exit codes: 0 valid (warnings included), 1 not valid, 2 usage or settings, 3 a deadline passed.")]
    Check(Check),
    /// Packer step: pull and lock the images, pin the installer, install the unit, leave nothing of another box
    #[command(after_help = "Examples:
  agent bake --clean                           what Packer runs; reads /etc/boot-agent/images.toml
  agent bake --verify                          prove that the image is fit to ship, changing nothing
  agent bake --verify --output json | jq '.checks[] | select(.outcome == \"failed\")'

Exit codes: 0 good (warnings included), 1 something failed or is left of another box, 2 usage or
settings, 3 a deadline passed.")]
    Bake(Bake),
    /// Show the stages of the last boot: what ran, how long, how it ended
    #[command(after_help = "Examples:
  agent status
  agent status --output json | jq .stages
  agent status --plot boot.svg                 the same as a picture, for a browser

Exit codes: 0 the last boot is in service or still running, 1 otherwise.")]
    Status(Status),
    /// Print a shell's completions
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
    /// cloud-init appends the path of the user-data script as one more argument, which is passed over.
    #[arg(value_name = "SOURCE", num_args = 0..=2)]
    pub words: Vec<String>,
    /// Say what would be done, and touch nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Work in this process, where systemd has the unit boot-agent.service to do it
    #[arg(long)]
    pub foreground: bool,
    /// What the unit runs: in place, by the order on record, and nothing where there is none yet
    #[arg(long, hide = true, conflicts_with_all = ["words", "dry_run", "force"])]
    pub unit: bool,
    /// Replace the files and install again, even on a box that has completed; in this process
    #[arg(long)]
    pub force: bool,
    /// What a failed boot tells the Auto Scaling group: abandon or hold
    #[arg(long, value_name = "POLICY")]
    pub on_failure: Option<String>,
    /// When the boot as a whole is given up
    #[arg(long, value_name = "DURATION")]
    pub deadline: Option<String>,
}

/// The flags of `probe`.
#[derive(Debug, Args)]
pub struct Probe {
    /// Show every check with its id, and ask nothing
    #[arg(long)]
    pub list: bool,
    /// Ask this check or family of checks alone, e.g. postgres.main; may be repeated
    #[arg(long, value_name = "ID", value_delimiter = ',', conflicts_with = "uri")]
    pub only: Vec<String>,
    /// Leave out this check or family of checks; may be repeated
    #[arg(long, value_name = "ID", value_delimiter = ',', conflicts_with = "uri")]
    pub skip: Vec<String>,
    /// Warnings fail too
    #[arg(long)]
    pub strict: bool,
    /// Ask again until the answer is good, or so long
    #[arg(long, value_name = "DURATION")]
    pub wait: Option<String>,
    /// Probe one database address, without a bundle; "-" reads it from standard input, where no other user sees it
    #[arg(long, value_name = "URI", conflicts_with = "list")]
    pub uri: Option<String>,
    /// Write what a vendor needs to find the fault into this .tar.gz, every secret taken out, and a manifest of what was
    #[arg(long, value_name = "FILE", conflicts_with_all = ["list", "uri", "schema"])]
    pub support_bundle: Option<PathBuf>,
    /// Print the JSON Schema of this command's JSON output
    #[arg(long, conflicts_with_all = ["list", "uri", "wait"])]
    pub schema: bool,
}

/// The flags of `status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Draw the boot into this SVG file too: stages, what they waited for, heartbeats
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
}

/// The flags of `check`.
#[derive(Debug, Args)]
pub struct Check {
    /// A directory, s3://bucket/prefix, file:///directory; left out: what is installed on this box
    pub source: Option<String>,
}

/// The flags of `bake`.
#[derive(Debug, Args)]
pub struct Bake {
    /// Change nothing; prove that this image is fit to ship, and name everything that is wrong with it
    #[arg(long, conflicts_with = "clean")]
    pub verify: bool,
    /// Remove what another box left, and say what was removed
    #[arg(long)]
    pub clean: bool,
}
