//! From a parsed command line to an exit code.

use std::ffi::OsString;
use std::io::{self, Write};
use std::time::Duration;

use clap::CommandFactory;

use crate::bake;
use crate::boot::{self, order::Order};
use crate::bundle::{self, BundleFile, Fetched};
use crate::cause::Cause;
use crate::check;
use crate::cli::{self, Cli, Command, Output};
use crate::command::{CommandContext, CommandOutput, Exit};
use crate::console::layout::Screen;
use crate::console::{self, Console, Verbosity, in_one_line, text};
use crate::docker;
use crate::explain;
use crate::files::{self, Root};
use crate::kind::Kind;
use crate::probe;
use crate::replicated::answers;
use crate::schema;
use crate::secret::Secrets;
use crate::settings::{self, Fragment, Settings};
use crate::status;
use crate::usage;

/// How long a boot waits for its result to be read: the group has been notified by then, and a pipe that nobody reads
/// must not keep the process alive.
const READ_WITHIN: Duration = Duration::from_secs(30);

/// The largest file of the bundle that is looked into for secrets, in bytes.
const LARGEST_FILE: usize = 1024 * 1024;

/// How long pending output may take to be written at exit.
const MOMENT: Duration = Duration::from_secs(1);

/// Runs a command, and prints its result on standard output. What is secret in `arguments`, in the environment and in what
/// this box keeps for other programs is known before anything is said.
pub fn run(cli: Cli, arguments: &[OsString]) -> Exit {
    // A core dump would hold every secret. Where that cannot be set, the unit sets it for a boot.
    let _ = nix::sys::prctl::set_dumpable(false);
    let secrets = secrets_of_process(arguments);
    scrub_panics(secrets.clone());
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
        return print(
            schema::printed(of).unwrap_or_else(|cause| failed(&cause, &secrets)),
            common.output,
            None,
        );
    }
    let printed = match &cli.command {
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "agent", &mut io::stdout());
            return Exit::Good;
        }
        Command::Man => return man(),
        Command::Status(flags) => {
            status::run(&Root::new(common.root.clone()), flags, verbosity(common), &secrets)
        }
        Command::Explain(flags) => explain::run(flags),
        Command::Boot(flags) => boot(common, flags, None, &secrets),
        Command::Bake(flags) => {
            with_runtime(common, Fragment::from_flags([]), true, &secrets, async |world| {
                bake::run(world, flags).await
            })
        }
        Command::Probe(flags) => {
            with_runtime(common, Fragment::from_flags([]), false, &secrets, async |world| {
                probe::run(world, flags).await
            })
        }
        Command::Check(flags) => {
            with_runtime(common, Fragment::from_flags([]), false, &secrets, async |world| {
                check::run(world, flags).await
            })
        }
    };
    let printed = printed.unwrap_or_else(|cause| failed(&cause, &secrets));
    print(printed, common.output, is_boot.then_some(READ_WITHIN))
}

/// Reports a usage error in the requested output format.
pub fn misused(error: &clap::Error, arguments: &[OsString]) -> Exit {
    let secrets = secrets_of_process(arguments);
    report_misuse(error, arguments, &secrets);
    let wants_json = arguments.iter().any(|argument| argument == "--output=json")
        || arguments.windows(2).any(|pair| pair[0] == "--output" && pair[1] == "json");
    if !error.use_stderr() {
        let _ = error.print();
        return Exit::Good;
    }
    if wants_json {
        return print(failed(&usage::cause(error), &secrets), Output::Json, None);
    }
    let said = error.to_string();
    let shown = secrets.own(&said);
    // What is lost here is a word to somebody who has closed the stream.
    let _ = if said == shown { error.print() } else { io::stderr().lock().write_all(shown.as_bytes()) };
    Exit::Usage
}

/// What this process is given that must not be said, and what the box keeps for other programs and they may quote.
fn secrets_of_process(arguments: &[OsString]) -> Secrets {
    let secrets = Secrets::default();
    secrets.register_process(arguments.iter().skip(1).cloned(), std::env::vars_os());
    secrets
}

/// Reports a boot whose command line cannot be understood, where nobody but the group is there to be told.
fn report_misuse(error: &clap::Error, arguments: &[OsString], secrets: &Secrets) {
    if error.use_stderr()
        && let Some(Cli { common, command: Command::Boot(flags) }) = usage::understood(arguments)
        && !boot::is_attended(&flags)
    {
        // What comes of it has been said meanwhile.
        let _ = boot(&common, &flags, Some(usage::cause(error)), secrets);
    }
}

