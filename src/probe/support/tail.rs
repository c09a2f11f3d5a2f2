//! The end of something long.

use std::collections::VecDeque;

/// Keeps the last bytes written to it, in whole lines: half a line could be half a secret, which the scrubber does not
/// know.
#[derive(Debug)]
pub(super) struct Tail {
    kept: VecDeque<u8>,
    limit: usize,
    is_cut: bool,
}

impl Tail {
    pub(super) fn new(limit: usize) -> Self {
        Tail { kept: VecDeque::new(), limit, is_cut: false }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.kept.extend(bytes);
        if self.kept.len() > self.limit {
            self.kept.drain(..self.kept.len() - self.limit);
            self.is_cut = true;
        }
    }

    /// What came first is not here: something before it was left out by whoever writes.
    pub(super) fn began_late(&mut self) {
        self.is_cut = true;
    }

    pub(super) fn lines(&self) -> usize {
        self.kept.iter().filter(|byte| **byte == b'\n').count()
    }

    /// The text, and whether something before it was left out.
    pub(super) fn finish(mut self) -> (String, bool) {
        let whole = self.kept.make_contiguous();
        let start = match whole.iter().position(|byte| *byte == b'\n') {
            Some(end) if self.is_cut => end + 1,
            None if self.is_cut => whole.len(),
            _ => 0,
        };
        (String::from_utf8_lossy(&whole[start..]).into_owned(), self.is_cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_begins_with_a_whole_line() {
        let mut tail = Tail::new(12);
        tail.push(b"half-a-secret\none\ntwo");
        assert_eq!(tail.finish(), ("one\ntwo".to_owned(), true));
        let mut tail = Tail::new(4);
        tail.push(b"one line without an end");
        assert_eq!(tail.finish(), (String::new(), true));
        let mut tail = Tail::new(100);
        tail.push(b"all of it\n");
        assert_eq!(tail.finish(), ("all of it\n".to_owned(), false));
    }
}
