//! From a parsed command line to an exit code.

use std::ffi::OsString;
use std::io::{self, Write};
use std::time::Duration;

use clap::CommandFactory;

use crate::aws;
use crate::bake;
use crate::boot::{self, order::Order};
use crate::cause::Cause;
use crate::check;
use crate::cli::{self, Cli, Command, Output};
use crate::command::{CommandContext, CommandOutput, Exit};
use crate::console::layout::Screen;
use crate::console::{self, Console, Verbosity, in_one_line, text};
use crate::explain;
use crate::files::Root;
use crate::kind::Kind;
use crate::probe;
use crate::schema;
use crate::secret::{self, Scrubbing};
use crate::settings::{self, Fragment, Settings};
use crate::status;
use crate::usage;

/// How long a boot waits for its result to be read: the group has been notified by then, and a pipe that nobody reads
/// must not keep the process alive.
const READ_WITHIN: Duration = Duration::from_secs(30);

/// How long pending output may take to be written at exit.
const MOMENT: Duration = Duration::from_secs(1);

/// Runs a command: all its output is scrubbed, and its result is printed on standard output.
pub fn run(cli: Cli) -> Exit {
    scrub_panics();
    aws::register_environment(|name| std::env::var(name).ok());
    let common = &cli.common;
    let is_boot = matches!(cli.command, Command::Boot(_));
    let schema = match &cli.command {
        Command::Boot(flags) if flags.schema => Some(schema::Of::Boot),
        Command::Probe(flags) if flags.schema => Some(schema::Of::Probe),
        Command::Check(flags) if flags.schema => Some(schema::Of::Check),
        Command::Bake(flags) if flags.schema => Some(schema::Of::Bake),
        Command::Status(flags) if flags.schema => Some(schema::Of::Status),
        Command::Explain(flags) if flags.schema => Some(schema::Of::Explain),
        _ => None,
    };
    if let Some(of) = schema {
        return print(schema::printed(of).unwrap_or_else(failed), common.output, None);
    }
    let printed = match &cli.command {
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "agent", &mut io::stdout());
            return Exit::Good;
        }
        Command::Man => return man(),
        Command::Status(flags) => status::run(&Root::new(common.root.clone()), flags, verbosity(common)),
        Command::Explain(flags) => explain::run(flags),
        Command::Boot(flags) => boot(common, flags, None),
        Command::Bake(flags) => {
            with_runtime(common, Fragment::from_flags([]), true, async |world| bake::run(world, flags).await)
        }
        Command::Probe(flags) => with_runtime(common, Fragment::from_flags([]), false, async |world| {
            probe::run(world, flags).await
        }),
        Command::Check(flags) => with_runtime(common, Fragment::from_flags([]), false, async |world| {
            check::run(world, flags).await
        }),
    };
    let printed = printed.unwrap_or_else(failed);
    print(printed, common.output, is_boot.then_some(READ_WITHIN))
}

/// Reports a usage error in the requested output format.
pub fn misused(error: &clap::Error, arguments: &[OsString]) -> Exit {
    report_misuse(error, arguments);
    let wants_json = arguments.iter().any(|argument| argument == "--output=json")
        || arguments.windows(2).any(|pair| pair[0] == "--output" && pair[1] == "json");
    if !error.use_stderr() || !wants_json {
        // Nothing useful is lost: the reader has closed both streams.
        let _ = error.print();
        return if error.use_stderr() { Exit::Usage } else { Exit::Good };
    }
    print(failed(usage::cause(error)), Output::Json, None)
}

/// Reports a boot whose command line cannot be understood, where nobody but the group is there to be told.
fn report_misuse(error: &clap::Error, arguments: &[OsString]) {
    if error.use_stderr()
        && let Some(Cli { common, command: Command::Boot(flags) }) = usage::understood(arguments)
        && !boot::is_attended(&flags)
    {
        // What comes of it has been said meanwhile.
        let _ = boot(&common, &flags, Some(usage::cause(error)));
    }
}

fn failed(cause: Cause) -> CommandOutput {
    CommandOutput {
        text: text::cause(&cause),
        exit: Exit::from(&cause),
        json: serde_json::json!({ "version": 1, "cause": cause }),
    }
}

