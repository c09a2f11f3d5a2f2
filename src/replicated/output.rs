//! What a child process prints, in lines, and never more than a reader or a journal can take. Its secrets are still in it:
//! it is scrubbed where it is shown.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::secret::Secrets;

/// How many of the last lines are kept for the report.
const KEPT: usize = 50;

/// The longest line that is passed on, in bytes. What follows on the same line is dropped.
const LONGEST_LINE: usize = 8 * 1024;

/// How much of a line is held to see whether a secret ends beyond [`LONGEST_LINE`], in bytes.
const HELD: usize = LONGEST_LINE + 4096;

/// How many lines are passed on per [`WINDOW`]. journald by itself drops what exceeds 10,000 messages in 30 seconds, and
/// with them the agent's own.
const PASSED_ON: usize = 200;

const WINDOW: Duration = Duration::from_secs(1);

/// Takes bytes in whatever pieces they come, and passes on lines.
pub(super) struct Lines<'a> {
    on_line: &'a mut (dyn FnMut(&str) + Send),
    secrets: Secrets,
    held: Vec<u8>,
    /// A line that ends in what may be the beginning of a secret, until the next one is there.
    open: Option<String>,
    skipping: bool,
    last: VecDeque<String>,
    window: Instant,
    passed_on: usize,
    left_out: u64,
}

impl<'a> Lines<'a> {
    pub(super) fn new(secrets: Secrets, on_line: &'a mut (dyn FnMut(&str) + Send)) -> Self {
        Lines {
            on_line,
            secrets,
            open: None,
            held: Vec::new(),
            skipping: false,
            last: VecDeque::with_capacity(KEPT),
            window: Instant::now(),
            passed_on: 0,
            left_out: 0,
        }
    }

    /// Takes the next bytes. A carriage return ends a line as well: that is how progress meters rewrite theirs.
    pub(super) fn take(&mut self, mut bytes: &[u8]) {
        self.turn_window();
        while let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            self.extend(&bytes[..end]);
            self.end_line();
            bytes = &bytes[end + 1..];
        }
        self.extend(bytes);
    }

    /// Passes on an unfinished line, and gives the last lines.
    pub(super) fn finish(&mut self) -> Vec<String> {
        self.end_line();
        if let Some(line) = self.open.take() {
            self.pass_on(line);
        }
        self.tell_left_out();
        self.last.drain(..).collect()
    }

    fn extend(&mut self, bytes: &[u8]) {
        if self.skipping {
            return;
        }
        let room = HELD - self.held.len();
        self.held.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if bytes.len() > room {
            self.end_line();
            self.skipping = true;
        }
    }

    fn end_line(&mut self) {
        self.skipping = false;
        let line = printable(&String::from_utf8_lossy(&self.held));
        self.held.clear();
        if line.is_empty() {
            return;
        }
        let line = if line.len() > LONGEST_LINE { self.cut(&line) } else { line };
        let lines = match self.open.take() {
            None => line,
            // What both have in common goes from both, where it stands as one.
            Some(open) => {
                let both = format!("{open}\n{line}");
                if self.secrets.places(&both).iter().any(|place| place.contains(&open.len())) {
                    self.secrets.scrub(&both).into_owned()
                } else {
                    self.pass_on(open);
                    line
                }
            }
        };
        if self.secrets.may_go_on_after(&lines) {
            self.open = Some(lines);
        } else {
            lines.lines().for_each(|line| self.pass_on(line.to_owned()));
        }
    }

    /// The beginning of a long line. It is scrubbed first: its end may be the beginning of a secret.
    fn cut(&self, line: &str) -> String {
        let clean = self.secrets.scrub(line);
        let end = (0..=LONGEST_LINE.min(clean.len())).rev().find(|end| clean.is_char_boundary(*end));
        format!("{} … (line cut)", &clean[..end.unwrap_or(0)])
    }

    fn pass_on(&mut self, line: String) {
        if self.passed_on < PASSED_ON {
            self.passed_on += 1;
            (self.on_line)(&line);
        } else {
            self.left_out += 1;
        }
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    fn turn_window(&mut self) {
        if self.window.elapsed() >= WINDOW {
            self.window = Instant::now();
            self.passed_on = 0;
            self.tell_left_out();
        }
    }

    fn tell_left_out(&mut self) {
        if self.left_out > 0 {
            let count = grouped(std::mem::take(&mut self.left_out));
            (self.on_line)(&format!("… {count} lines left out"));
        }
    }
}

