//! `boot.json`: the crash-safe record of this box's last boot.

mod critical_path;
mod timeline;
pub(crate) mod times;

use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::cause::Cause;
use crate::console::StageOutcome;
use crate::files::{self, Access, Root};
use crate::kind::Kind;
use crate::secret::{Secrets, url, visible};

pub(crate) use critical_path::critical_path;
pub use timeline::{ending, timeline};

/// Where the record lies, under the root.
pub const RECORD_FILE: &str = "/var/lib/boot-agent/boot.json";

/// The lock of a running boot, below the root. The kernel releases it when its holder dies.
pub(crate) const LOCK_FILE: &str = "/run/boot-agent.lock";

/// Whether a boot of this box is running. Creates nothing; a lock that cannot be opened counts as not held.
pub(crate) fn boot_runs(root: &Root) -> bool {
    std::fs::File::open(root.path(LOCK_FILE))
        .is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock)))
}

/// The version of the record's format; newer ones are rejected.
pub const VERSION: u32 = 1;

/// How a boot stands or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BootOutcome {
    /// Not ended; if no boot runs now, it was killed.
    Running,
    /// The box is in service. With a lifecycle action: written only after AWS has acknowledged CONTINUE.
    InService,
    /// It failed, and AWS has acknowledged ABANDON.
    Abandoned,
    /// It failed, and the lifecycle action is kept alive so that a person can log in.
    Held,
    /// It failed and there was no lifecycle action to complete, or completing it failed too.
    Failed,
    /// It was told to stop, and has completed nothing.
    Interrupted,
}

impl BootOutcome {
    /// The outcome as it is written in output and state files.
    pub fn as_str(self) -> &'static str {
        match self {
            BootOutcome::Running => "running",
            BootOutcome::InService => "in_service",
            BootOutcome::Abandoned => "abandoned",
            BootOutcome::Held => "held",
            BootOutcome::Failed => "failed",
            BootOutcome::Interrupted => "interrupted",
        }
    }
}

/// What persists across boots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// The instance id; a record of another one is another box's, baked into an image.
    pub id: String,
    /// Its region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Its availability zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub availability_zone: Option<String>,
    /// Its primary private address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Ipv4Addr>,
    /// When the installer first ran on this box: its stored answers are then this box's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installer_ran_at: Option<Timestamp>,
    /// When Replicated's containers were first seen running after an installation; its files are then no longer
    /// replaced, since Replicated reads them at its first start only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed_at: Option<Timestamp>,
    /// When this box first came into service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
}

impl Instance {
    /// A box of which nothing is known yet.
    pub fn new(id: impl Into<String>) -> Self {
        Instance {
            id: id.into(),
            region: None,
            availability_zone: None,
            address: None,
            installer_ran_at: None,
            installed_at: None,
            completed_at: None,
        }
    }
}

/// One thing that a stage waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// What it waited for, as it was seen last.
    pub cause: Cause,
    /// When it was seen first.
    pub since: Timestamp,
    /// When it was seen last.
    pub until: Timestamp,
}

/// One stage of a boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageRecord {
    /// The stage's name.
    pub name: String,
    /// How it stands or ended.
    pub outcome: StageOutcome,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// What it achieved, or why it had nothing to do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// What it waited for, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits: Vec<Wait>,
}

impl StageRecord {
    /// How long it took, or has taken until `now` if it has not ended.
    pub fn elapsed(&self, now: Timestamp) -> Duration {
        between(self.started_at, self.ended_at.unwrap_or(now))
    }
}

/// What the Auto Scaling group was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifecycleRecord {
    /// The group.
    pub group: String,
    /// Its launch hook, if it has one that is ours to complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<String>,
    /// How long the hook waits without a heartbeat, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_timeout_seconds: Option<u64>,
    /// CONTINUE or ABANDON, once AWS has acknowledged it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// When AWS acknowledged it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged_at: Option<Timestamp>,
    /// When heartbeats were acknowledged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub heartbeats: Vec<Timestamp>,
}

/// The last boot of a box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// [`VERSION`].
    pub version: u32,
    /// The agent that wrote this.
    pub agent: String,
    /// The box, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<Instance>,
    /// Where the bundle comes from.
    pub source: String,
    /// When the machine was switched on, for a boot that is a part of its start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switched_on_at: Option<Timestamp>,
    /// When this boot began.
    pub started_at: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// How it stands or ended.
    pub outcome: BootOutcome,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// All warnings, including the bundle's findings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Cause>,
    /// The Auto Scaling group, if the box is in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifecycle: Option<LifecycleRecord>,
    /// The stages, in the order in which they began.
    pub stages: Vec<StageRecord>,
}

