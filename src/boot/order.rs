//! The boot request from user-data or a person, stored for the unit, which systemd starts without arguments at every
//! boot.

use std::fs;
use std::io;

use serde::{Deserialize, Serialize};

use crate::cause::Cause;
use crate::cli;
use crate::files::{self, Access, ReadError, Root};
use crate::kind::Kind;
use crate::settings::{Fragment, Source};

use super::run::Run;

/// Its path, below the root. Written and removed only by the holder of the boot lock.
pub(crate) const ORDER_FILE: &str = "/var/lib/boot-agent/order.json";

/// The version of its format.
const VERSION: u32 = 1;

/// Its size limit in bytes.
const LARGEST: usize = 64 * 1024;

/// The kind of the cause for a request that was baked into the image.
pub(crate) const ANOTHER_BOX: Kind = Kind::OrderAnotherBox;

/// The last `agent boot SOURCE` of this box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    version: u32,
    /// Where the bundle comes from.
    source: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    on_failure: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deadline: Option<String>,
    /// The instance that booted with it; none until a boot knows its identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
}

impl Order {
    /// The request from these flags, for a box whose ID is not yet known.
    pub(super) fn new(source: &Source, flags: &cli::Boot) -> Self {
        let (on_failure, deadline) = (flags.on_failure.clone(), flags.deadline.clone());
        Order { version: VERSION, source: source.to_string(), on_failure, deadline, instance: None }
    }

    /// The request of this box, or of the box that its image was created from; `None` if there is none.
    ///
    /// # Errors
    /// `order.unreadable`, also if it is of another version than this agent writes.
    pub(crate) fn read(root: &Root) -> Result<Option<Self>, Cause> {
        let path = root.path(ORDER_FILE);
        let unreadable = |why: &dyn std::fmt::Display| {
            Cause::host(
                Kind::OrderUnreadable,
                format!("{} cannot be read as a boot request.", path.display()),
                "Give the source again: agent boot s3://bucket/prefix",
            )
            .with("error", why)
        };
        let text = match files::read_bounded(&path, LARGEST) {
            Ok(text) => text,
            Err(ReadError::NotFound) => return Ok(None),
            Err(error) => return Err(unreadable(&error.cause(&path))),
        };
        let order: Self = serde_json::from_slice(&text).map_err(|error| unreadable(&error))?;
        match order.version {
            VERSION => Ok(Some(order)),
            other => {
                Err(unreadable(&format!("it has version {other}, and this agent knows version {VERSION}")))
            }
        }
    }

    /// Its settings, as if given on the command line.
    fn settings(&self) -> impl Iterator<Item = (&'static str, String)> {
        let given = [("on_failure", &self.on_failure), ("deadline", &self.deadline)];
        let given = given.into_iter().filter_map(|(key, value)| Some((key, value.clone()?)));
        given.chain([("source", self.source.clone())])
    }

    /// # Errors
    /// `host.file`.
    pub(super) fn write(&self, root: &Root) -> Result<(), Cause> {
        let path = root.path(ORDER_FILE);
        let written = serde_json::to_vec_pretty(self).map_err(io::Error::from).and_then(|mut text| {
            text.push(b'\n');
            files::replace(path.clone(), &text, Access { mode: 0o644, owner: None })
        });
        written.map_err(|error| files::failed("write", &path, &error))
    }

    /// Whether this instance may use it.
    ///
    /// # Errors
    /// [`ANOTHER_BOX`] if another instance did: the request was baked into the image.
    pub(super) fn check(&self, instance_id: &str) -> Result<(), Cause> {
        match &self.instance {
            Some(other) if other != instance_id => Err(Cause::config(
                ANOTHER_BOX,
                format!(
                    "This image was created from another instance, {other}, which booted {}.",
                    self.source
                ),
                "Clean the image before it ships: agent bake --clean",
            )),
            _ => Ok(()),
        }
    }

