//! Common mistakes in database URIs, detected before the grammar misinterprets them.

use super::address::{Product, UriError};
use super::scan::{Span, error, error_at};

/// Characters that must be percent-encoded in a user name or password, with their encodings.
const RESERVED: [(char, &str); 5] = [('@', "%40"), ('/', "%2F"), (':', "%3A"), ('#', "%23"), ('?', "%3F")];

const RESERVED_CHARACTERS: [char; 5] = ['@', '/', ':', '#', '?'];

/// Size limit of a URI, in bytes. Real ones have some hundreds; a password may be a token of a few thousand.
pub(super) const LONGEST: usize = 64 * 1024;

/// How many characters to percent-encode are listed.
const MOST_NAMED: usize = 12;

/// Placeholders for a password; redacting them would hide the mistake.
const NOT_A_PASSWORD: [&str; 5] = ["password", "pass", "pw", "your-password", "your_password"];

/// Rejects a text that is too long to be a URI, before parsing it.
pub(super) fn length(kind: Product, text: &str) -> Result<(), UriError> {
    if text.len() <= LONGEST {
        return Ok(());
    }
    let what = format!("is {} bytes long, and no URI is longer than 64 KiB", text.len());
    Err(error(
        kind,
        what,
        "Check for a missing quotation mark, which makes the URI include the text after it.",
    ))
}

/// Whatever in the text may be a password, as written, whether or not the text is a URI at all.
pub(super) fn written_in(text: &str) -> Vec<&str> {
    let after_scheme = match text.find("://") {
        Some(at) => &text[at + 3..],
        None => text,
    };
    let mut found = Vec::new();
    match (after_scheme.find(':'), after_scheme.rfind('@')) {
        (Some(colon), Some(last)) => {
            let end = end_of_userinfo(after_scheme).unwrap_or(last);
            let password = after_scheme.get(colon + 1..end).unwrap_or_default();
            found.push(password);
            if password.contains(RESERVED_CHARACTERS) {
                found.extend(after_scheme.get(colon + 1..last));
                found.extend(fragments(password));
            }
        }
        (Some(_), None) => found.extend(misplaced(after_scheme)),
        _ => {}
    }
    for option in text.split(['?', '&']) {
        if let Some((name, value)) = option.split_once('=')
            && is_secret_option(name)
        {
            found.push(value);
        }
    }
    found.retain(|text| is_password(text));
    found
}

/// Whether an option's value is a secret, by its name.
pub(super) fn is_secret_option(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["password", "passphrase", "sslpass", "secret", "scram_client_key", "scram_server_key"]
        .iter()
        .any(|word| name.contains(word))
        || name == "authmechanismproperties"
}

/// Without `@host`, the password is where the port belongs.
fn misplaced(after_scheme: &str) -> Option<&str> {
    let authority = after_scheme.split(['/', '?', '#']).next().unwrap_or_default();
    let (_, port) = authority.split_once(':')?;
    let could_be_host = authority.contains(['[', ',']) || port.bytes().all(|byte| byte.is_ascii_digit());
    (!could_be_host).then_some(port)
}

fn is_password(text: &str) -> bool {
    let bare = text.trim_start_matches('<').trim_end_matches('>');
    bare.len() == text.len() || !NOT_A_PASSWORD.contains(&bare.to_ascii_lowercase().as_str())
}

/// A program that misparses a password shows pieces of it as host, port or database in its errors. Five digits remain
/// visible: in arbitrary text, they are a port.
fn fragments(password: &str) -> impl Iterator<Item = &str> {
    let is_port = |piece: &str| piece.len() == 5 && piece.bytes().all(|byte| byte.is_ascii_digit());
    password.split(RESERVED_CHARACTERS).filter(move |piece| piece.len() >= 5 && !is_port(piece))
}

/// The offset of the `@` that is meant to end the credentials.
///
/// That is the last one in the text, unless it is clearly in an option's value, so that a password with unescaped
/// characters is captured completely.
pub(super) fn end_of_userinfo(after_scheme: &str) -> Option<usize> {
    let last = after_scheme.rfind('@')?;
    let authority_end = after_scheme.find(['/', '?', '#']).unwrap_or(after_scheme.len());
    if last < authority_end {
        return Some(last);
    }
    let authority = &after_scheme[..authority_end];
    let has_userinfo = authority.contains('@');
    let port = authority.rsplit(']').next().and_then(|rest| rest.split_once(':')).map(|(_, port)| port);
    let could_be_host = has_userinfo || port.is_none_or(|port| port.bytes().all(|b| b.is_ascii_digit()));
    if could_be_host && stands_in_an_option(&after_scheme[authority_end..last]) {
        return authority.rfind('@');
    }
    Some(last)
}

/// Whether what lies between the authority and an `@` reads `/path?name=…` with the `@` in an option's value.
fn stands_in_an_option(between: &str) -> bool {
    let Some((path, query)) = between.split_once('?') else {
        return false;
    };
    let option = query.rsplit('&').next().unwrap_or(query);
    let named = option.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    });
    named && !path.contains(['@', '#'])
}

