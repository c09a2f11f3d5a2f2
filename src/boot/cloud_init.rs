//! cloud-init's network stage: it grows the disk, mounts volumes, creates groups, and sets the host name and the hosts
//! file. The unit starts before that stage has ended, and waits for it where a boot needs any of that.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::cause::Cause;
use crate::files::{Root, read_bounded};
use crate::kind::Kind;

use super::systemctl::systemctl;

/// The unit that runs the stage; since cloud-init 24.3 it has the second name.
const UNITS: [&str; 2] = ["cloud-init.service", "cloud-init-network.service"];

/// Where cloud-init records what it has done since the machine was switched on, under the root.
const STATUS_FILE: &str = "/run/cloud-init/status.json";

/// In bytes: many times what cloud-init writes there.
const LONGEST_STATUS: usize = 256 * 1024;

/// How long the stage is waited for: growing a large file system takes a minute or two. A box that boots without it is
/// better than one that does not boot.
const LIMIT: Duration = Duration::from_secs(600);

/// How often the status file is read, which is in memory, and how often systemd is asked, which starts a program. Only
/// systemd knows of a stage that was killed, is disabled, or has not started yet.
const READ_EVERY: Duration = Duration::from_millis(10);
const ASK_EVERY: Duration = Duration::from_secs(1);

/// The network stage, as one boot waits for it.
#[derive(Debug)]
pub(crate) struct NetworkStage {
    root: Root,
    is_over: AtomicBool,
}

impl NetworkStage {
    /// The one of this boot of the machine.
    pub(crate) fn of(root: &Root) -> Self {
        NetworkStage { root: root.clone(), is_over: false.into() }
    }

    /// One that nobody waits for: a boot that a person starts comes long after it.
    pub(crate) fn over() -> Self {
        NetworkStage { root: Root::default(), is_over: true.into() }
    }

    /// Whether it has ended, or will not run.
    pub(crate) async fn is_over(&self) -> bool {
        if !self.is_over.load(Ordering::Relaxed) && (self.has_finished() || !self.is_pending().await) {
            self.is_over.store(true, Ordering::Relaxed);
        }
        self.is_over.load(Ordering::Relaxed)
    }

    /// Waits for its end, and tells `waiting` why, at the begin and then every second.
    ///
    /// # Errors
    /// `cloud_init.running` (host), once, when it has not ended within ten minutes.
    pub(crate) async fn wait(&self, mut waiting: impl FnMut(&Cause)) -> Result<(), Cause> {
        if self.is_over().await {
            return Ok(());
        }
        let (cause, started) = (running(), Instant::now());
        waiting(&cause);
        let mut asked = started;
        while !self.has_finished() {
            if started.elapsed() >= LIMIT {
                self.is_over.store(true, Ordering::Relaxed);
                return Err(cause.after_waiting(started.elapsed()));
            }
            tokio::time::sleep(READ_EVERY).await;
            if asked.elapsed() >= ASK_EVERY {
                asked = Instant::now();
                waiting(&cause);
                if self.is_over().await {
                    break;
                }
            }
        }
        self.is_over.store(true, Ordering::Relaxed);
        waiting(&cause);
        Ok(())
    }

    fn has_finished(&self) -> bool {
        self.status().is_some_and(|status| times(&status).1)
    }

    /// Whether it runs or is about to. A systemd that does not answer is asked again.
    async fn is_pending(&self) -> bool {
        if !self.root.is_system() {
            return self.status().is_some_and(|status| times(&status) == (true, false));
        }
        let properties = ["show", "--property=ActiveState,Job"];
        systemctl(&[&properties[..], &UNITS].concat()).await.map_or(true, |answer| is_pending(&answer))
    }

    fn status(&self) -> Option<Value> {
        let text = read_bounded(&self.root.path(STATUS_FILE), LONGEST_STATUS).ok()?;
        // cloud-init replaces the file as a whole.
        serde_json::from_slice(&text).ok()
    }
}

