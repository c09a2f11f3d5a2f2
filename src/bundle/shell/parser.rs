//! Puts words together to commands: assignments, a command with its arguments, and what joins them.

use super::lexer::{Lexer, Word, WordPart, ends_word, is_name};
use super::value::{Barrier, Construct};

/// What ends a list of commands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Terminator {
    EndOfText,
    /// The `)` of a command substitution.
    Parenthesis,
}

/// `NAME=value` or `NAME+=value`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Assignment {
    pub(super) name: String,
    pub(super) appends: bool,
    pub(super) at: usize,
    pub(super) value: Word,
}

/// Assignments, then words, with redirections anywhere.
#[derive(Debug, Default)]
pub(super) struct Command {
    pub(super) at: usize,
    pub(super) assignments: Vec<Assignment>,
    pub(super) words: Vec<Word>,
    /// The targets of redirections, which are expanded as well; each at its operator.
    pub(super) redirections: Vec<Word>,
    /// Where the text ends in a `\` that may be one more word.
    pub(super) cut: Option<usize>,
}

/// When a pipeline of a chain runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Joint {
    Always,
    /// `&&`
    IfSucceeded,
    /// `||`
    IfFailed,
}

/// Commands joined by `|`; more than one, and each runs in a process of its own.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) joint: Joint,
    pub(super) commands: Vec<Command>,
    /// Where its first `|` is.
    pub(super) pipe: Option<usize>,
}

/// Pipelines joined by `&&` and `||`.
#[derive(Debug)]
pub(super) struct Chain {
    pub(super) pipelines: Vec<Pipeline>,
    /// Where a `&` put it into the background, into a process of its own.
    pub(super) background: Option<usize>,
    /// Where a `;` ended it that has no blank on either side.
    pub(super) glued_semicolon: Option<usize>,
}

pub(super) struct Parser<'w, 't> {
    words: &'w mut Lexer<'t>,
    terminator: Terminator,
}

const RESERVED: [&str; 22] = [
    "if", "then", "elif", "else", "fi", "while", "until", "for", "select", "do", "done", "case", "esac",
    "function", "time", "coproc", "{", "}", "!", "[[", "]]", "in",
];

impl<'w, 't> Parser<'w, 't> {
    pub(super) fn new(words: &'w mut Lexer<'t>, terminator: Terminator) -> Self {
        Parser { words, terminator }
    }

    /// Reads to the terminator and drops what was read.
    pub(super) fn skip(mut self, open: usize) -> Result<(), Barrier> {
        while self.chain()?.is_some() {}
        if self.words.eat(')') { Ok(()) } else { Err(Barrier::syntax("an unclosed $(", open)) }
    }

    /// The next chain; `None` at the terminator, which is not passed.
    pub(super) fn chain(&mut self) -> Result<Option<Chain>, Barrier> {
        self.skip_lines();
        match (self.words.peek(), self.terminator) {
            (None, _) | (Some(')'), Terminator::Parenthesis) => return Ok(None),
            _ => {}
        }
        let mut chain = Chain { pipelines: Vec::new(), background: None, glued_semicolon: None };
        let mut pipeline = Pipeline { joint: Joint::Always, commands: Vec::new(), pipe: None };
        loop {
            pipeline.commands.push(self.command()?);
            self.words.skip_blanks();
            let at = self.words.at;
            let next = match self.words.peek() {
                Some('|') => {
                    self.words.eat('|');
                    if self.words.eat('|') {
                        Some(Joint::IfFailed)
                    } else {
                        self.words.eat('&');
                        pipeline.pipe.get_or_insert(at);
                        None
                    }
                }
                Some('&') => {
                    self.words.eat('&');
                    if !self.words.eat('&') {
                        chain.background = Some(at);
                        break;
                    }
                    Some(Joint::IfSucceeded)
                }
                Some(';') => {
                    self.words.eat(';');
                    chain.glued_semicolon = self.words.is_glued(at).then_some(at);
                    break;
                }
                Some('\n') | None => break,
                Some(')') if self.terminator == Terminator::Parenthesis => break,
                Some('(') => return Err(Barrier::new(Construct::Parenthesis, at)),
                Some(_) => return Err(Barrier::syntax("an unexpected operator", at)),
            };
            if let Some(joint) = next {
                chain.pipelines.push(pipeline);
                pipeline = Pipeline { joint, commands: Vec::new(), pipe: None };
            }
            self.skip_lines();
        }
        chain.pipelines.push(pipeline);
        Ok(Some(chain))
    }

    fn skip_lines(&mut self) {
        loop {
            self.words.skip_blanks();
            if !self.words.eat('\n') {
                return;
            }
        }
    }

