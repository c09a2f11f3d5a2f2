//! By which names secrets go: of settings, variables, flags, members of JSON, parameters of URLs.

/// Parts of names; a blank stands for `_`, `-` or nothing.
pub(crate) const PARTS: [&str; 10] = [
    "passw",
    "passphrase",
    "secret",
    "token",
    "credential",
    "signature",
    "pwd",
    "api key",
    "access key",
    "private key",
];

/// How names end that mean a secret and have none of [`PARTS`].
const ENDS: [&str; 3] = ["key", "keyid", "pass"];

/// Parameters of URLs whose values are secrets and whose names are only that in a URL.
const PARAMETERS: [&str; 6] = ["sig", "auth", "authorization", "code", "jwt", "sas"];

/// What says nothing, under a name that sounds secret.
const HARMLESS: [&str; 17] = [
    "",
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
    "nil",
    "undefined",
    "empty",
    "enabled",
    "disabled",
    "anonymous",
];

/// Whether the value of something with this name is likely a secret.
pub(crate) fn sounds_secret(name: &str) -> bool {
    let name = squeezed(name);
    let trimmed = name.trim_end_matches(|c: char| c.is_ascii_digit());
    !name.contains("public")
        && (PARTS.iter().any(|part| name.contains(&part.replace(' ', "")))
            || ENDS.iter().any(|end| trimmed.ends_with(end)))
}

/// The same for a parameter of a URL.
pub(crate) fn is_secret_parameter(name: &str) -> bool {
    sounds_secret(name) || PARAMETERS.contains(&name.to_ascii_lowercase().as_str())
}

/// Whether a value is certainly no secret, whatever its name: `true`, a number of few digits.
pub(crate) fn is_harmless(value: &str) -> bool {
    let is_small_number = value.len() < 6 && value.bytes().all(|byte| byte.is_ascii_digit());
    is_small_number || HARMLESS.contains(&value.to_ascii_lowercase().as_str())
}

/// Letters and digits of a name in lower case, without what separates words.
pub(crate) fn squeezed(name: &str) -> String {
    // The Kelvin sign and the long s are letters of keys to Go, by which Replicated reads them.
    let plain = name.chars().map(|c| match c {
        '\u{212a}' => 'k',
        '\u{17f}' => 's',
        c => c,
    });
    plain.filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
}
