//! The secrets in what a person typed: arguments, environment, settings. They are registered before anything is said of
//! them, also by the refusal that complains about them.

use std::ffi::OsString;

use super::Secrets;
use super::names::{is_harmless, is_secret_parameter, sounds_secret};

/// How many addresses of one text are looked into, and how far into each, in bytes.
const MOST: usize = 500;
const LONGEST: usize = 4096;

/// A shorter piece of a password with reserved characters is not taken for one of its own.
const SHORTEST_PIECE: usize = 5;

/// A shorter value of something that sounds secret is more likely a word of a sentence.
const SHORTEST_GUESS: usize = 4;

/// A value that is at least as long is a secret whatever its parameter is called.
const LONG_VALUE: usize = 16;

impl Secrets {
    /// Registers the secrets of a command line and of an environment.
    pub fn register_process(
        &self,
        arguments: impl Iterator<Item = OsString>,
        environment: impl Iterator<Item = (OsString, OsString)>,
    ) {
        let arguments: Vec<String> = arguments.map(|it| it.to_string_lossy().into_owned()).collect();
        for argument in &arguments {
            self.register_text(argument);
        }
        for pair in arguments.windows(2) {
            if pair[0].starts_with("--") && !pair[1].starts_with('-') {
                self.register_named(&pair[0], &pair[1]);
            }
        }
        for (name, value) in environment {
            let (name, value) = (name.to_string_lossy(), value.to_string_lossy());
            self.register_named(&name, &value);
            self.register_text(&value);
        }
    }

    /// Registers what is secret in a text of any form: the credentials and secret parameters of addresses, and the values
    /// of what sounds secret.
    pub fn register_text(&self, text: &str) {
        let mut found = Vec::new();
        for (at, _) in text.match_indices("://").take(MOST) {
            in_address(window(&text[at + 3..]), &mut found);
        }
        let is_quote = |c: char| c.is_whitespace() || "\"'`".contains(c);
        text.split(is_quote)
            .filter(|word| word.contains('@'))
            .take(MOST)
            .for_each(|word| misspelt(word, &mut found));
        in_assignments(text, &mut found);
        self.register_all(found);
    }

    fn register_named(&self, name: &str, value: &str) {
        let value = value.trim();
        // A file of secrets is named by its path.
        if sounds_secret(name) && !is_harmless(value) && !value.starts_with('/') {
            self.register(value);
        }
    }
}

fn window(text: &str) -> &str {
    let end = (0..=LONGEST.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

/// What may be secret in what follows `://`. Its end is anybody's guess, since a password may hold a blank or a quote.
fn in_address<'t>(text: &'t str, found: &mut Vec<&'t str>) {
    let line = text.lines().next().unwrap_or_default();
    let ends = [
        line.find(|c: char| c.is_whitespace() || "\"'`<>".contains(c)),
        line.find(['"', '\'']),
        line.find(' '),
    ];
    for end in ends {
        let address = &line[..end.unwrap_or(line.len())];
        if let Some(userinfo) = super::url::userinfo(address) {
            let (user, password) = userinfo.split_once(':').map_or((userinfo, ""), |(user, it)| (user, it));
            let secret = if password.is_empty() { user } else { password };
            found.push(secret);
            let pieces = secret
                .split(['@', '/', ':', '#', '?'])
                .filter(|it| *it != secret && it.len() >= SHORTEST_PIECE);
            found.extend(pieces);
        }
        for parameter in address.split(['?', '&', ';', '#']).skip(1) {
            if let Some((name, value)) = parameter.split_once('=')
                && !is_harmless(value)
                && (is_secret_parameter(name) || value.len() >= LONG_VALUE)
            {
                found.push(value);
            }
        }
    }
}

/// The credentials in an address that lacks its scheme, or a slash of it: what lies between the first colon and the last
/// `@`, and its pieces.
fn misspelt<'t>(word: &'t str, found: &mut Vec<&'t str>) {
    let credentials = window(word).rsplit_once('@').and_then(|(before, _)| before.split_once(':'));
    let Some((_, credentials)) = credentials.filter(|_| !word.contains("://")) else { return };
    let pieces = credentials.split(['@', '/', ':', '#', '?']).filter(|piece| piece.len() >= SHORTEST_PIECE);
    found.push(credentials);
    found.extend(pieces);
}

/// `name=value`, `name = "value"`, `"name": "value"`.
fn in_assignments<'t>(text: &'t str, found: &mut Vec<&'t str>) {
    let quotes = ['"', '\''];
    let is_comment = |line: &&str| line.trim_start().starts_with('#') && !line.starts_with("#!");
    for line in text.lines().filter(|line| !is_comment(line)) {
        for (at, _) in line.match_indices(['=', ':']).take(MOST) {
            let before = line[..at].trim_end().trim_end_matches(quotes);
            let is_name = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
            let name = &before[before.trim_end_matches(is_name).len()..];
            if !sounds_secret(name) {
                continue;
            }
            let after = window(line[at + 1..].trim_start());
            let value = match after.strip_prefix(quotes) {
                Some(inner) => inner.split(quotes).next(),
                None => after.split(|c: char| c.is_whitespace() || ",;]}\"'".contains(c)).next(),
            };
            found.extend(
                value.filter(|it| it.len() >= SHORTEST_GUESS && !is_harmless(it) && !it.starts_with('/')),
            );
        }
    }
}