/// Without colours, cursor movements and other control characters, and without blanks at the end.
fn printable(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' => {
                // A control sequence ends with its first letter or ~; any other escape is one character long.
                if rest.next() == Some('[') {
                    let _ = rest.by_ref().find(|c| ('@'..='~').contains(c));
                }
            }
            '\t' => shown.push('\t'),
            c if c.is_control() => {}
            c => shown.push(c),
        }
    }
    shown.truncate(shown.trim_end().len());
    shown
}

fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (nth, digit) in digits.chars().enumerate() {
        if nth > 0 && (digits.len() - nth).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::secret::REDACTED;
    use proptest::prelude::*;

    fn shown(pieces: &[&[u8]]) -> (Vec<String>, Vec<String>) {
        let mut passed = Vec::new();
        let mut on_line = |line: &str| passed.push(line.to_owned());
        let secrets = Secrets::default();
        secrets.register_all(["cut-line-canary", "line-break-canary"]);
        let mut lines = Lines::new(secrets, &mut on_line);
        for piece in pieces {
            lines.take(piece);
        }
        let last = lines.finish();
        (passed, last)
    }

    #[test]
    fn lines_come_whole_and_plain_however_they_are_written() {
        let (passed, last) =
            shown(&[b"Deter", b"mining\n\n\x1b[0;31mred\x1b[0m\t!  \r\n", b"10%\r20%\rEnter: "]);
        assert_eq!(passed, ["Determining", "red\t!", "10%", "20%", "Enter:"]);
        assert_eq!(last, passed);
    }

    #[test]
    fn an_endless_line_is_cut_without_cutting_a_secret() {
        // Of an odd length, so that the limit falls inside a secret.
        let piece = b"xycut-line-canary".repeat(3000);
        let (passed, last) = shown(&[&piece, &piece, b"\nnext\n"]);
        assert_eq!(passed.len(), 2);
        assert!(passed[0].ends_with("(line cut)") && passed[0].len() < 2 * LONGEST_LINE);
        assert_eq!(passed[1], "next");
        assert!(!format!("{passed:?}{last:?}").contains("cut-"));
    }

    #[test]
    fn a_secret_that_is_split_over_two_lines_is_seen_whole() {
        let (passed, last) = shown(&[b"a line-br\neak-canary b\nand line-br\nother\nends in line-br"]);
        assert_eq!(passed, [format!("a {REDACTED} b").as_str(), "and line-br", "other", "ends in line-br"]);
        assert_eq!(last, passed);
    }

    #[test]
    fn a_flood_is_counted_and_its_end_is_kept() {
        let flood: Vec<u8> = (0..100_000).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
        let (passed, last) = shown(&flood.chunks(64 * 1024).collect::<Vec<_>>());
        assert!(passed.len() < 2000, "{}", passed.len());
        assert!(passed.last().unwrap().ends_with("lines left out"), "{:?}", passed.last());
        assert_eq!(last.len(), KEPT);
        assert_eq!(last[KEPT - 1], "line 99999");
    }

    #[test]
    fn large_counts_are_readable() {
        assert_eq!(
            [7, 999, 1000, 12_345, 1_234_567].map(grouped),
            ["7", "999", "1,000", "12,345", "1,234,567"]
        );
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..3000), 0..8)) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let (passed, last) = shown(&pieces);
            prop_assert!(last.len() <= KEPT);
            prop_assert!(passed.iter().all(|line| !line.contains(char::is_control) || line.contains('\t')));
        }
    }
}