fn failed(cause: &Cause, secrets: &Secrets) -> CommandOutput {
    let cause = cause.scrubbed(secrets);
    CommandOutput {
        text: text::cause(&cause),
        exit: Exit::from(&cause),
        json: serde_json::json!({ "version": 1, "cause": cause }),
    }
}

/// Boots, or reports the `fault` of a command line that cannot be understood.
fn boot(
    common: &cli::Common,
    flags: &cli::Boot,
    fault: Option<Cause>,
    secrets: &Secrets,
) -> Result<CommandOutput, Cause> {
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
        let (settings, unusable) = settings::load_usable(&root, config, std::env::vars_os, set, secrets)?;
        let fault_now = unusable.or_else(|| fault.clone());
        let booting = async |world| boot::run(world, flags, order, fault_now).await;
        match in_runtime(common, settings, true, secrets, booting) {
            Ok(boot::RunResult::Ended(printed)) => return Ok(printed),
            // The user-data says again what the order on disk does not.
            Ok(boot::RunResult::Ordered(new)) => {
                fault.take().as_ref().inspect(|cause| tell(cause, secrets));
                order = Some(new);
            }
            Err(cause) if cause.kind == boot::order::ANOTHER_BOX => {
                tell(&cause, secrets);
                order = None;
            }
            Err(cause) => return Err(cause),
        }
    }
}

fn tell(cause: &Cause, secrets: &Secrets) {
    let line = in_one_line(&cause.scrubbed(secrets)) + "\n";
    // If standard error is closed, there is nowhere to report it.
    let _ = console::write_within(io::stderr(), line, MOMENT);
}

/// `is_long`: the command runs long enough for log lines to need timestamps.
fn with_runtime<T>(
    common: &cli::Common,
    flags: Fragment,
    is_long: bool,
    secrets: &Secrets,
    command: impl AsyncFnOnce(CommandContext) -> Result<T, Cause>,
) -> Result<T, Cause> {
    let root = Root::new(common.root.clone());
    let settings = settings::load(&root, common.config.as_deref(), std::env::vars_os(), flags, secrets)?;
    in_runtime(common, settings, is_long, secrets, command)
}

fn in_runtime<T>(
    common: &cli::Common,
    settings: Settings,
    is_long: bool,
    secrets: &Secrets,
    command: impl AsyncFnOnce(CommandContext) -> Result<T, Cause>,
) -> Result<T, Cause> {
    let root = Root::new(common.root.clone());
    // What is wrong with the file, the pull says that needs it.
    let _ = docker::register_logins(&root, secrets);
    answers::register_daemon_token(&root, secrets);
    bundle::register_secrets(&in_place(&root), secrets);
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
    let console = Console::of_this_process(verbosity(common), is_long, secrets.clone());
    let came = runtime.block_on(async {
        let own_settings_file = common.config.clone();
        let world = CommandContext {
            root,
            settings,
            own_settings_file,
            console: console.clone(),
            secrets: secrets.clone(),
        };
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

/// The files of the bundle that are in place, as far as they can be read: whoever runs on this box may quote them.
fn in_place(root: &Root) -> Fetched {
    let mut fetched = Fetched::default();
    for file in BundleFile::ALL {
        if let Ok(content) = files::read_bounded(&root.path(file.installed_path()), LARGEST_FILE) {
            fetched.files.insert(file, content);
        }
    }
    fetched
}

fn verbosity(common: &cli::Common) -> Verbosity {
    match (common.quiet, common.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, true) => Verbosity::Verbose,
        _ => Verbosity::Normal,
    }
}

/// Prints a result; with `within`, gives up on a reader that takes longer.
fn print(printed: CommandOutput, output: Output, within: Option<Duration>) -> Exit {
    let text = match output {
        Output::Text => Screen::stdout().show(&printed.text),
        Output::Json => format!("{:#}\n", printed.json),
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
fn scrub_panics(secrets: Secrets) {
    std::panic::set_hook(Box::new(move |panic| {
        let said = secrets.foreign(&panic.to_string());
        let _ = writeln!(io::stderr(), "agent: internal error, please report it: {said}");
    }));
}
