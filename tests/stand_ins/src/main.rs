//! The stand-ins for use outside a Rust test: each prints its address as its first line, and runs until it is ended.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use stand_ins::replicated::{Script, commands, frontend};
use stand_ins::{autoscaling, imds, s3_faults};

#[derive(Parser)]
#[command(about = "What cannot be had in a test: IMDS, Auto Scaling's lifecycle actions, S3's faults")]
struct Arguments {
    #[command(subcommand)]
    which: Which,
}

#[derive(Subcommand)]
enum Which {
    /// The instance metadata service, version 2.
    Imds(Imds),
    /// The Auto Scaling Query API, with lifecycle actions.
    Autoscaling(AutoScaling),
    /// A proxy in front of a real S3 server, with scripted faults.
    S3Faults(S3Faults),
    /// Inside a container: what Replicated's command line answers, or the app.
    Replicated(Replicated),
}

#[derive(Args)]
struct Replicated {
    /// The files that say what the app does.
    #[arg(long, default_value = "/stand-in")]
    script: PathBuf,
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand)]
enum Part {
    /// `replicatedctl`.
    Ctl {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// `replicated`, of releases that have no `replicatedctl`.
    Cli {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// The app's container.
    Frontend,
}

#[derive(Args)]
struct Common {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where to record every call, as JSON lines.
    #[arg(long)]
    record: Option<PathBuf>,
}

#[derive(Args)]
struct Imds {
    #[command(flatten)]
    common: Common,
    /// A fault from the start; also `PUT /stand-in/faults` while it runs. E.g. `silent-for=10s`, `token-refused`,
    /// `missing-for=iam/security-credentials:3s`, `v1-only`.
    #[arg(long = "fault")]
    faults: Vec<imds::Fault>,
    #[arg(long)]
    instance_id: Option<String>,
    #[arg(long)]
    region: Option<String>,
    #[arg(long)]
    availability_zone: Option<String>,
    #[arg(long)]
    local_ipv4: Option<String>,
    #[arg(long)]
    lifecycle_state: Option<String>,
    #[arg(long)]
    user_data: Option<PathBuf>,
    #[arg(long)]
    public_key: Option<String>,
    #[arg(long)]
    access_key: Option<String>,
    #[arg(long)]
    secret_key: Option<String>,
    /// No role: no credentials.
    #[arg(long)]
    no_role: bool,
}

#[derive(Args)]
struct AutoScaling {
    #[command(flatten)]
    common: Common,
    /// A fault from the start; also `PUT /stand-in/faults` while it runs. E.g. `race=2`,
    /// `throttle=CompleteLifecycleAction:2`, `deny=DescribeLifecycleHooks`.
    #[arg(long = "fault")]
    faults: Vec<autoscaling::Fault>,
    #[arg(long)]
    instance_id: Option<String>,
    #[arg(long)]
    region: Option<String>,
    /// The group's name.
    #[arg(long, conflicts_with = "no_group")]
    group: Option<String>,
    /// The instance is in no group.
    #[arg(long)]
    no_group: bool,
    /// A launch hook; without any of these and without `--no-hook`, there is one of the default name.
    #[arg(long = "hook")]
    hooks: Vec<String>,
    /// The group has no hook.
    #[arg(long, conflicts_with = "hooks")]
    no_hook: bool,
    /// The heartbeat timeout of the hooks, in seconds.
    #[arg(long, default_value_t = 3600)]
    heartbeat_timeout: u64,
    /// The total limit of the hooks, in seconds; AWS's rule when absent.
    #[arg(long)]
    global_timeout: Option<u64>,
    /// A timeout of the hooks means CONTINUE, not ABANDON.
    #[arg(long)]
    default_continue: bool,
    /// Launch into the warm pool.
    #[arg(long)]
    warmed: bool,
}

#[derive(Args)]
struct S3Faults {
    #[command(flatten)]
    common: Common,
    /// The real server, `http://HOST:PORT`.
    #[arg(long)]
    upstream: String,
    /// `KEY FAULT [TIMES]`; also `PUT /stand-in/rules` while it runs. E.g. `license.rli slow-down 2`.
    #[arg(long = "rule")]
    rules: Vec<s3_faults::Rule>,
}

fn main() -> ExitCode {
    match run(Arguments::parse().which) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(which: Which) -> io::Result<()> {
    match which {
        Which::Imds(arguments) => {
            let server = imds::start(arguments.config()?)?;
            announce(&server.url())
        }
        Which::Autoscaling(arguments) => {
            let server = autoscaling::start(arguments.config())?;
            announce(&server.url())
        }
        Which::S3Faults(S3Faults { common, upstream, rules }) => {
            let config = s3_faults::Config { listen: common.listen, upstream, record: common.record, rules };
            let server = s3_faults::start(config)?;
            announce(&server.url())
        }
        Which::Replicated(Replicated { script, part }) => {
            let script = Script::at(&script);
            let words =
                |arguments: &[String], answer: fn(&Script, &[&str]) -> Result<String, commands::Failed>| {
                    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                    answer(&script, &arguments).map_err(|failed| io::Error::other(failed.to_string()))
                };
            match part {
                Part::Ctl { arguments } => {
                    io::stdout().write_all(words(&arguments, commands::replicatedctl)?.as_bytes())
                }
                Part::Cli { arguments } => {
                    io::stdout().write_all(words(&arguments, commands::replicated)?.as_bytes())
                }
                Part::Frontend => frontend::run(&script),
            }
        }
    }
}

/// Says where the server is, and waits for the signal that ends the process.
fn announce(url: &str) -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(out, "{url}")?;
    out.flush()?;
    loop {
        std::thread::park();
    }
}

impl Imds {
    fn config(self) -> io::Result<imds::Config> {
        let defaults = imds::Instance::default();
        let region = self.region.unwrap_or(defaults.region);
        let instance = imds::Instance {
            id: self.instance_id.unwrap_or(defaults.id),
            availability_zone: self.availability_zone.unwrap_or_else(|| format!("{region}a")),
            region,
            local_ipv4: self.local_ipv4.unwrap_or(defaults.local_ipv4),
            role: defaults.role.filter(|_| !self.no_role),
            access_key: self.access_key.unwrap_or(defaults.access_key),
            secret_key: self.secret_key.unwrap_or(defaults.secret_key),
            lifecycle_state: self.lifecycle_state,
            user_data: self.user_data.map(std::fs::read).transpose()?,
            public_key: self.public_key,
            account: defaults.account,
            session_token: defaults.session_token,
        };
        Ok(imds::Config {
            listen: self.common.listen,
            record: self.common.record,
            faults: self.faults,
            instance,
        })
    }
}

impl AutoScaling {
    fn config(self) -> autoscaling::Config {
        let defaults = autoscaling::Config::default();
        let default_result = if self.default_continue {
            autoscaling::Outcome::Continue
        } else {
            autoscaling::Outcome::Abandon
        };
        let names = match (self.no_hook, self.hooks) {
            (true, _) => Vec::new(),
            (false, named) if !named.is_empty() => named,
            _ => defaults.hooks.into_iter().map(|hook| hook.name).collect(),
        };
        let hook = |name: String| autoscaling::Hook {
            heartbeat_timeout: Duration::from_secs(self.heartbeat_timeout),
            global_timeout: self.global_timeout.map(Duration::from_secs),
            default_result,
            ..autoscaling::Hook::launching(&name)
        };
        autoscaling::Config {
            listen: self.common.listen,
            record: self.common.record,
            faults: self.faults,
            group: if self.no_group { None } else { self.group.or(defaults.group) },
            hooks: names.into_iter().map(hook).collect(),
            instance: self.instance_id.unwrap_or(defaults.instance),
            region: self.region.unwrap_or(defaults.region),
            warmed: self.warmed,
            pacing: defaults.pacing,
        }
    }
}
