//! Makes the secrets of a bundle known to the scrubber, before anybody says anything about it.
//!
//! This looks at raw text and asks for little: it must find the password also in a file that nothing else can read. It
//! would rather take too much for a secret than too little, with two exceptions: a placeholder is no secret (the finding
//! about it names it), and neither is `1` or `true` under a name that merely sounds secret.

use super::customizations;
use super::fetched::{BundleFile, Fetched};
use super::json::closing_quote;
use super::shell::Value;
use super::text;
use crate::database::uri::secrets_in;
use crate::secret;

/// Longer than any password; what is longer is a misreading.
const LONGEST: usize = 4096;

/// What says nothing, under a name that sounds secret.
const HARMLESS: [&str; 14] = [
    "0",
    "1",
    "true",
    "false",
    "yes",
    "no",
    "on",
    "off",
    "none",
    "null",
    "enabled",
    "disabled",
    "password",
    "anonymous",
];

/// Makes every secret of every file known.
pub(super) fn register(fetched: &Fetched) {
    secret::register_all(found(fetched).iter().map(String::as_str));
}

/// Every secret, each once, in no order that means anything.
pub(super) fn found(fetched: &Fetched) -> Vec<String> {
    let mut found = Vec::new();
    for (file, bytes) in &fetched.files {
        let text = String::from_utf8_lossy(bytes);
        in_private_keys(&text, &mut found);
        match file {
            BundleFile::Settings | BundleFile::Replicated => {
                in_addresses(&text, &mut found);
                in_json(&text, &mut found);
            }
            BundleFile::Customizations => {
                in_addresses(&text, &mut found);
                in_shell(&text, &mut found);
                for (name, variable) in customizations::read(&text).variables() {
                    if let Value::Known(value) = &variable.value {
                        in_variable(name, value, &mut found);
                    }
                }
            }
            BundleFile::License => {}
        }
    }
    for extra in &fetched.extra {
        let text = String::from_utf8_lossy(&extra.content);
        in_private_keys(&text, &mut found);
        let path = extra.path.to_string_lossy();
        if path.contains("encryption-keys") || path.contains("vault") || path.ends_with(".key") {
            found.push(text.trim().to_owned());
        }
    }
    found.retain(|secret| !secret.trim().is_empty() && !is_placeholder(secret));
    found.sort_unstable();
    found.dedup();
    found
}

/// What a shell variable holds, now that it is known exactly.
fn in_variable(name: &str, value: &str, found: &mut Vec<String>) {
    if value.contains("://") {
        found.extend(secrets_in(value).into_iter().map(str::to_owned));
    } else if sounds_secret_in_shell(name) && is_worth_hiding(name, value) {
        found.push(value.to_owned());
    }
    in_private_keys(value, found);
}

/// The start of a text, as far as one value may reach.
fn window(text: &str) -> &str {
    let end = (0..=LONGEST.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

/// Whether nothing but a placeholder stands there.
fn is_placeholder(text: &str) -> bool {
    text::placeholders(text.trim()).any(|range| range == (0..text.trim().len()))
}

/// Letters of a name, without what separates words.
fn squeezed(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
}

/// Whether the value of a key in JSON is likely a secret.
fn sounds_secret(name: &str) -> bool {
    let name = squeezed(name);
    let trimmed = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let words = ["secret", "passw", "passphrase", "token", "credential", "privatekey", "apikey", "accesskey"];
    let ends = ["key", "keyid", "pass", "pwd"];
    !name.contains("public")
        && (words.iter().any(|word| name.contains(word)) || ends.iter().any(|end| trimmed.ends_with(end)))
}

/// The same for a shell variable. The app's own variables all begin with `CIRCLE_SECRETS_`, which says nothing.
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
    ];
    let value = value.trim();
    if certain.contains(&squeezed.as_str()) {
        return !value.is_empty();
    }
    let names_a_file = ["file", "path", "dir", "location"].iter().any(|end| squeezed.ends_with(end));
    let is_path = value.starts_with('/') && (names_a_file || squeezed == "tlsbootstrapkey");
    let is_small_number = value.len() < 6 && value.bytes().all(|b| b.is_ascii_digit());
    !value.is_empty()
        && !is_path
        && !is_small_number
        && !HARMLESS.contains(&value.to_ascii_lowercase().as_str())
}