    /// Records that this instance uses it. If it cannot be written or removed, that is a warning: whatever is wrong
    /// with the disk, the group must be notified first.
    ///
    /// # Errors
    /// [`ANOTHER_BOX`]; the request is then removed.
    pub(super) fn claim(&self, run: &Run, instance_id: &str) -> Result<(), Cause> {
        let checked = self.check(instance_id);
        let noted = match (&checked, &self.instance) {
            (Err(_), _) => {
                let path = run.root.path(ORDER_FILE);
                fs::remove_file(&path).map_err(|error| files::failed("remove", &path, &error))
            }
            (Ok(()), None) => {
                Order { instance: Some(instance_id.to_owned()), ..self.clone() }.write(&run.root)
            }
            (Ok(()), Some(_)) => Ok(()),
        };
        if let Err(cause) = noted {
            run.warn(None, cause);
        }
        checked
    }

    /// Whether `other` requests the same boot.
    pub(super) fn is_same(&self, other: &Order) -> bool {
        Order { instance: None, ..self.clone() } == Order { instance: None, ..other.clone() }
    }

    /// The instance that booted with it.
    pub(super) fn instance(&self) -> Option<&str> {
        self.instance.as_deref()
    }
}

/// Whether the cause is that an order cannot be read.
pub(super) fn is_of(cause: &Cause) -> bool {
    cause.kind == Kind::OrderUnreadable
}

/// What the command line and, where it names no source, the order set.
pub(crate) fn flags(given: &cli::Boot, order: Option<&Order>) -> Fragment {
    let flags = [("on_failure", &given.on_failure), ("deadline", &given.deadline)];
    let flags = flags.into_iter().filter_map(|(key, value)| Some((key, value.clone()?)));
    Fragment::from_flags(order.into_iter().flat_map(Order::settings).chain(flags))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::secret::Secrets;

    fn order(instance: Option<&str>) -> Order {
        Order {
            version: 1,
            source: "s3://ha-bucket/services-box".into(),
            on_failure: Some("hold".into()),
            deadline: None,
            instance: instance.map(str::to_owned),
        }
    }

    fn run(root: Root) -> Run {
        let settings = crate::settings::load(
            &root,
            None,
            std::iter::empty(),
            Fragment::from_flags([]),
            &Secrets::default(),
        )
        .unwrap();
        let http = crate::http::Http::new(root.clone());
        let verbosity = crate::console::Verbosity::Quiet;
        let console = crate::console::Console::of_this_process(verbosity, false, Secrets::default());
        let record = crate::record::Record::begin(String::new(), None);
        Run::new(root, settings, console, http, Secrets::default(), false, record)
    }

    #[test]
    fn the_first_instance_that_boots_by_an_order_keeps_it() {
        let directory = tempfile::tempdir().unwrap();
        let run = run(Root::new(directory.path()));
        assert_eq!(Order::read(&run.root).unwrap(), None);
        order(None).claim(&run, "i-1").unwrap();
        let claimed = Order::read(&run.root).unwrap().unwrap();
        assert_eq!(claimed, order(Some("i-1")));
        claimed.claim(&run, "i-1").unwrap();
        assert_eq!(claimed.claim(&run, "i-2").unwrap_err().kind, ANOTHER_BOX);
        assert_eq!(Order::read(&run.root).unwrap(), None);
        // Already gone, or not removable: it belongs to another instance either way.
        assert_eq!(claimed.claim(&run, "i-2").unwrap_err().kind, ANOTHER_BOX);
        assert!(claimed.is_same(&order(None)));
    }

    #[test]
    fn an_order_that_is_torn_is_said_and_not_taken_for_none() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::new(directory.path());
        order(None).write(&root).unwrap();
        fs::write(root.path(ORDER_FILE), "{\"version\": 1, \"sou").unwrap();
        assert_eq!(Order::read(&root).unwrap_err().kind, Kind::OrderUnreadable);
    }
}
