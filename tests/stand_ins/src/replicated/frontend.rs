//! The app's container `frontend`: a health URL that follows the timeline, and a log.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use super::Script;
use super::timeline::Health;

const HEALTH_PATH: &str = "/health-check";

/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often the log file is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// What the app says when a test gives no other words.
const LOG: &str = "\
Nov 22 10:00:01.112 +0000 INFO  circle.init: starting circleci-frontend 2.18.3
Nov 22 10:00:01.540 +0000 INFO  circle.config: loaded configuration from /etc/circle-installation-customizations
Nov 22 10:00:02.871 +0000 INFO  circle.db.mongo: connected to circle_ghe
Nov 22 10:00:03.004 +0000 INFO  circle.db.postgres: connected to circle
Nov 22 10:00:03.377 +0000 INFO  circle.http: listening on port 80
";

/// Serves for ever on the port of the file `port` (80 without it), and prints the file `frontend.log` as it grows.
///
/// # Errors
/// When the port cannot be had, or stdout is gone.
pub fn run(script: &Script) -> io::Result<()> {
    let port = script.text("port").and_then(|text| text.trim().parse().ok()).unwrap_or(80);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    let served = script.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let script = served.clone();
            // A client that hangs must not keep others from an answer.
            std::thread::spawn(move || {
                if let Err(error) = serve(&script, stream) {
                    eprintln!("stand-in: {error}");
                }
            });
        }
    });
    print_log(script)
}

fn print_log(script: &Script) -> io::Result<()> {
    let mut printed = 0;
    loop {
        let log = script.text("frontend.log").unwrap_or_else(|| LOG.to_owned());
        // A log that a test replaced begins anew.
        let new = log.get(printed..).unwrap_or(&log);
        if !new.is_empty() {
            io::stdout().write_all(new.as_bytes())?;
            io::stdout().flush()?;
        }
        printed = log.len();
        std::thread::sleep(LOOK);
    }
}

fn serve(script: &Script, mut stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = request.split(' ').nth(1).unwrap_or_default();
    let health = match path.split('?').next() {
        Some(HEALTH_PATH) => script.now()?.map_or(Health::Closed, |moment| moment.health),
        _ => Health::Status(404),
    };
    match health {
        Health::Status(status) => {
            write!(stream, "HTTP/1.1 {status} \r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        }
        Health::Closed => Ok(()),
        Health::Silent => loop {
            std::thread::park();
        },
    }
}
