//! Cuts shell text into words and operators as bash does, without expanding anything.

use std::ops::Range;

use super::parser::{Parser, Terminator};
use super::value::{Barrier, Construct};

/// How deep `$( … )` and `" … "` are followed into each other.
const DEEPEST: usize = 16;

/// A piece of a word.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum WordPart {
    /// One character that stands for itself; `quoted` if quotes or a backslash took away what it might mean.
    Char { c: char, at: usize, quoted: bool },
    /// `""` or `''`: nothing, and yet a word.
    Empty,
    /// `$NAME` or `${NAME}`.
    Variable { name: String, at: usize, quoted: bool },
    /// An expansion whose value is not known but that leaves everything else as it was.
    Opaque { what: Construct, at: usize },
    /// `${NAME:=…}`: not known, and may set the variable.
    Assigns { name: String, at: usize },
}

/// A word: what stands between blanks and operators.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Word {
    pub(super) at: usize,
    pub(super) pieces: Vec<WordPart>,
}

impl Word {
    /// Whether this is nothing but a `\` at the very end of the text. Bash takes it for a word or for nothing, depending on
    /// what stands on the lines before it.
    pub(super) fn is_final_backslash(&self) -> bool {
        matches!(self.pieces.as_slice(), [WordPart::Opaque { what: Construct::FinalBackslash, .. }])
    }

    /// The text of a word without any expansion or quoting.
    pub(super) fn plain(&self) -> Option<String> {
        self.pieces
            .iter()
            .map(|piece| match piece {
                WordPart::Char { c, quoted: false, .. } => Some(*c),
                _ => None,
            })
            .collect()
    }

    /// The text of a word that means itself, quoted or not: without expansions, patterns, braces and tildes.
    pub(super) fn literal(&self) -> Option<String> {
        self.pieces
            .iter()
            .filter(|piece| **piece != WordPart::Empty)
            .map(|piece| match piece {
                WordPart::Char { c, quoted: true, .. } => Some(*c),
                WordPart::Char { c, quoted: false, .. } if !"*?[{~".contains(*c) => Some(*c),
                _ => None,
            })
            .collect()
    }
}

/// The text, and how far it has been read. A `\` at the end of a line joins it with the next, outside single quotes.
pub(super) struct Lexer<'t> {
    pub(super) text: &'t str,
    pub(super) at: usize,
    /// Where comments are, so that other looks at the text can leave them out.
    pub(super) comments: Vec<Range<usize>>,
    depth: usize,
}

pub(super) fn is_name_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

pub(super) fn is_name_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(is_name_start) && text.chars().all(is_name_part)
}

/// Characters that end a word when they are not quoted.
pub(super) fn ends_word(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | ';' | '&' | '|' | '<' | '>' | '(' | ')')
}

