//! Formats text for the terminal: wraps at its width between words, and uses ASCII signs outside UTF-8 locales.
//!
//! Output to a pipe or a file is not wrapped, so that `grep` finds a sentence on one line.

use std::io::IsTerminal;

use terminal_size::{Height, Width, terminal_size_of};

use super::window::window;

/// Marks where the text of a line begins: its continuation lines are indented to this column. Never printed.
pub const HANG: char = '\u{1f}';

/// Stands at the start of a line that is never wrapped, such as a command to copy. Never printed.
pub const VERBATIM: char = '\u{1e}';

/// The minimum width for text after [`HANG`]; with less, the text begins on its own line.
const LEAST_ROOM: usize = 20;

/// The indentation of text on its own line.
const INDENT: usize = 4;

/// The minimum width assumed for a terminal.
const NARROWEST: usize = 20;

/// The width assumed for a terminal that reports none.
const USUAL_WIDTH: usize = 80;

/// Units, which stay with the number before them.
const UNITS: &[&str] =
    &["ms", "s", "min", "h", "days", "B", "kB", "KB", "MB", "GB", "KiB", "MiB", "GiB", "TiB", "%", "UTC"];

/// The signs and their ASCII replacements.
const SIGNS: &[(char, &str)] = &[
    ('✓', "+"),
    ('✗', "x"),
    ('–', "-"),
    ('—', "-"),
    ('━', "="),
    ('╌', "-"),
    ('←', "<-"),
    ('→', "->"),
    ('·', "-"),
    ('│', "|"),
    ('└', "`"),
    ('─', "-"),
];

/// The output device of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Screen {
    /// Columns; `None` for what is no terminal.
    width: Option<usize>,
    has_unicode: bool,
    has_colour: bool,
}

impl Screen {
    /// Standard output's.
    pub fn stdout() -> Self {
        Screen::of(&std::io::stdout())
    }

    /// Standard error's.
    pub fn stderr() -> Self {
        Screen::of(&std::io::stderr())
    }

    fn of<S: IsTerminal + std::os::fd::AsFd>(stream: &S) -> Self {
        let is_terminal = stream.is_terminal();
        let size = if is_terminal { terminal_size_of(stream) } else { None };
        let columns = size.map(|(Width(columns), Height(_))| usize::from(columns));
        // For a terminal that reports no size, such as a serial console, use the environment, or the classic width.
        let columns = columns.or_else(|| is_terminal.then(columns_of_environment));
        Screen {
            width: columns.map(|columns| columns.max(NARROWEST)),
            has_unicode: is_utf8(),
            has_colour: true,
        }
    }

    /// For a file.
    pub fn file() -> Self {
        Screen { width: None, has_unicode: true, has_colour: false }
    }

    /// Its columns; `None` for what is no terminal, and for one that does not say.
    pub fn width(self) -> Option<usize> {
        self.width
    }

    /// Whether it shows more than ASCII.
    pub fn has_unicode(self) -> bool {
        self.has_unicode
    }

    /// The text as it is to be printed.
    pub fn show(self, text: &str) -> String {
        let text = if self.has_unicode { text.to_owned() } else { in_ascii(text) };
        let mut shown = String::with_capacity(text.len());
        for line in text.split_inclusive('\n') {
            let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
            match self.width {
                Some(width) if needs_wrapping(line, width) => wrap(line, width, &mut shown),
                _ => shown.extend(line.chars().filter(|character| !is_mark(*character))),
            }
            shown.push_str(end);
        }
        if self.has_colour { shown } else { without_colour(&shown) }
    }

    /// A line of a file, with its number and a caret below the character at `column` (counted from 1): as much of it as
    /// fits beside that.
    pub fn excerpt(self, number: usize, line: &str, column: usize) -> String {
        let gutter = format!("{number:>5} | ");
        let room = self.width.unwrap_or(USUAL_WIDTH).saturating_sub(gutter.len()).max(1);
        let mark = if self.has_unicode { '…' } else { '~' };
        // Each character takes one column, so that the caret stays below its own.
        let line: Vec<char> = line
            .trim_end()
            .chars()
            .map(|character| match SIGNS.iter().find(|(sign, _)| *sign == character) {
                _ if self.has_unicode => character,
                Some((_, ascii)) => ascii.chars().next().unwrap_or(' '),
                None if character == '…' => '~',
                None => character,
            })
            .collect();
        let shown = window(&line, column.saturating_sub(1), room, 1);
        let before = if shown.start > 0 { mark.to_string() } else { String::new() };
        let after = if shown.end < line.len() { mark.to_string() } else { String::new() };
        let place = gutter.len() + before.chars().count() + (column - 1).saturating_sub(shown.start);
        let part: String = line.get(shown).unwrap_or_default().iter().collect();
        format!("{gutter}{before}{part}{after}\n{}^\n", " ".repeat(place))
    }

