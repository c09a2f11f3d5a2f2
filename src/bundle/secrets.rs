//! Registers the secrets of a bundle before any message about it.
//!
//! This looks at raw text and asks for little: it must find the password also in a file that nothing else can read. It
//! would rather take too much for a secret than too little, with two exceptions: a placeholder is no secret (the finding
//! about it names it), and neither is `1` or `true` under a name that merely sounds secret.

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use std::ops::Range;

use super::fetched::{BundleFile, Fetched};
use super::json::{closing_quote, same_key};
use super::shell::{Value, Variable};
use super::text;
use super::{circleconfig, customizations};
use crate::database::uri::secrets_in;
use crate::secret::Secrets;
use crate::secret::names::{is_harmless, sounds_secret, squeezed};

/// Longer than any password; what is longer is a misreading.
const LONGEST: usize = 4096;

/// How many secrets of one sort are taken from one file; far beyond any that people write.
const MOST: usize = 500;

/// How many bytes all secrets of a bundle may have together; real ones have some kilobytes.
const MOST_BYTES: usize = 128 * 1024;

/// How many addresses of one file are looked into.
const MOST_ADDRESSES: usize = 500;

/// Makes every secret of every file known.
pub(crate) fn register(fetched: &Fetched, secrets: &Secrets) {
    secrets.register_all(found(fetched).iter().map(String::as_str));
    if let Some(license) = fetched.files.get(&BundleFile::License) {
        secrets.register_bytes(license);
    }
}

/// Every secret, each once, in no order that means anything.
pub(super) fn found(fetched: &Fetched) -> Vec<String> {
    let mut found = Vec::new();
    for (file, bytes) in &fetched.files {
        let text = String::from_utf8_lossy(bytes.get(..text::LARGEST).unwrap_or(bytes));
        found.extend(private_keys(&text).take(MOST));
        match file {
            BundleFile::Settings | BundleFile::Replicated => {
                found.extend(addresses(&text).take(MOST));
                found.extend(in_json(&text));
            }
            BundleFile::Customizations => {
                found.extend(addresses(&text).take(MOST));
                found.extend(in_shell(&text).take(MOST));
                found.extend(in_variables(&text).take(MOST));
            }
            BundleFile::License => {
                found.extend(text.lines().map(str::trim).filter(is_of_key).map(str::to_owned))
            }
        }
    }
    for extra in &fetched.extra {
        let text = String::from_utf8_lossy(&extra.content);
        found.extend(private_keys(&text).take(MOST));
        let path = extra.path.to_string_lossy();
        if extra.path.starts_with(circleconfig::PLACE) {
            found.extend(addresses(&text).take(MOST));
            found.extend(in_shell(&text).take(MOST));
            found.extend(in_variables(&text).take(MOST));
        } else if path.contains("encryption-keys") || path.contains("vault") || path.ends_with(".key") {
            found.push(text.trim().to_owned());
        }
    }
    found.retain(|secret| !secret.trim().is_empty() && !is_placeholder(secret));
    found.sort_unstable_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
    found.dedup();
    // The scrubber's matcher grows with all of them, and takes seconds to build for megabytes; the longest are misreadings.
    let mut left = MOST_BYTES;
    found.retain(|secret| {
        left = left.saturating_sub(secret.len());
        left > 0
    });
    found
}

/// Whether a line of a license is a part of its key: longer than any word, and in the alphabet of base64.
fn is_of_key(line: &&str) -> bool {
    line.len() >= 24 && line.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=-_".contains(&byte))
}