/// Whether the stage has started, and whether it has finished.
fn times(status: &Value) -> (bool, bool) {
    let is_set = |key: &str| status["v1"]["init"][key].as_f64().is_some_and(|time| time > 0.0);
    (is_set("start"), is_set("finished"))
}

/// What `systemctl show` says of [`UNITS`]: one of them is being started, or waits for its turn.
fn is_pending(answer: &str) -> bool {
    answer.lines().filter_map(|line| line.split_once('=')).any(|(name, value)| match name {
        "ActiveState" => value == "activating",
        "Job" => !matches!(value, "" | "0"),
        _ => false,
    })
}

fn running() -> Cause {
    Cause::host(
        Kind::CloudInitRunning,
        "cloud-init's network stage has not finished; it grows the disk, mounts volumes and sets the host name.",
        "See what it is doing: cloud-init status --long; journalctl --unit cloud-init",
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn status(init: &str) -> (tempfile::TempDir, NetworkStage) {
        let directory = tempfile::tempdir().unwrap();
        let stage = NetworkStage::of(&Root::new(directory.path()));
        write(&stage, init);
        (directory, stage)
    }

    fn write(stage: &NetworkStage, init: &str) {
        let file = stage.root.path(STATUS_FILE);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, format!("{{\"v1\": {{\"stage\": null, \"init\": {init}}}}}")).unwrap();
    }

    #[tokio::test]
    async fn the_stage_is_pending_from_its_start_to_its_end() {
        let (_directory, stage) = status(r#"{"errors": [], "start": 1795617606.16, "finished": null}"#);
        assert!(!stage.is_over().await);
        let mut told = Vec::new();
        let wait = stage.wait(|cause| told.push(cause.kind));
        let end = async {
            tokio::time::sleep(READ_EVERY * 3).await;
            write(&stage, r#"{"errors": ["x"], "start": 1795617606.16, "finished": 1795617606.56}"#);
        };
        let (waited, ()) = tokio::join!(wait, end);
        assert_eq!(waited, Ok(()));
        assert!(told.len() >= 2 && told.iter().all(|kind| *kind == Kind::CloudInitRunning), "{told:?}");
        assert!(stage.is_over().await);
    }

    #[tokio::test]
    async fn a_box_without_cloud_init_waits_for_nothing() {
        for init in ["null", "{}", r#"{"start": null, "finished": null}"#] {
            let (_directory, stage) = status(init);
            assert!(stage.is_over().await, "{init}");
        }
        let directory = tempfile::tempdir().unwrap();
        let stage = NetworkStage::of(&Root::new(directory.path()));
        assert_eq!(stage.wait(|_| {}).await, Ok(()));
        assert!(NetworkStage::over().is_over().await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stage_that_hangs_is_given_up_once() {
        let (_directory, stage) = status(r#"{"start": 1.0, "finished": null}"#);
        let cause = stage.wait(|_| {}).await.unwrap_err();
        assert_eq!((cause.kind, cause.waited_seconds), (Kind::CloudInitRunning, Some(LIMIT.as_secs())));
        assert_eq!(stage.wait(|_| {}).await, Ok(()));
    }

    #[test]
    fn systemd_knows_whether_it_will_run() {
        for (answer, expected) in [
            ("ActiveState=activating\nJob=17\n\nActiveState=inactive\n", true),
            ("ActiveState=inactive\nJob=17\n\nActiveState=inactive\n", true),
            ("Job=0\nActiveState=inactive\n\nJob=23\nActiveState=inactive\n", true),
            ("ActiveState=active\n\nActiveState=inactive\n", false),
            ("ActiveState=failed\nJob=0\n\nActiveState=inactive\nJob=0\n", false),
            ("", false),
        ] {
            assert_eq!(is_pending(answer), expected, "{answer:?}");
        }
    }
}
