//! Addresses as they are shown: without what may be secret.

use super::{REDACTED, names::is_harmless};

/// A URL without its credentials and without the values of its parameters: a presigned one is a secret by itself. Small
/// numbers, versions and `true` stay. Also for a text that only should be a URL.
pub fn shown(text: &str) -> String {
    let (scheme, rest) = match text.find("://") {
        Some(at) => text.split_at(at + 3),
        None => ("", text),
    };
    let (credentials, rest) = match userinfo(rest) {
        Some(userinfo) => (
            format!("{REDACTED}{}", if rest.len() > userinfo.len() { "@" } else { "" }),
            rest.get(userinfo.len() + 1..).unwrap_or(""),
        ),
        None => (String::new(), rest),
    };
    let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
    // What stands behind a # is a part of the page, or a token.
    let path = match path.split_once('#') {
        Some((path, fragment)) if fragment.contains('=') => path,
        _ => path,
    };
    let mut shown = format!("{scheme}{credentials}{path}");
    for (index, parameter) in
        query.into_iter().flat_map(|query| query.split('#').take(1)).flat_map(|it| it.split('&')).enumerate()
    {
        shown.push(if index == 0 { '?' } else { '&' });
        match parameter.split_once('=') {
            Some((name, value)) if is_plain(value) => shown.push_str(&format!("{name}={value}")),
            Some((name, _)) => shown.push_str(&format!("{name}={REDACTED}")),
            None if is_plain(parameter) => shown.push_str(parameter),
            None => shown.push_str(REDACTED),
        }
    }
    shown
}

fn is_plain(value: &str) -> bool {
    is_harmless(value)
        || (value.len() < 12 && value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'))
}

/// The credentials at the start of what follows `://`. A password may hold a `/`, `?`, `#` or `@` that should have been
/// escaped, so none of them ends it for certain; and its `@host` may be missing.
pub(super) fn userinfo(rest: &str) -> Option<&str> {
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    if let Some(at) = authority.rfind('@') {
        return Some(&rest[..at]);
    }
    let port = authority.rsplit(']').next()?.split_once(':')?.1;
    let could_be_port = port.bytes().all(|byte| byte.is_ascii_digit());
    if could_be_port {
        return None;
    }
    Some(&rest[..rest.rfind('@').unwrap_or(authority.len())])
}
