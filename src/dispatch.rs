//! From a parsed command line to an exit code.

use std::io::{self, Write};

use clap::CommandFactory;

use crate::aws;
use crate::bake;
use crate::boot::{self, order::Order};
use crate::cause::Cause;
use crate::check;
use crate::cli::{self, Cli, Command, Output};
use crate::command::{Exit, Printed, World};
use crate::console::{Console, Verbosity, in_one_line, text};
use crate::files::Root;
use crate::probe;
use crate::secret::{self, Scrubbing};
use crate::settings::{self, Fragment};
use crate::status;

/// Runs a command: everything it says passes the scrubber, and its result is printed on standard output.
pub fn run(cli: Cli) -> Exit {
    scrub_panics();
    aws::register_environment(|name| std::env::var(name).ok());
    let output = cli.common.output;
    let printed = match cli.command {
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "agent", &mut io::stdout());
            return Exit::Good;
        }
        Command::Man => return man(),
        Command::Status(flags) => status::run(&Root::new(cli.common.root), &flags),
        Command::Boot(flags) => boot(&cli.common, &flags),
        Command::Bake(flags) => {
            with_runtime(&cli.common, Fragment::from_flags([]), async |world| bake::run(world, &flags).await)
        }
        Command::Probe(flags) => {
            with_runtime(&cli.common, Fragment::from_flags([]), async |world| probe::run(world, &flags).await)
        }
        Command::Check(flags) => {
            with_runtime(&cli.common, Fragment::from_flags([]), async |world| check::run(world, &flags).await)
        }
    };
    let printed = printed.unwrap_or_else(|cause| Printed {
        text: text::cause(&cause),
        exit: Exit::from(&cause),
        json: serde_json::json!({ "version": 1, "cause": cause }),
    });
    print(printed, output)
}

fn boot(common: &cli::Common, flags: &cli::Boot) -> Result<Printed, Cause> {
    let mut order = match boot::names_source(flags) {
        true => None,
        false => match Order::read(&Root::new(common.root.clone())) {
            // The user-data may say it again, and the group must be told in any case.
            Err(cause) if flags.unit => {
                tell(&cause);
                None
            }
            read => read?,
        },
    };
    // An order's settings go with it, so they are read anew for each.
    loop {
        let set = boot::order::flags(flags, order.as_ref());
        match with_runtime(common, set, async |world| boot::run(world, flags, order).await) {
            Ok(boot::Came::Ended(printed)) => return Ok(printed),
            Ok(boot::Came::Ordered(new)) => order = Some(new),
            Err(cause) if cause.kind == boot::order::ANOTHER_BOX => {
                tell(&cause);
                order = None;
            }
            Err(cause) => return Err(cause),
        }
    }
}

fn tell(cause: &Cause) {
    // With standard error gone there is nobody to tell.
    let _ = writeln!(Scrubbing::new(io::stderr().lock()), "{}", in_one_line(cause));
}

fn with_runtime<T>(
    common: &cli::Common,
    flags: Fragment,
    command: impl AsyncFnOnce(World) -> Result<T, Cause>,
) -> Result<T, Cause> {
    let root = Root::new(common.root.clone());
    let settings = settings::load(&root, common.config.as_deref(), std::env::vars_os(), flags)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(
            |error| {
                Cause::host(
                    "host.runtime",
                    "The program cannot start its threads.",
                    "Look at the limits of this box: ulimit -a, free -m.",
                )
                .with_error(&error)
            },
        )?;
    let came = runtime.block_on(async {
        let console = Console::of_this_process(verbosity(common));
        let own_settings_file = common.config.clone();
        command(World { root, settings, own_settings_file, console }).await
    });
    // A task that is stuck in a system call must not keep a finished program alive.
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

fn print(mut printed: Printed, output: Output) -> Exit {
    let mut stdout = Scrubbing::new(io::stdout().lock());
    let text = match output {
        Output::Text => printed.text,
        Output::Json => {
            secret::scrub_json(&mut printed.json);
            format!("{:#}\n", printed.json)
        }
    };
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        // A reader such as `head` that has seen enough is no failure.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Exit::Failed,
        _ => printed.exit,
    }
}

fn man() -> Exit {
    let rendered = clap_mangen::Man::new(Cli::command()).render(&mut io::stdout());
    if rendered.is_ok() { Exit::Good } else { Exit::Failed }
}

/// A panic's message may quote what was being worked on.
fn scrub_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let mut stderr = Scrubbing::new(io::stderr().lock());
        let _ = writeln!(stderr, "agent: internal error, please report it: {panic}");
        let _ = stderr.flush();
    }));
}