/// Where a line may have a secret that nobody has made known: the password of an address, and what follows a name that
/// sounds secret. What is certainly none stays out: placeholders and references to variables.
pub(super) fn places_in_line(line: &str) -> Vec<Range<usize>> {
    let mut places = Vec::new();
    let userinfo = line.find("://").and_then(|scheme| {
        let start = scheme + 3;
        let colon = start + line[start..].find(':')? + 1;
        let end = line.rfind('@')?;
        (colon < end).then_some(colon..end)
    });
    places.extend(userinfo);
    let separator = line.find(['=', ':']).filter(|at| !line[*at..].starts_with("://"));
    if let Some(at) = separator {
        let name = line[..at].trim_end_matches([' ', '\t', '"', '\'', '“', '”']);
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let name = &name[name.trim_end_matches(is_part).len()..];
        let value = &line[at + 1..];
        if sounds_secret_in_shell(name) && !value.contains("://") {
            let punctuation = |c: char| c.is_whitespace() || "\"'“”{},[]:=".contains(c);
            let inner = value.trim_matches(punctuation);
            let start = at + 1 + (value.len() - value.trim_start_matches(punctuation).len());
            places.push(start..start + inner.len());
        }
    }
    let known = text::placeholders(line).chain(references(line));
    let open: Vec<Range<usize>> = known.collect();
    places.into_iter().flat_map(|place| without(place, &open)).collect()
}

/// The keys whose values are plain words and names, and are shown.
const SHOWN: [&str; 22] = [
    "hostname",
    "allow_cluster",
    "ghe_type",
    "ghe_domain",
    "storage_backend",
    "aws_region",
    "s3_bucket",
    "sqs_queue_url",
    "license_agreement",
    "name",
    "BypassPreflightChecks",
    "ForceUseImportedSettings",
    "RemoveImportSettingsFrom",
    "ImportSettingsFrom",
    "LicenseFileLocation",
    "LicenseBootstrapAirgapPackagePath",
    "LogLevel",
    "ReleaseSequence",
    "TlsBootstrapType",
    "TlsBootstrapHostname",
    "LocalAddress",
    "Channel",
];

/// Where a line of JSON, or of what should be JSON, may have a secret: each value that is no plain word of a key that is
/// known to hold one. A password stands under any key once a line has slipped.
pub(super) fn values_in_line(line: &str) -> Vec<Range<usize>> {
    let mut places = Vec::new();
    let mut key = "";
    let mut at = 0;
    while let Some(c) = line[at..].chars().next() {
        let (token, length, quoted) = token(&line[at..], c);
        let Some(token) = token else {
            at += length;
            continue;
        };
        let inner = if quoted { at + c.len_utf8() } else { at };
        at += length;
        if quoted && line[at..].trim_start().starts_with(':') {
            key = token;
            continue;
        }
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._/:-".contains(c);
        let is_literal =
            !quoted && (matches!(token, "true" | "false" | "null") || token.parse::<f64>().is_ok());
        let is_shown = SHOWN.iter().any(|shown| same_key(shown, key)) && token.chars().all(is_plain);
        let is_choice =
            same_key("DaemonAuthenticationType", key) && matches!(token, "anonymous" | "password");
        if !is_literal && !is_shown && !is_choice {
            places.push(inner..inner + token.len());
        }
    }
    let open: Vec<Range<usize>> = text::placeholders_in_json(line);
    places.into_iter().flat_map(|place| without(place, &open)).collect()
}

/// `$NAME` and `${NAME}`.
fn references(line: &str) -> impl Iterator<Item = Range<usize>> {
    line.match_indices('$').filter_map(|(at, _)| {
        let rest = &line[at + 1..];
        let braced = rest.strip_prefix('{');
        let inner = braced.unwrap_or(rest);
        let length = inner.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(inner.len());
        match braced {
            Some(_) => inner[length..].starts_with('}').then(|| at..at + length + 3),
            None => (length > 0).then(|| at..at + 1 + length),
        }
    })
}

/// What is left of a range without the others.
fn without(place: Range<usize>, others: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut left = Vec::new();
    let mut start = place.start;
    for other in others.iter().filter(|other| other.start < place.end && other.end > place.start) {
        left.push(start..other.start.max(start));
        start = start.max(other.end);
    }
    left.push(start..place.end.max(start));
    left.retain(|range| !range.is_empty());
    left
}

/// What the variables of a shell file hold, as far as that is known exactly.
fn in_variables(text: &str) -> impl Iterator<Item = String> {
    let reading = customizations::read(text);
    let known = |(name, variable): (&String, &Variable)| match &variable.value {
        Value::Known(value) => in_variable(name, value),
        _ => Vec::new(),
    };
    let found: Vec<String> = reading.variables().iter().flat_map(known).collect();
    found.into_iter()
}

