//! What a stand-in was asked, in order, so that tests can assert on it.

use std::fs::File;
use std::io::{self, Write};
use std::ops::Deref;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::server::lock;

/// How often [`Recorder::wait_for`] looks.
const LOOK: Duration = Duration::from_millis(5);

/// One call and when it came.
#[derive(Clone, Debug, Serialize)]
pub struct Recorded<T> {
    /// Since the stand-in's start, on the monotonic clock: intervals between calls are differences of these.
    #[serde(serialize_with = "seconds")]
    pub at: Duration,
    /// The wall clock, to compare with another program's log.
    pub time: Timestamp,
    /// What was asked and answered.
    #[serde(flatten)]
    pub call: T,
}

impl<T> Deref for Recorded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.call
    }
}

fn seconds<S: Serializer>(at: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(at.as_secs_f64())
}

/// Keeps the calls in memory and, where a file is given, as JSON lines in it.
#[derive(Debug)]
pub(crate) struct Recorder<T> {
    start: Instant,
    kept: Mutex<Kept<T>>,
}

#[derive(Debug)]
struct Kept<T> {
    calls: Vec<Recorded<T>>,
    file: Option<File>,
}

impl<T: Clone + Serialize> Recorder<T> {
    pub(crate) fn new(file: Option<&Path>) -> io::Result<Self> {
        let file = file.map(|path| File::options().create(true).append(true).open(path)).transpose()?;
        Ok(Self { start: Instant::now(), kept: Mutex::new(Kept { calls: Vec::new(), file }) })
    }

    pub(crate) fn add(&self, call: T) {
        let recorded = Recorded { at: self.start.elapsed(), time: Timestamp::now(), call };
        let mut kept = lock(&self.kept);
        if let (Some(file), Ok(mut line)) = (&mut kept.file, serde_json::to_vec(&recorded)) {
            line.push(b'\n');
            // One write for one line, so that a reader never sees half of it.
            if let Err(error) = file.write_all(&line) {
                eprintln!("stand-in: cannot record: {error}");
            }
        }
        kept.calls.push(recorded);
    }

    pub(crate) fn calls(&self) -> Vec<Recorded<T>> {
        lock(&self.kept).calls.clone()
    }

    pub(crate) fn clear(&self) {
        lock(&self.kept).calls.clear();
    }

    /// Waits until the calls satisfy the question; false when the deadline passed first.
    pub(crate) fn wait_for(&self, deadline: Duration, question: impl Fn(&[Recorded<T>]) -> bool) -> bool {
        let end = Instant::now() + deadline;
        loop {
            if question(&lock(&self.kept).calls) {
                return true;
            }
            if Instant::now() >= end {
                return false;
            }
            std::thread::sleep(LOOK);
        }
    }
}