    /// One line of at most `room` columns; what is left out is left out from a word's end on.
    pub fn elide(self, text: &str, room: usize) -> String {
        if width_of(text) <= room {
            return text.to_owned();
        }
        let more = if self.has_unicode { " …" } else { " ..." };
        let mut short = String::new();
        for word in words(text) {
            if width_of(&short) + width_of(&word) + width_of(more) > room {
                break;
            }
            if !short.is_empty() {
                short.push(' ');
            }
            short.push_str(&word);
        }
        short + more
    }
}

fn columns_of_environment() -> usize {
    let set = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    set.filter(|columns| *columns > 0).unwrap_or(USUAL_WIDTH)
}

/// Whether the locale of this process is one of UTF-8 (locale(7)); without any it is `C`, which is ASCII.
fn is_utf8() -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(std::env::var_os);
    let locale = set.map(|value| value.to_string_lossy().to_lowercase()).find(|value| !value.is_empty());
    locale.is_some_and(|locale| {
        locale.ends_with("utf-8") || locale.ends_with("utf8") || locale.contains("utf-8@")
    })
}

fn in_ascii(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut is_at_start = true;
    for character in text.chars() {
        match SIGNS.iter().find(|(sign, _)| *sign == character) {
            Some((_, ascii)) => shown.push_str(ascii),
            // A sign before a line is one column wide.
            None if character == '…' => shown.push_str(if is_at_start { "~" } else { "..." }),
            None => shown.push(character),
        }
        is_at_start = character == '\n' || (is_at_start && character == ' ');
    }
    shown
}

/// Excerpts of files are not wrapped, since carets below them point at columns: `  12 | export X=…`.
fn is_excerpt(line: &str) -> bool {
    line.trim_start()
        .trim_start_matches(|character: char| character.is_ascii_digit())
        .trim_start()
        .starts_with(['|', '^'])
}

fn is_mark(character: char) -> bool {
    matches!(character, HANG | VERBATIM)
}

fn needs_wrapping(line: &str, width: usize) -> bool {
    width_of(line) > width && !is_excerpt(line) && !line.contains(VERBATIM)
}

fn wrap(line: &str, width: usize, shown: &mut String) {
    let indent = line.len() - line.trim_start_matches(' ').len();
    let (lead, text) = line.split_once(HANG).unwrap_or(line.split_at(indent));
    let mut hang = width_of(lead);
    if width.saturating_sub(hang) >= LEAST_ROOM {
        shown.push_str(lead);
    } else {
        hang = (indent + INDENT).min(width - LEAST_ROOM / 2);
        shown.push_str(lead.trim_end());
        shown.push('\n');
        shown.extend(std::iter::repeat_n(' ', hang));
    }
    let (mut column, mut is_at_start) = (hang, true);
    for word in words(text) {
        let wide = width_of(&word);
        if !is_at_start && column + 1 + wide > width {
            shown.truncate(shown.trim_end_matches(' ').len());
            shown.push('\n');
            shown.extend(std::iter::repeat_n(' ', hang));
            (column, is_at_start) = (hang, true);
        }
        if !is_at_start {
            shown.push(' ');
            column += 1;
        }
        shown.extend(word.chars().filter(|character| *character != HANG));
        column += wide;
        is_at_start = false;
    }
}

/// The words of a text, a number together with its unit. Several blanks in a row are empty words between.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let unit = word.trim_end_matches(|end: char| !end.is_alphanumeric() && end != '%');
        match words.last_mut() {
            Some(number) if UNITS.contains(&unit) && number.ends_with(|end: char| end.is_ascii_digit()) => {
                number.push(' ');
                number.push_str(word);
            }
            _ => words.push(word.to_owned()),
        }
    }
    words
}