impl<'t> Lexer<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Lexer { text, at: 0, comments: Vec::new(), depth: 0 }
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    /// The next character, line continuations passed over.
    pub(super) fn peek(&mut self) -> Option<char> {
        while self.rest().starts_with("\\\n") {
            self.at += 2;
        }
        self.rest().chars().next()
    }

    /// The next character as it stands.
    fn raw(&mut self) -> Option<char> {
        let c = self.rest().chars().next()?;
        self.at += c.len_utf8();
        Some(c)
    }

    pub(super) fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    /// Whether the operator of one byte at `at` has neither a blank nor a line break on either side.
    pub(super) fn is_glued(&self, at: usize) -> bool {
        let bytes = self.text.as_bytes();
        let solid = |byte: Option<&u8>| byte.is_some_and(|byte| !byte.is_ascii_whitespace());
        solid(at.checked_sub(1).and_then(|before| bytes.get(before))) && solid(bytes.get(at + 1))
    }

    pub(super) fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t')) {
            self.at += 1;
        }
        if self.peek() == Some('#') {
            let start = self.at;
            self.at += self.rest().find('\n').unwrap_or(self.rest().len());
            self.comments.push(start..self.at);
        }
    }

    /// Reads one word; `None` if an operator, a newline or the end comes next.
    pub(super) fn word(&mut self) -> Result<Option<Word>, Barrier> {
        if self.peek().is_none_or(ends_word) {
            return Ok(None);
        }
        let mut word = Word { at: self.at, pieces: Vec::new() };
        while let Some(c) = self.peek() {
            if ends_word(c) {
                break;
            }
            let at = self.at;
            self.raw();
            match c {
                '\'' => self.single_quoted(at, &mut word)?,
                '"' => self.double_quoted(at, &mut word)?,
                '\\' => match self.raw() {
                    Some(c) => self.char(&mut word, c, at, true)?,
                    // At the very end of the text bash keeps the backslash, as a part of a word at least.
                    None if word.pieces.is_empty() => {
                        word.pieces.push(WordPart::Opaque { what: Construct::FinalBackslash, at });
                    }
                    None => self.char(&mut word, '\\', at, true)?,
                },
                '$' => self.dollar(at, false, &mut word)?,
                '`' => self.backticks(at, &mut word)?,
                _ => self.char(&mut word, c, at, false)?,
            }
        }
        Ok(Some(word))
    }

    /// Adds a character, unless it is one that bash itself uses as a mark inside words.
    fn char(&self, word: &mut Word, c: char, at: usize, quoted: bool) -> Result<(), Barrier> {
        if matches!(c, '\0' | '\u{1}' | '\u{7f}') {
            return Err(Barrier::new(Construct::ControlCharacter, at));
        }
        word.pieces.push(WordPart::Char { c, at, quoted });
        Ok(())
    }

    fn single_quoted(&mut self, open: usize, word: &mut Word) -> Result<(), Barrier> {
        let start = word.pieces.len();
        loop {
            let at = self.at;
            match self.raw() {
                None => return Err(Barrier::syntax("an unclosed single quote", open)),
                Some('\'') => break,
                Some(c) => self.char(word, c, at, true)?,
            }
        }
        if word.pieces.len() == start {
            word.pieces.push(WordPart::Empty);
        }
        Ok(())
    }

    fn double_quoted(&mut self, open: usize, word: &mut Word) -> Result<(), Barrier> {
        let start = word.pieces.len();
        loop {
            let Some(c) = self.peek() else {
                return Err(Barrier::syntax("an unclosed double quote", open));
            };
            let at = self.at;
            self.raw();
            match c {
                '"' => break,
                '\\' => match self.rest().chars().next() {
                    Some(c @ ('$' | '`' | '"' | '\\')) => {
                        self.raw();
                        self.char(word, c, at, true)?;
                    }
                    _ => self.char(word, '\\', at, true)?,
                },
                '$' => self.dollar(at, true, word)?,
                '`' => self.backticks(at, word)?,
                _ => self.char(word, c, at, true)?,
            }
        }
        if word.pieces.len() == start {
            word.pieces.push(WordPart::Empty);
        }
        Ok(())
    }

    /// After a `$`.
    fn dollar(&mut self, at: usize, quoted: bool, word: &mut Word) -> Result<(), Barrier> {
        match self.peek() {
            Some(c) if is_name_start(c) => {
                let name = self.name();
                word.pieces.push(WordPart::Variable { name, at, quoted });
            }
            Some('{') => {
                self.raw();
                let piece = self.braces(at, quoted)?;
                word.pieces.push(piece);
            }
            Some('(') => {
                self.raw();
                let what = self.parentheses(at)?;
                word.pieces.push(WordPart::Opaque { what, at });
            }
            Some('\'') if !quoted => {
                self.raw();
                self.ansi_c_quoted(at)?;
                word.pieces.push(WordPart::Opaque { what: Construct::AnsiCQuotes, at });
            }
            Some('"') if !quoted => {
                self.raw();
                word.pieces.push(WordPart::Opaque { what: Construct::LocaleQuotes, at });
                self.double_quoted(at, word)?;
            }
            Some('[') => return Err(Barrier::new(Construct::Arithmetic, at)),
            Some('$') => {
                self.raw();
                word.pieces.push(WordPart::Opaque { what: Construct::ProcessId, at });
            }
            Some(c) if c.is_ascii_digit() || "@*#?-!".contains(c) => {
                self.raw();
                word.pieces.push(WordPart::Opaque { what: Construct::Parameter(c), at });
            }
            _ => self.char(word, '$', at, true)?,
        }
        Ok(())
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(c) = self.peek().filter(|c| is_name_part(*c)) {
            name.push(c);
            self.raw();
        }
        name
    }

    /// After `${`.
    fn braces(&mut self, at: usize, quoted: bool) -> Result<WordPart, Barrier> {
        let name = self.name();
        if name.is_empty() || !is_name(&name) {
            let length = if self.rest().starts_with('#') { 1 } else { 0 };
            self.at += length;
            let counted = self.name();
            if length == 1 && is_name(&counted) && self.eat('}') {
                return Ok(WordPart::Opaque { what: Construct::Expansion, at });
            }
            return Err(Barrier::new(Construct::Expansion, at));
        }
        if self.eat('}') {
            return Ok(WordPart::Variable { name, at, quoted });
        }
        let Some(end) = self.rest().find('}') else {
            return Err(Barrier::syntax("an unclosed ${", at));
        };
        let operation = &self.rest()[..end];
        self.at += end + 1;
        let assigns = operation.strip_prefix(":=").or_else(|| operation.strip_prefix('='));
        if assigns.is_some_and(is_tame) {
            return Ok(WordPart::Assigns { name, at });
        }
        let operand = [":-", ":+", "-", "+", "%%", "%", "##", "#", "^^", "^", ",,", ",", "//", "/"]
            .iter()
            .find_map(|operator| operation.strip_prefix(operator));
        match operand {
            Some(operand) if is_tame(operand) => Ok(WordPart::Opaque { what: Construct::Expansion, at }),
            _ => Err(Barrier::new(Construct::Expansion, at)),
        }
    }

    /// After `$(`: a command substitution of plain commands, or a sum of plain numbers.
    fn parentheses(&mut self, at: usize) -> Result<Construct, Barrier> {
        if self.peek() == Some('(') {
            return self.arithmetic(at);
        }
        if self.depth == DEEPEST {
            return Err(Barrier::new(Construct::CommandSubstitution, at));
        }
        self.depth += 1;
        // It runs in a process of its own, so that only its end matters here, and that it is well formed.
        let parsed = Parser::new(self, Terminator::Parenthesis).skip(at);
        self.depth -= 1;
        parsed?;
        let inside = self.text.get(at + 2..self.at.saturating_sub(1)).unwrap_or_default();
        Ok(substituted(inside))
    }

    fn arithmetic(&mut self, at: usize) -> Result<Construct, Barrier> {
        let expression = self.rest().find("))").map(|end| &self.rest()[1..end]);
        let is_number = |n: &str| {
            let n = n.trim_matches([' ', '\t']);
            (1..=9).contains(&n.len())
                && n.bytes().all(|b| b.is_ascii_digit())
                && (n == "0" || !n.starts_with('0'))
        };
        match expression {
            Some(sum) if sum.split(['+', '-', '*']).all(is_number) => {
                self.at += sum.len() + 3;
                Ok(Construct::Arithmetic)
            }
            _ => Err(Barrier::new(Construct::Arithmetic, at)),
        }
    }

    fn ansi_c_quoted(&mut self, at: usize) -> Result<(), Barrier> {
        loop {
            match self.raw() {
                None => return Err(Barrier::syntax("an unclosed single quote", at)),
                Some('\'') => return Ok(()),
                Some('\\') => {
                    self.raw();
                }
                Some(_) => {}
            }
        }
    }

    /// After a backtick. What is inside is read by bash only when it runs it, in a process of its own.
    fn backticks(&mut self, at: usize, word: &mut Word) -> Result<(), Barrier> {
        let start = self.at;
        loop {
            match self.raw() {
                None => return Err(Barrier::syntax("an unclosed backquote", at)),
                Some('`') => break,
                Some('\\') => {
                    self.raw();
                }
                Some(_) => {}
            }
        }
        let inside = self.text.get(start..self.at - 1).unwrap_or_default();
        word.pieces.push(WordPart::Opaque { what: substituted(inside), at });
        Ok(())
    }
}

/// A command substitution, told from an address in backquotes: bash takes an address for the name of a program.
fn substituted(inside: &str) -> Construct {
    let inside = inside.trim_start_matches([' ', '\t', '"', '\'']);
    let scheme = inside.split("://").next().unwrap_or_default();
    let is_address = scheme.len() < inside.len()
        && !scheme.is_empty()
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    if is_address { Construct::AddressAsCommand } else { Construct::CommandSubstitution }
}

/// Whether the operand of a `${NAME…}` has nothing in it that is expanded, quoted or assigned in its turn.
fn is_tame(operand: &str) -> bool {
    operand.chars().all(|c| c.is_ascii_alphanumeric() || " _.:@*?-,".contains(c))
}