fn in_variable(name: &str, value: &str) -> Vec<String> {
    let mut found: Vec<String> = private_keys(value).collect();
    if value.contains("://") {
        found.extend(secrets_in(value));
    } else if sounds_secret_in_shell(name) && is_worth_hiding(name, value) {
        found.push(value.to_owned());
    }
    found
}

/// The start of a text, as far as one value may reach.
fn window(text: &str) -> &str {
    let end = (0..=LONGEST.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

/// Whether nothing but a placeholder stands there.
fn is_placeholder(text: &str) -> bool {
    text::placeholders_in_json(text.trim()).into_iter().any(|range| range == (0..text.trim().len()))
}

/// [`sounds_secret`] for a shell variable. The app's own variables all begin with `CIRCLE_SECRETS_`, which says nothing.
fn sounds_secret_in_shell(name: &str) -> bool {
    let name = name.strip_prefix("CIRCLE_SECRETS_").unwrap_or(name);
    sounds_secret(name) || matches!(name.rsplit('_').next(), Some("PW" | "PASS"))
}

/// Whether a value under a secret-sounding name can be one. Where the name leaves no doubt, everything can.
fn is_worth_hiding(name: &str, value: &str) -> bool {
    let squeezed = squeezed(name);
    let certain = [
        "daemonauthenticationpassword",
        "daemontoken",
        "dockerhubpassword",
        "secretpassphrase",
        "gheclientsecret",
        "postgrespassword",
        "vaultclienttoken",
    ];
    let value = value.trim();
    if certain.contains(&squeezed.as_str()) {
        return !value.is_empty();
    }
    let names_a_file = ["file", "path", "dir", "location"].iter().any(|end| squeezed.ends_with(end));
    let is_path = value.starts_with('/') && (names_a_file || squeezed == "tlsbootstrapkey");
    !is_path && !is_harmless(value) && value != "password"
}

/// Passwords in anything that looks like an address.
pub(crate) fn addresses(text: &str) -> impl Iterator<Item = String> {
    let found = text.lines().flat_map(|line| line.match_indices("://").map(move |(at, _)| (line, at)));
    // Each is looked at as far as one value may reach, so that their number has to be bounded as well.
    found.take(MOST_ADDRESSES).flat_map(|(line, at)| {
        let is_scheme = |c: char| c.is_ascii_alphanumeric() || "+.-".contains(c);
        let start = line[..at].trim_end_matches(is_scheme).len();
        let rest = window(&line[start..]);
        let quote = line[..start].chars().next_back().filter(|c| matches!(c, '"' | '\''));
        // A quote in the password, a blank in it: the end of the address is anybody's guess, so guess each way.
        let ends = [
            rest.find([' ', '\t', '"', '\'', '\\', '`']),
            rest.find([' ', '\t']),
            quote.and_then(|quote| rest.find(quote)),
        ];
        let until = |end: Option<usize>| &rest[..end.unwrap_or(rest.len())];
        let secrets = ends.into_iter().flat_map(|end| secrets_in(until(end)));
        let secrets = secrets.filter(|s| !is_reference(s)).map(|s| s.replace("\\/", "/"));
        secrets.collect::<Vec<String>>()
    })
}

/// `$NAME` and `${NAME}`: where a secret will be, and none itself.
fn is_reference(text: &str) -> bool {
    let name = text
        .strip_prefix('$')
        .map(|rest| rest.strip_prefix('{').and_then(|r| r.strip_suffix('}')).unwrap_or(rest));
    name.is_some_and(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
}

/// Private keys in PEM form, also within a JSON string.
fn private_keys(text: &str) -> impl Iterator<Item = String> {
    let blocks = text.match_indices("-----BEGIN ").map(|(start, begin)| {
        let block = &text[start..];
        let end = block[begin.len()..].find("-----").map_or(block.len(), |end| begin.len() + end + 5);
        let (first, rest) = block.split_at(end);
        (first, &rest[..rest.find("-----").unwrap_or(rest.len())])
    });
    blocks
        .filter(|(first, _)| first.contains("PRIVATE KEY"))
        .flat_map(|(_, key)| [key.to_owned(), key.replace("\\r", "").replace("\\n", "\n")])
}

/// Values under secret-sounding keys, in anything that resembles JSON.
fn in_json(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    // The name whose value comes next; `value` and the like pass it on to what they hold.
    let mut name: Option<String> = None;
    let mut rest = text;
    while let Some(c) = rest.chars().next().filter(|_| found.len() < MOST) {
        let (token, length, quoted) = token(rest, c);
        let after = &rest[length..];
        let Some(token) = token else {
            rest = after;
            continue;
        };
        let is_key = after.trim_start().starts_with([':', '=']);
        if is_key {
            let passes_on = ["value", "data", "multi_value", "multi_data", "default"].contains(&token);
            if !passes_on {
                name = Some(token.to_owned()).filter(|token| sounds_secret(token));
            }
        } else if let Some(name) = &name {
            let line = window(rest).split(['\n', '\r']).next().unwrap_or(rest);
            take_json(name, token, &mut found);
            if quoted && !after.trim_start_matches([' ', '\t']).starts_with([',', '}', ']', '\n', '\r']) {
                // A quote within the password ended the string too early: it goes up to the last one of the line.
                let inner =
                    line.get(c.len_utf8()..line.rfind(['"', '\'', '”']).unwrap_or(0)).unwrap_or_default();
                take_json(name, inner, &mut found);
            } else if !quoted {
                take_json(name, line.trim_end_matches([',', '}', ' ', '\t']), &mut found);
            }
        }
        rest = after;
    }
    found
}

/// The string or bare word at the start of a text, without its quotes, and how long it is with them.
fn token(text: &str, first: char) -> (Option<&str>, usize, bool) {
    if let Some(closing) = closing_quote(first) {
        let start = first.len_utf8();
        let mut escaped = false;
        for (at, c) in text.char_indices().skip(1) {
            if escaped {
                escaped = false;
            } else if c == '\\' {
                escaped = true;
            } else if c == closing || (closing == '”' && c == '"') {
                return (Some(&text[start..at]), at + c.len_utf8(), true);
            } else if c == '\n' {
                return (Some(text[start..at].trim_end_matches([',', '\r'])), at, true);
            }
        }
        return (Some(&text[start..]), text.len(), true);
    }
    let ends = |c: char| c.is_whitespace() || ":=,{}[]".contains(c) || closing_quote(c).is_some();
    match text.find(ends) {
        Some(0) => (None, first.len_utf8(), false),
        end => (Some(&text[..end.unwrap_or(text.len())]), end.unwrap_or(text.len()), false),
    }
}

fn take_json(name: &str, raw: &str, found: &mut Vec<String>) {
    if raw.len() > LONGEST || raw.contains("-----BEGIN ") || !is_worth_hiding(name, raw) {
        return;
    }
    if let Ok(decoded) = serde_json::from_str::<String>(&format!("\"{raw}\"")) {
        found.push(decoded);
    }
    found.push(raw.to_owned());
}

/// Values of secret-sounding variables, in anything that resembles shell.
fn in_shell(text: &str) -> impl Iterator<Item = String> {
    let assignments = text.lines().flat_map(|line| line.match_indices('=').map(move |(at, _)| (line, at)));
    assignments.filter_map(|(line, at)| {
        let before = line[..at].trim_end_matches('+');
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let name = &before[before.trim_end_matches(is_name).len()..];
        if !sounds_secret_in_shell(name) {
            return None;
        }
        let value = window(&line[at + 1..]);
        let quote = value.chars().next().filter(|c| closing_quote(*c).is_some());
        let value = match quote {
            Some(quote) => value[quote.len_utf8()..].split(closing_quote(quote).unwrap_or(quote)).next(),
            None => value.split([' ', '\t', ';']).next(),
        };
        let value = value.unwrap_or_default();
        let is_itself = !value.contains("://") && !value.contains("$(") && !is_reference(value);
        (is_itself && is_worth_hiding(name, value)).then(|| value.to_owned())
    })
}
