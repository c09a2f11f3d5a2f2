//! Progress output to the terminal, the journal and systemd.
//!
//! All progress is reported as [`Event`]s. [`Console`] scrubs each and passes it to the renderers that fit the output:
//! a live list on a terminal, plain lines elsewhere, structured fields in the journal, `sd_notify` to systemd. They
//! write on their own thread ([`outlet`]). Commands print their results on standard output themselves.

mod event;
mod journal;
pub mod layout;
mod lines;
mod outlet;
mod systemd_notify;
mod terminal;
pub mod text;
mod throttle;
pub(crate) mod window;

use std::convert::Infallible;
use std::io::{self, IsTerminal};

pub use event::{Event, Level, StageOutcome, Verbosity, human};
pub use lines::in_one_line;
pub use outlet::write_within;

use event::{LAST_WORDS, Renderer};
use outlet::Outlet;
use systemd_notify::Supervisor;
use throttle::Throttled;

use crate::secret::Secrets;

/// Where events go. Cheap to clone; all clones are one. Nothing that is done with it blocks.
#[derive(Clone)]
pub struct Console {
    verbosity: Verbosity,
    secrets: Secrets,
    outlet: Option<Outlet>,
    supervisor: Option<Supervisor>,
    is_journal: bool,
}

impl Console {
    /// The console of this process: the journal if standard error is the journal's, else a live list if it is a
    /// terminal that can move its cursor, else plain lines; and `sd_notify` where systemd asked for it.
    ///
    /// With `dated`, a line in a log begins with the time: for what runs long enough that a reader asks when.
    pub fn of_this_process(verbosity: Verbosity, dated: bool, secrets: Secrets) -> Self {
        let is_terminal = io::stderr().is_terminal();
        let journal = journal::Journal::if_stderr_is_its();
        let is_journal = journal.is_some() && journal::is_its(1);
        let renderer: Box<dyn Renderer> = match journal {
            Some(journal) => Box::new(Throttled::new(journal)),
            None if is_terminal && moves_its_cursor() => {
                Box::new(terminal::Terminal::new(verbosity, colour()))
            }
            None => Box::new(Throttled::new(lines::Lines::new(verbosity, dated && !is_terminal))),
        };
        Console {
            verbosity,
            secrets,
            outlet: Outlet::start(vec![renderer]),
            supervisor: Supervisor::if_asked_for(),
            is_journal,
        }
    }

    /// A console that shows nothing.
    pub fn silent() -> Self {
        Console {
            verbosity: Verbosity::default(),
            secrets: Secrets::default(),
            outlet: None,
            supervisor: None,
            is_journal: false,
        }
    }

    /// How much a person wants to see.
    pub fn verbosity(&self) -> Verbosity {
        self.verbosity
    }

    /// Whether events and results both go to the journal, so that a summary on standard output would say them twice.
    pub fn is_journal(&self) -> bool {
        self.is_journal
    }

    /// Scrubs an event and shows it everywhere.
    pub fn emit(&self, mut event: Event) {
        event.scrub(&self.secrets);
        if let Some(supervisor) = &self.supervisor {
            supervisor.show(&event);
        }
        if let Some(outlet) = &self.outlet {
            outlet.show(event);
        }
    }

    /// Says something that belongs to no stage.
    pub fn note(&self, level: Level, text: impl Into<String>) {
        self.emit(Event::Note { stage: None, level, text: text.into(), cause: None });
    }

    /// Waits a moment for what was said to be written: before a result is printed, and before the program ends.
    pub fn flush(&self) {
        if let Some(outlet) = &self.outlet {
            outlet.flush(LAST_WORDS);
        }
    }

    /// Tells systemd that this program is alive, for as long as it is polled: by the task that does the work, which
    /// misses the beat when it stands still.
    pub async fn beat(&self) -> Infallible {
        match &self.supervisor {
            Some(supervisor) => supervisor.beat().await,
            None => std::future::pending().await,
        }
    }
}

/// Whether the terminal can redraw a line (terminfo(5) calls the others `dumb`); one without a name is taken for one
/// that cannot.
pub fn moves_its_cursor() -> bool {
    std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb")
}

/// Whether colour is wanted on a terminal (see no-color.org).
pub fn colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && moves_its_cursor()
}