/// Passwords in anything that looks like an address.
fn in_addresses(text: &str, found: &mut Vec<String>) {
    for line in text.lines() {
        for (at, _) in line.match_indices("://") {
            let scheme = line[..at].rfind(|c: char| !(c.is_ascii_alphanumeric() || "+.-".contains(c)));
            let start =
                scheme.map_or(0, |before| before + line[before..].chars().next().map_or(1, char::len_utf8));
            let rest = window(&line[start..]);
            let quote = line[..start].chars().next_back().filter(|c| matches!(c, '"' | '\''));
            // A quote in the password, a blank in it: the end of the address is anybody's guess, so guess each way.
            let ends = [
                rest.find([' ', '\t', '"', '\'', '\\', '`']),
                rest.find([' ', '\t']),
                quote.and_then(|quote| rest.find(quote)),
            ];
            let until_end = |end: Option<usize>| &rest[..end.unwrap_or(rest.len())];
            for candidate in ends.into_iter().map(until_end) {
                let secrets = secrets_in(candidate).into_iter();
                found.extend(secrets.filter(|s| !is_reference(s)).map(|s| s.replace("\\/", "/")));
            }
        }
    }
}

/// `$NAME` and `${NAME}`: where a secret will be, and none itself.
fn is_reference(text: &str) -> bool {
    let name = text
        .strip_prefix('$')
        .map(|rest| rest.strip_prefix('{').and_then(|r| r.strip_suffix('}')).unwrap_or(rest));
    name.is_some_and(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
}

/// Private keys in PEM form, also within a JSON string.
fn in_private_keys(text: &str, found: &mut Vec<String>) {
    const BEGIN: &str = "-----BEGIN ";
    let mut rest = text;
    while let Some(start) = rest.find(BEGIN) {
        let block = &rest[start..];
        let end = block.find("-----END ").map_or(block.len(), |end| end);
        let key = &block[..end];
        if key.lines().next().is_some_and(|first| first.contains("PRIVATE KEY")) {
            found.push(key.to_owned());
            found.push(key.replace("\\r", "").replace("\\n", "\n"));
        }
        rest = &block[end.max(BEGIN.len())..];
    }
}

/// Values under secret-sounding keys, in anything that resembles JSON.
fn in_json(text: &str, found: &mut Vec<String>) {
    // The name whose value comes next; `value` and the like pass it on to what they hold.
    let mut name: Option<String> = None;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
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
            take_json(name, token, found);
            if quoted && !after.trim_start_matches([' ', '\t']).starts_with([',', '}', ']', '\n', '\r']) {
                // A quote within the password ended the string too early: it goes up to the last one of the line.
                let inner =
                    line.get(c.len_utf8()..line.rfind(['"', '\'', '”']).unwrap_or(0)).unwrap_or_default();
                take_json(name, inner, found);
            } else if !quoted {
                take_json(name, line.trim_end_matches([',', '}', ' ', '\t']), found);
            }
        }
        rest = after;
    }
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
fn in_shell(text: &str, found: &mut Vec<String>) {
    for line in text.lines() {
        for (at, _) in line.match_indices('=') {
            let before = line[..at].trim_end_matches('+');
            let name =
                &before[before.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || c == '_').len()..];
            if !sounds_secret_in_shell(name) {
                continue;
            }
            let value = window(&line[at + 1..]);
            let quote = value.chars().next().filter(|c| closing_quote(*c).is_some());
            let value = match quote {
                Some(quote) => value[quote.len_utf8()..].split(closing_quote(quote).unwrap_or(quote)).next(),
                None => value.split([' ', '\t', ';']).next(),
            };
            let value = value.unwrap_or_default();
            if value.len() <= LONGEST
                && !value.contains("://")
                && !value.contains("$(")
                && !is_reference(value)
                && is_worth_hiding(name, value)
            {
                found.push(value.to_owned());
            }
        }
    }
}