fn without_colour(text: &str) -> String {
    let mut pieces = text.split("\x1b[");
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |plain, piece| plain + piece.split_once('m').map_or(piece, |(_, rest)| rest))
}

/// Columns, each character taken for one; colours have none.
fn width_of(text: &str) -> usize {
    let (mut width, mut is_escape) = (0, false);
    for character in text.chars() {
        match character {
            '\x1b' => is_escape = true,
            'm' if is_escape => is_escape = false,
            _ if is_mark(character) => {}
            _ if is_escape => {}
            _ => width += 1,
        }
    }
    width
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn screen(width: usize) -> Screen {
        Screen { width: Some(width), has_unicode: true, has_colour: true }
    }

    #[test]
    fn further_lines_stand_below_the_text() {
        let shown = screen(40).show("✗ \u{1f}The database did not answer within 10 s of asking.\n");
        assert_eq!(shown, "✗ The database did not answer within\n  10 s of asking.\n");
    }

    #[test]
    fn text_with_too_little_room_begins_on_a_line_of_its_own() {
        let shown = screen(40).show("✓ databases    1.2 s  ━━━━━━ \u{1f}mongodb.main answers\nnext\n");
        assert_eq!(shown, "✓ databases    1.2 s  ━━━━━━\n    mongodb.main answers\nnext\n");
    }

    #[test]
    fn a_number_keeps_its_unit_and_an_excerpt_its_columns() {
        let shown = screen(20).show("waited for 2 h 17 min, 5 s");
        assert_eq!(shown, "waited for 2 h\n17 min, 5 s");
        let excerpt = "   12 | export CIRCLE_SECRETS_POSTGRES_MAIN_URI=postgres://circle@db\n";
        assert_eq!(screen(40).show(excerpt), excerpt);
    }

    #[test]
    fn a_verbatim_line_is_never_wrapped() {
        let command = format!("{VERBATIM}    openssl s_client -connect db.example.com:5432\n");
        assert_eq!(screen(20).show(&command), command.replace(VERBATIM, ""));
    }

    #[test]
    fn an_excerpt_is_cut_to_the_width_and_its_caret_stays_below_the_place() {
        let line =
            "export CIRCLE_SECRETS_POSTGRES_MAIN_URI=postgres://circle@db.internal:5432/circle & # → x";
        for width in [24, 40, 60, 80, 200] {
            for has_unicode in [true, false] {
                let screen = Screen { width: Some(width), has_unicode, has_colour: true };
                let shown = screen.show(&screen.excerpt(12, line, 83));
                let (excerpt, caret) = shown.trim_end().split_once('\n').unwrap_or_default();
                assert!(excerpt.chars().count() <= width && caret.len() <= width, "{width}: {shown}");
                assert_eq!(excerpt.chars().nth(caret.len() - 1), Some('&'), "{width}: {shown}");
                assert_eq!(excerpt.is_ascii(), !has_unicode, "{width}: {shown}");
            }
        }
    }

    #[test]
    fn a_pipe_gets_whole_lines() {
        let pipe = Screen { width: None, has_unicode: false, has_colour: false };
        let line = "✓ \u{1f}".to_owned() + &"word ".repeat(100) + "→ … end\n";
        assert_eq!(pipe.show(&line), "+ ".to_owned() + &"word ".repeat(100) + "-> ... end\n");
    }

    #[test]
    fn what_is_elided_ends_with_a_word() {
        assert_eq!(
            screen(80).elide("pulling 127.0.0.1:5000/frontend: layers 3 of 12", 36),
            "pulling 127.0.0.1:5000/frontend: …"
        );
        assert_eq!(screen(80).elide("short", 36), "short");
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_cut(lead in "[ a-z]{0,30}", text in "[a-z0-9 ]{0,200}", width in 20usize..120) {
            let shown = screen(width).show(&format!("{lead} {HANG}{text}"));
            let plain = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            prop_assert_eq!(plain(&shown), plain(&format!("{lead} {text}")));
        }

        #[test]
        fn no_line_is_wider_unless_one_word_is(text in "([a-z]{1,12} ){1,40}", width in 20usize..120) {
            for line in screen(width).show(&format!("  - {HANG}{text}")).lines() {
                prop_assert!(width_of(line) <= width, "{line:?}");
            }
        }
    }
}