/// The scheme of the text, which must be one of `kind`'s.
pub(super) fn scheme(kind: Product, text: &str) -> Result<&'static str, UriError> {
    if let Some(scheme) = kind.schemes().iter().find(|scheme| text.starts_with(**scheme)) {
        return Ok(scheme);
    }
    let expected = kind.expected_schemes();
    let write_it =
        format!("Write it as {}user:password@host:{}/database.", kind.schemes()[0], kind.default_port());
    let lower = text.trim_start().to_ascii_lowercase();
    let other = if kind == Product::Mongo { Product::Postgres } else { Product::Mongo };
    let what = if text.trim().is_empty() {
        "is empty".to_owned()
    } else if text.starts_with(char::is_whitespace) {
        "begins with white space".to_owned()
    } else if text.starts_with(['"', '\'']) {
        "begins with a quotation mark that has become part of it".to_owned()
    } else if text.starts_with('$') {
        format!("begins with an unexpanded shell variable instead of {expected}")
    } else if lower.starts_with("jdbc:") {
        format!("begins with jdbc: instead of {expected}")
    } else if other.schemes().iter().any(|scheme| lower.starts_with(scheme)) {
        format!("is a {} URI instead of {expected}", other.name())
    } else if kind.schemes().iter().any(|scheme| lower.starts_with(scheme)) {
        format!("has an upper-case scheme instead of {expected}")
    } else {
        format!("does not begin with {expected}")
    };
    Err(error_at(kind, 0, what, write_it))
}

/// Rejects whitespace, typographic quotes and placeholders.
pub(super) fn characters(
    kind: Product,
    text: &str,
    after_scheme: usize,
    userinfo_end: Option<usize>,
) -> Result<(), UriError> {
    let colon = text[after_scheme..].find(':').map_or(usize::MAX, |colon| after_scheme + colon);
    let part = |offset: usize| match userinfo_end {
        Some(end) if offset < after_scheme + end => {
            if offset > colon {
                "password"
            } else {
                "user name"
            }
        }
        _ => "address",
    };
    if let Some(offset) = placeholder(text).filter(|offset| stands_alone(text, *offset)) {
        return Err(error_at(
            kind,
            offset,
            format!("still has a placeholder in angle brackets as its {}", part(offset)),
            "Replace the placeholder, brackets included, with the real value.",
        ));
    }
    for (offset, character) in text.char_indices() {
        if character.is_whitespace() || character.is_control() {
            let (what, encoding) = match character {
                ' ' => ("a space", "%20".to_owned()),
                '\n' | '\r' => ("a line break", "%0A".to_owned()),
                '\t' => ("a tab", "%09".to_owned()),
                _ => ("an invisible character", "its percent-encoding".to_owned()),
            };
            return Err(error_at(
                kind,
                offset,
                format!("has {what} in its {}", part(offset)),
                format!("Remove it, or write it as {encoding} if it belongs there."),
            ));
        }
        if matches!(character, '\u{201c}' | '\u{201d}' | '\u{2018}' | '\u{2019}') {
            return Err(error_at(
                kind,
                offset,
                format!("has a curly quotation mark in its {}", part(offset)),
                "Remove the curly quotation mark; it was pasted from a document.",
            ));
        }
    }
    Ok(())
}

/// Whether what is in angle brackets at `offset` is a word by itself: a password may be `a<bc>d`.
fn stands_alone(text: &str, offset: usize) -> bool {
    let before = text[..offset].chars().next_back();
    let after = text[offset..].split_once('>').and_then(|(_, rest)| rest.chars().next());
    ![before, after].into_iter().flatten().any(char::is_alphanumeric)
}

/// The offset of something like `<password>`.
fn placeholder(text: &str) -> Option<usize> {
    text.match_indices('<').map(|(offset, _)| offset).find(|offset| {
        let rest = &text.as_bytes()[offset + 1..];
        let end = rest.iter().take(41).position(|byte| *byte == b'>');
        end.is_some_and(|end| {
            let name = &rest[..end];
            name.first().is_some_and(u8::is_ascii_alphabetic)
                && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_. ".contains(byte))
        })
    })
}

/// Rejects reserved characters in the credentials, listing each with its position and encoding.
pub(super) fn credentials(kind: Product, user: Span<'_>, password: Option<Span<'_>>) -> Result<(), UriError> {
    let in_user = unescaped(user);
    let in_password = password.map(unescaped).unwrap_or_default();
    let part = match (in_user.is_empty(), in_password.is_empty()) {
        (true, true) => return Ok(()),
        (false, true) => "user name",
        (true, false) => "password",
        (false, false) => "user name and password",
    };
    let found = [in_user, in_password].concat();
    let (at, first, encoding) = found[0];
    if found.len() == 1 {
        return Err(error_at(
            kind,
            at,
            format!("has an unescaped {first} in its {part}"),
            format!("Write the {first} in the {part} as {encoding}."),
        ));
    }
    let named =
        found.iter().take(MOST_NAMED).map(|(at, character, _)| format!("{character} at column {}", at + 1));
    let more = match found.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let mut encodings: Vec<String> = Vec::new();
    for (_, character, encoding) in &found {
        let one = format!("{character} as {encoding}");
        if !encodings.contains(&one) {
            encodings.push(one);
        }
    }
    Err(UriError {
        database: kind,
        column: Some(at + 1),
        sentence: format!(
            "The {} URI has unescaped characters in its {part}: {}{more}.",
            kind.name(),
            named.collect::<Vec<_>>().join(", ")
        ),
        next_step: format!("In the {part}, write {}.", listed(&encodings)),
    })
}

/// `a, b and c`.
fn listed(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// The characters that must be percent-encoded and are not: offset, character, encoding.
fn unescaped(piece: Span<'_>) -> Vec<(usize, char, &'static str)> {
    let bytes = piece.text.as_bytes();
    let found = piece.text.char_indices().filter_map(|(offset, character)| {
        let encoding = match character {
            '%' => {
                let hex = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
                if hex(offset + 1) && hex(offset + 2) { None } else { Some("%25") }
            }
            _ => RESERVED.iter().find(|(reserved, _)| *reserved == character).map(|(_, encoding)| *encoding),
        };
        encoding.map(|encoding| (piece.at + offset, character, encoding))
    });
    found.collect()
}