/// Boots, or reports the `fault` of a command line that cannot be understood.
fn boot(common: &cli::Common, flags: &cli::Boot, fault: Option<Cause>) -> Result<CommandOutput, Cause> {
    let root = Root::new(common.root.clone());
    let (mut order, mut fault) = match fault {
        None if !boot::names_source(flags) => match Order::read(&root) {
            Ok(order) => (order, None),
            Err(cause) => (None, Some(cause)),
        },
        fault => (None, fault),
    };
    // Each boot request brings its own settings, so they are loaded for each.
    loop {
        let set = boot::order::flags(flags, order.as_ref());
        let config = common.config.as_deref();
        let (settings, unusable) = settings::load_usable(&root, config, std::env::vars_os, set)?;
        let fault_now = unusable.or_else(|| fault.clone());
        let booting = async |world| boot::run(world, flags, order, fault_now).await;
        match in_runtime(common, settings, true, booting) {
            Ok(boot::RunResult::Ended(printed)) => return Ok(printed),
            // The user-data says again what the order on disk does not.
            Ok(boot::RunResult::Ordered(new)) => {
                fault.take().as_ref().inspect(|cause| tell(cause));
                order = Some(new);
            }
            Err(cause) if cause.kind == boot::order::ANOTHER_BOX => {
                tell(&cause);
                order = None;
            }
            Err(cause) => return Err(cause),
        }
    }
}

fn tell(cause: &Cause) {
    let line = secret::scrub(&in_one_line(cause)).into_owned() + "\n";
    // If standard error is closed, there is nowhere to report it.
    let _ = console::write_within(io::stderr(), line, MOMENT);
}

/// `is_long`: the command runs long enough for log lines to need timestamps.
fn with_runtime<T>(
    common: &cli::Common,
    flags: Fragment,
    is_long: bool,
    command: impl AsyncFnOnce(CommandContext) -> Result<T, Cause>,
) -> Result<T, Cause> {
    let root = Root::new(common.root.clone());
    let settings = settings::load(&root, common.config.as_deref(), std::env::vars_os(), flags)?;
    in_runtime(common, settings, is_long, command)
}

fn in_runtime<T>(
    common: &cli::Common,
    settings: Settings,
    is_long: bool,
    command: impl AsyncFnOnce(CommandContext) -> Result<T, Cause>,
) -> Result<T, Cause> {
    let root = Root::new(common.root.clone());
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(
            |error| {
                Cause::host(
                    Kind::HostRuntime,
                    "Cannot start worker threads.",
                    "Check the limits of this instance: ulimit -a, free -m.",
                )
                .with_error(&error)
            },
        )?;
    let console = Console::of_this_process(verbosity(common), is_long);
    let came = runtime.block_on(async {
        let own_settings_file = common.config.clone();
        let world = CommandContext { root, settings, own_settings_file, console: console.clone() };
        // The task that does the work also sends the heartbeat, so that a stuck task misses it.
        tokio::select! {
            came = command(world) => came,
            never = console.beat() => match never {},
        }
    });
    console.flush();
    // A thread stuck in a system call must not keep a finished process alive.
    runtime.shutdown_background();
    came
}

fn verbosity(common: &cli::Common) -> Verbosity {
    match (common.quiet, common.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, true) => Verbosity::Verbose,
        _ => Verbosity::Normal,
    }
}

/// Prints a result; with `within`, gives up on a reader that takes longer.
fn print(mut printed: CommandOutput, output: Output, within: Option<Duration>) -> Exit {
    let text = match output {
        Output::Text => Screen::stdout().show(&secret::scrub(&printed.text)),
        Output::Json => {
            secret::scrub_json(&mut printed.json);
            format!("{:#}\n", printed.json)
        }
    };
    let written = match within {
        Some(limit) => console::write_within(io::stdout(), text, limit),
        None => {
            let mut stdout = io::stdout().lock();
            stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
        }
    };
    match written {
        Ok(()) => printed.exit,
        // A reader such as `head` closing the pipe early is not a failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => printed.exit,
        Err(error) => {
            let line = format!("agent: cannot write to standard output: {error}\n");
            let _ = console::write_within(io::stderr(), line, MOMENT);
            if printed.exit == Exit::Good { Exit::Failed } else { printed.exit }
        }
    }
}

fn man() -> Exit {
    let rendered = clap_mangen::Man::new(Cli::command()).render(&mut io::stdout());
    if rendered.is_ok() { Exit::Good } else { Exit::Failed }
}

/// A panic message may quote the data being processed.
fn scrub_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let mut stderr = Scrubbing::new(io::stderr().lock());
        let _ = writeln!(stderr, "agent: internal error, please report it: {panic}");
        let _ = stderr.flush();
    }));
}
