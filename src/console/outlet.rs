//! The output thread: emitting an event never blocks on a reader.
//!
//! An unread pipe, a stopped terminal and a stuck journal block writes for ever. They may block this thread; once the
//! queue is full, events are dropped and counted.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use super::event::{Event, Level, Renderer};

/// How many events wait to be written at most.
const QUEUE: usize = 512;

/// The sending end. Clones share the thread, which ends when the last of them is gone.
#[derive(Clone)]
pub(super) struct Outlet {
    queue: SyncSender<Job>,
    dropped: Arc<AtomicU64>,
}

enum Job {
    Show(Event),
    Flush(SyncSender<()>),
}

impl Outlet {
    /// Starts the thread, which shows each event in all of `renderers`; `None` when the system starts no more threads.
    pub(super) fn start(renderers: Vec<Box<dyn Renderer>>) -> Option<Self> {
        let (queue, jobs) = sync_channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let lost = dropped.clone();
        let writing = move || write(&renderers, &jobs, &lost);
        thread::Builder::new().name("output".to_owned()).spawn(writing).ok()?;
        Some(Outlet { queue, dropped })
    }

    /// Has an event written, or drops it.
    pub(super) fn show(&self, event: Event) {
        if self.queue.try_send(Job::Show(event)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until what was said is written, or `limit` has passed.
    pub(super) fn flush(&self, limit: Duration) {
        let (done, written) = sync_channel(1);
        if self.queue.try_send(Job::Flush(done)).is_ok() {
            // Either way there is nothing more to do about it.
            let _ = written.recv_timeout(limit);
        }
    }
}

fn write(renderers: &[Box<dyn Renderer>], jobs: &Receiver<Job>, dropped: &AtomicU64) {
    let show = |event: &Event| renderers.iter().for_each(|renderer| renderer.show(event));
    for job in jobs {
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let text = format!("{lost} messages were dropped: nobody was reading the output");
            show(&Event::Note { stage: None, level: Level::Warning, text, cause: None });
        }
        match job {
            Job::Show(event) => show(&event),
            // Whoever asked may have stopped waiting.
            Job::Flush(done) => drop(done.try_send(())),
        }
    }
}

/// Writes `text` to `stream` and waits for that at most `limit`, after which the writing thread is left to itself.
///
/// # Errors
/// Those of writing; [`std::io::ErrorKind::TimedOut`].
pub fn write_within(
    mut stream: impl Write + Send + 'static,
    text: String,
    limit: Duration,
) -> std::io::Result<()> {
    let (done, written) = sync_channel(1);
    let writing = move || {
        // Whoever asked may have stopped waiting.
        let _ = done.try_send(stream.write_all(text.as_bytes()).and_then(|()| stream.flush()));
    };
    thread::Builder::new().name("output".to_owned()).spawn(writing)?;
    written.recv_timeout(limit).unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Shows nothing until the test lets go of the lock.
    struct Stuck(Arc<Mutex<Vec<String>>>);

    impl Renderer for Stuck {
        fn show(&self, event: &Event) {
            if let Event::Note { text, .. } = event {
                self.0.lock().unwrap().push(text.clone());
            }
        }
    }

    fn note(text: &str) -> Event {
        Event::Note { stage: None, level: Level::Info, text: text.to_owned(), cause: None }
    }

    #[test]
    fn a_stuck_reader_stops_nobody_and_learns_how_much_it_missed() {
        let shown = Arc::new(Mutex::new(Vec::new()));
        let outlet = Outlet::start(vec![Box::new(Stuck(shown.clone()))]).unwrap();
        let stuck = shown.lock().unwrap();
        for _ in 0..QUEUE + 100 {
            outlet.show(note("said"));
        }
        outlet.flush(Duration::from_millis(1));
        drop(stuck);
        // The queue was full, so a flush is only taken once there is room again.
        while !shown.lock().unwrap().iter().any(|text| text.contains("were dropped")) {
            outlet.flush(Duration::from_secs(1));
            outlet.show(note("later"));
        }
        let shown = shown.lock().unwrap();
        let dropped = shown.iter().find(|text| text.contains("were dropped")).unwrap();
        let count: usize = dropped.split(' ').next().unwrap().parse().unwrap();
        assert!(count >= 99, "{dropped}");
    }
}
