//! The deadline of a boot as a whole.

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::cause::{Cause, Class};
use crate::console::{StageOutcome, human};
use crate::kind::Kind;

use super::run::Run;

/// Ends when the deadline has passed, which may be moved meanwhile.
async fn passed(mut deadline: watch::Receiver<Instant>) {
    loop {
        let at = *deadline.borrow_and_update();
        tokio::select! {
            () = sleep_until(at) => return,
            Ok(()) = deadline.changed() => {}
        }
    }
}

/// Ends when the boot has taken too long, with what it waits for; the stages still run then, so that they can be asked.
pub(super) async fn overdue(run: &Run, deadline: watch::Receiver<Instant>) -> Cause {
    passed(deadline).await;
    let record = run.record();
    let took = crate::record::between(record.started_at, Timestamp::now());
    let stage = record.stages.iter().rfind(|stage| {
        // The procedure has been dropped by now, and its stages were interrupted by that.
        matches!(stage.outcome, StageOutcome::Running | StageOutcome::Interrupted)
    });
    let name = stage.map_or("no stage", |stage| stage.name.as_str());
    let wait = stage.and_then(|stage| stage.waits.last());
    let class = wait.map_or(Class::Host, |wait| wait.cause.class);
    let cause = Cause::new(
        class,
        Kind::BootDeadline,
        format!("The boot did not finish within {}; it was in stage {name}.", human(took)),
        wait.map_or("See what took so long: agent status; or raise deadline in agent.toml.", |wait| {
            wait.cause.next_step.as_str()
        }),
    );
    let cause = match wait {
        Some(wait) => cause.quoting("waited for", &wait.cause),
        None => cause,
    };
    cause.after_waiting(took)
}