    fn command(&mut self) -> Result<Command, Barrier> {
        self.words.skip_blanks();
        let mut command = Command { at: self.words.at, ..Command::default() };
        loop {
            self.words.skip_blanks();
            let at = self.words.at;
            if self.redirection(&mut command)? {
                continue;
            }
            let Some(word) = self.words.word()? else { break };
            if word.is_final_backslash() {
                command.cut = Some(at);
                break;
            }
            let next = self.words.peek();
            if matches!(next, Some('<' | '>')) && is_descriptor(&word)? {
                continue;
            }
            if command.words.is_empty() {
                if let Some(assignment) = assignment(&word)? {
                    if next == Some('(') {
                        return Err(Barrier::new(Construct::Array, at));
                    }
                    command.assignments.push(assignment);
                    continue;
                }
                let starts = command.assignments.is_empty() && command.redirections.is_empty();
                let reserved = word.plain().filter(|plain| RESERVED.contains(&plain.as_str()));
                if let Some(keyword) = reserved.filter(|_| starts) {
                    return Err(Barrier::new(Construct::Keyword(keyword), at));
                }
            }
            if next == Some('(') {
                return Err(Barrier::new(Construct::Parenthesis, at));
            }
            command.words.push(word);
        }
        if command.assignments.is_empty() && command.words.is_empty() && command.cut.is_none() {
            let at = self.words.at;
            return Err(match self.words.peek() {
                Some('(') => Barrier::new(Construct::Parenthesis, at),
                _ if !command.redirections.is_empty() => Barrier::new(Construct::Redirection, at),
                _ => Barrier::syntax("an operator where a command is expected", at),
            });
        }
        Ok(command)
    }

    /// Reads one redirection, if one comes next.
    fn redirection(&mut self, command: &mut Command) -> Result<bool, Barrier> {
        let at = self.words.at;
        match self.words.peek() {
            Some('&') if self.words.text[at..].starts_with("&>") => {
                self.words.at += 2;
                self.words.eat('>');
            }
            Some('<') => {
                self.words.eat('<');
                if self.words.eat('<') {
                    if !self.words.eat('<') {
                        return Err(Barrier::new(Construct::HereDocument, at));
                    }
                } else {
                    let _ = self.words.eat('&') || self.words.eat('>');
                }
            }
            Some('>') => {
                self.words.eat('>');
                let _ = self.words.eat('>') || self.words.eat('&') || self.words.eat('|');
            }
            _ => return Ok(false),
        }
        if self.words.peek() == Some('(') {
            return Err(Barrier::new(Construct::Parenthesis, at));
        }
        self.words.skip_blanks();
        match self.words.word()? {
            // `<<<2>file`: the 2 belongs to the second redirection, and the first has no target.
            Some(target) if matches!(self.words.peek(), Some('<' | '>')) && is_descriptor(&target)? => {
                return Err(Barrier::syntax("a redirection without a target", at));
            }
            Some(target) if target.is_final_backslash() => {
                return Err(Barrier::new(Construct::FinalBackslash, at));
            }
            Some(target) => command.redirections.push(Word { at, ..target }),
            None => return Err(Barrier::syntax("a redirection without a target", at)),
        }
        Ok(true)
    }
}

/// Whether a word right before `<` or `>` is the number of a file descriptor.
fn is_descriptor(word: &Word) -> Result<bool, Barrier> {
    let Some(plain) = word.plain() else { return Ok(false) };
    if plain.starts_with('{') {
        return Err(Barrier::new(Construct::Redirection, word.at));
    }
    Ok(plain.bytes().all(|b| b.is_ascii_digit()))
}

/// The word as an assignment, if bash takes it for one.
pub(super) fn assignment(word: &Word) -> Result<Option<Assignment>, Barrier> {
    let mut name = String::new();
    let mut pieces = word.pieces.iter();
    let appends = loop {
        match pieces.next() {
            Some(WordPart::Char { c: '=', quoted: false, .. }) => break false,
            Some(WordPart::Char { c: '+', quoted: false, .. }) => match pieces.next() {
                Some(WordPart::Char { c: '=', quoted: false, .. }) => break true,
                _ => return Ok(None),
            },
            Some(WordPart::Char { c: '[', quoted: false, at }) if is_name(&name) => {
                return Err(Barrier::new(Construct::Array, *at));
            }
            Some(WordPart::Char { c, quoted: false, .. }) if !ends_word(*c) => name.push(*c),
            _ => return Ok(None),
        }
    };
    if !is_name(&name) {
        return Ok(None);
    }
    let value = Word { at: word.at, pieces: pieces.cloned().collect() };
    Ok(Some(Assignment { name, appends, at: word.at, value }))
}