impl Record {
    /// A boot that begins now.
    pub fn begin(source: String, instance: Option<Instance>) -> Self {
        Record {
            version: VERSION,
            agent: env!("CARGO_PKG_VERSION").to_owned(),
            instance,
            source,
            switched_on_at: None,
            started_at: Timestamp::now(),
            ended_at: None,
            outcome: BootOutcome::Running,
            cause: None,
            warnings: Vec::new(),
            lifecycle: None,
            stages: Vec::new(),
        }
    }

    /// Whether this box is known not to be in an Auto Scaling group.
    pub fn is_in_no_group(&self) -> bool {
        let skipped =
            |stage: &StageRecord| stage.name == "lifecycle" && stage.outcome == StageOutcome::Skipped;
        self.lifecycle.is_none() && self.stages.iter().any(skipped)
    }

    /// Reads the record of the last boot; `None` if there was none.
    ///
    /// # Errors
    /// `host.file` if it cannot be read, `record.unreadable` if it is not such a record.
    pub fn read(root: &Root) -> Result<Option<Self>, Cause> {
        let path = root.path(RECORD_FILE);
        let text = match files::read_text(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(files::failed("read", &path, &error)),
        };
        let unreadable = |why: String| {
            Cause::host(
                Kind::RecordUnreadable,
                format!("{} is not a boot record that this agent can read.", path.display()),
                format!("Move it away: mv {0} {0}.unreadable", path.display()),
            )
            .with("error", why)
        };
        let mut value: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
        times::restore(&mut value);
        match value.get("version").and_then(serde_json::Value::as_u64) {
            Some(version) if version > u64::from(VERSION) => Err(unreadable(format!(
                "it has version {version}, and this agent supports version {VERSION}"
            ))),
            _ => serde_json::from_value(value).map(Some).map_err(|error| unreadable(error.to_string())),
        }
    }

    /// Removes the record.
    ///
    /// # Errors
    /// `host.file`.
    pub fn remove(root: &Root) -> Result<(), Cause> {
        let path = path(root);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(files::failed("remove", &path, &error))
            }
            _ => Ok(()),
        }
    }

    /// Makes every free text fit to be shown. Everything else is the program's own, by which a later boot decides.
    pub fn scrub(&mut self, secrets: &Secrets) {
        self.source = visible(&url::shown(&self.source)).into_owned();
        let instance = self.instance.iter_mut().flat_map(|it| [&mut it.region, &mut it.availability_zone]);
        let lifecycle = self.lifecycle.iter_mut().flat_map(|it| [&mut it.hook, &mut it.result]);
        for text in instance.chain(lifecycle).flatten() {
            *text = visible(text).into_owned();
        }
        if let Some(lifecycle) = &mut self.lifecycle {
            lifecycle.group = visible(&lifecycle.group).into_owned();
        }
        self.cause.iter_mut().chain(&mut self.warnings).for_each(|cause| cause.scrub(secrets));
        for stage in &mut self.stages {
            stage.detail = secrets.own(&stage.detail);
            let waits = stage.waits.iter_mut().map(|wait| &mut wait.cause);
            stage.cause.iter_mut().chain(waits).for_each(|cause| cause.scrub(secrets));
        }
    }

    /// This record as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        // Serialization cannot fail for these types; null would be noticed by every reader.
        let mut value = serde_json::to_value(self).unwrap_or(serde_json::Value::Null);
        times::publish(&mut value);
        value
    }

    /// Replaces the record on disk atomically. To be scrubbed before.
    ///
    /// # Errors
    /// `host.file`.
    pub fn write(&self, root: &Root) -> Result<(), Cause> {
        let path = path(root);
        let mut text = format!("{:#}", self.to_json()).into_bytes();
        text.push(b'\n');
        files::replace(path.clone(), &text, Access { mode: 0o644, owner: None })
            .map_err(|error| files::failed("write", &path, &error))
    }
}

fn path(root: &Root) -> PathBuf {
    root.path(RECORD_FILE)
}

/// The time between two instants of the wall clock; none if the clock was set back between them.
pub fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}
