//! Common URI parsing: splitting, percent-encoding, hosts, ports and options.

use std::net::{IpAddr, Ipv6Addr};

use super::address::{Host, Product, UriError};
use super::common_mistakes;
use crate::secret;

/// A part of a URI and its byte offset, so that an error can say where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
}

impl<'a> Span<'a> {
    pub(super) fn slice(self, from: usize, to: usize) -> Span<'a> {
        Span { text: &self.text[from..to], at: self.at + from }
    }

    fn from(self, from: usize) -> Span<'a> {
        self.slice(from, self.text.len())
    }

    /// The parts between separators; always at least one.
    pub(super) fn split(self, separator: char) -> impl Iterator<Item = Span<'a>> {
        let mut at = self.at;
        self.text.split(separator).map(move |text| {
            let piece = Span { text, at };
            at += text.len() + separator.len_utf8();
            piece
        })
    }
}

/// The parts of a URI, still percent-encoded.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) scheme: &'static str,
    pub(super) user: Option<Span<'a>>,
    pub(super) password: Option<Span<'a>>,
    /// The list of hosts, possibly empty.
    pub(super) hosts: Span<'a>,
    /// After the `/`; `None` when there is none.
    pub(super) path: Option<Span<'a>>,
    /// After the `?`.
    pub(super) query: Option<Span<'a>>,
}

/// One `key=value` of the query; the key as written.
#[derive(Debug, Clone)]
pub(super) struct Pair<'a> {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) raw_value: Span<'a>,
    pub(super) at: usize,
}

/// One entry of the host list, decoded; the port is empty where none was written.
#[derive(Debug, Clone)]
pub(super) struct Entry<'a> {
    pub(super) host: String,
    pub(super) in_brackets: bool,
    pub(super) at: usize,
    pub(super) port: Option<Span<'a>>,
}

/// An error at a byte offset (counted from 0).
pub(super) fn error_at(
    kind: Product,
    offset: usize,
    what: impl AsRef<str>,
    next_step: impl Into<String>,
) -> UriError {
    let column = offset + 1;
    UriError {
        database: kind,
        column: Some(column),
        sentence: format!("The {} URI {}, at column {column}.", kind.name(), what.as_ref()),
        next_step: next_step.into(),
    }
}

/// An error that stands nowhere in particular.
pub(super) fn error(kind: Product, what: impl AsRef<str>, next_step: impl Into<String>) -> UriError {
    UriError {
        database: kind,
        column: None,
        sentence: format!("The {} URI {}.", kind.name(), what.as_ref()),
        next_step: next_step.into(),
    }
}

/// Splits a URI, rejecting mistakes that would otherwise surface as something else.
pub(super) fn cut(kind: Product, text: &str) -> Result<Parts<'_>, UriError> {
    common_mistakes::length(kind, text)?;
    let scheme = common_mistakes::scheme(kind, text)?;
    let after_scheme = Span { text, at: 0 }.from(scheme.len());
    let userinfo_end = common_mistakes::end_of_userinfo(after_scheme.text);
    common_mistakes::characters(kind, text, scheme.len(), userinfo_end)?;

    let mut parts =
        Parts { scheme, user: None, password: None, hosts: after_scheme, path: None, query: None };
    if let Some(end) = userinfo_end {
        let userinfo = after_scheme.slice(0, end);
        let (user, password) = match userinfo.text.find(':') {
            Some(colon) => (userinfo.slice(0, colon), Some(userinfo.from(colon + 1))),
            None => (userinfo, None),
        };
        common_mistakes::credentials(kind, user, password)?;
        parts.user = Some(user);
        parts.password = password;
        parts.hosts = after_scheme.from(end + 1);
    }
    if let Some(at) = parts.hosts.text.find('?') {
        parts.query = Some(parts.hosts.from(at + 1));
        parts.hosts = parts.hosts.slice(0, at);
    }
    if let Some(at) = parts.hosts.text.find('/') {
        parts.path = Some(parts.hosts.from(at + 1));
        parts.hosts = parts.hosts.slice(0, at);
    }
    if let Some(at) = parts.hosts.text.find('#') {
        return Err(error_at(
            kind,
            parts.hosts.at + at,
            "has a # in its hosts",
            "Remove the #; write it as %23 within a password or a name.",
        ));
    }
    Ok(parts)
}

/// Percent-decodes one part.
pub(super) fn decode(kind: Product, piece: Span<'_>) -> Result<String, UriError> {
    let bytes = piece.text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte != b'%' {
            decoded.push(byte);
            at += 1;
            continue;
        }
        let digit = |offset: usize| {
            bytes.get(at + offset).and_then(|digit| char::from(*digit).to_digit(16)).map(|value| value as u8)
        };
        let (Some(high), Some(low)) = (digit(1), digit(2)) else {
            return Err(error_at(
                kind,
                piece.at + at,
                "has a % that is not followed by two hexadecimal digits",
                "Write a literal % in a password or a name as %25.",
            ));
        };
        if high == 0 && low == 0 {
            return Err(error_at(
                kind,
                piece.at + at,
                "contains %00, which is not allowed",
                "Remove the %00.",
            ));
        }
        decoded.push(high << 4 | low);
        at += 3;
    }
    String::from_utf8(decoded).map_err(|_| {
        error_at(
            kind,
            piece.at,
            "has percent-encoded bytes that are not UTF-8",
            "Write a literal % as %25, and percent-encode the UTF-8 form of all other characters.",
        )
    })
}

/// The `key=value` pairs of a query, decoded.
pub(super) fn pairs<'a>(kind: Product, query: Span<'a>) -> Result<Vec<Pair<'a>>, UriError> {
    let mut found = Vec::new();
    for piece in query.split('&') {
        let is_last = piece.at + piece.text.len() == query.at + query.text.len();
        if piece.text.is_empty() && (is_last || kind == Product::Mongo) {
            // libpq ignores a trailing &, and the MongoDB drivers also a doubled one.
            continue;
        }
        let Some(equals) = piece.text.find('=') else {
            return Err(error_at(
                kind,
                piece.at,
                "has an option without =",
                "Write every option as name=value, with & between them.",
            ));
        };
        let raw_value = piece.from(equals + 1);
        if let Some(extra) = raw_value.text.find('=')
            && kind == Product::Postgres
        {
            return Err(error_at(
                kind,
                raw_value.at + extra,
                "has a second = in one parameter",
                "Write a = within a value as %3D, and & between parameters.",
            ));
        }
        found.push(Pair {
            key: decode(kind, piece.slice(0, equals))?,
            value: decode(kind, raw_value)?,
            raw_value,
            at: piece.at,
        });
    }
    Ok(found)
}

/// The entries of a host list, decoded.
pub(super) fn entries<'a>(kind: Product, hosts: Span<'a>) -> Result<Vec<Entry<'a>>, UriError> {
    hosts.split(',').map(|piece| entry(kind, piece)).collect()
}

fn entry<'a>(kind: Product, piece: Span<'a>) -> Result<Entry<'a>, UriError> {
    if piece.text.starts_with('[') {
        let Some(end) = piece.text.find(']') else {
            return Err(error_at(
                kind,
                piece.at,
                "has an IPv6 address with an unclosed [",
                "Close the address with ].",
            ));
        };
        let port = match &piece.text[end + 1..] {
            "" => None,
            rest if rest.starts_with(':') => Some(piece.from(end + 2)),
            _ => {
                return Err(error_at(
                    kind,
                    piece.at + end + 1,
                    "has something other than : and a port after the ] of an IPv6 address",
                    "Write [address]:port.",
                ));
            }
        };
        let host = piece.slice(1, end);
        if host.text.is_empty() {
            return Err(error_at(
                kind,
                piece.at,
                "has empty brackets instead of an IPv6 address",
                "Write the address in the brackets, as in [::1].",
            ));
        }
        return Ok(Entry { host: decode(kind, host)?, in_brackets: true, at: host.at, port });
    }
    if piece.text.matches(':').count() > 1 {
        return Err(error_at(
            kind,
            piece.at,
            "has more than one : in a host",
            "Put an IPv6 address in brackets ([::1]:port); write a : in a password as %3A.",
        ));
    }
    let (host, port) = match piece.text.find(':') {
        Some(colon) => (piece.slice(0, colon), Some(piece.from(colon + 1))),
        None => (piece, None),
    };
    Ok(Entry { host: decode(kind, host)?, in_brackets: false, at: host.at, port })
}

/// The host of an entry that is not a Unix socket.
pub(super) fn network_host(
    kind: Product,
    host: &str,
    in_brackets: bool,
    at: usize,
) -> Result<Host, UriError> {
    if in_brackets {
        // A zone (fe80::1%eth0) is useless for a database on another machine, and Ipv6Addr does not support it.
        return host.parse::<Ipv6Addr>().map(|address| Host::Address(address.into())).map_err(|_| {
            error_at(
                kind,
                at,
                "has something other than an IPv6 address in brackets",
                "Write an IPv6 address in the brackets, or a host name without brackets.",
            )
        });
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(Host::Address(address));
    }
    let odd = host.char_indices().find(|(_, c)| !(c.is_alphanumeric() || matches!(c, '-' | '.' | '_')));
    if let Some((offset, _)) = odd {
        return Err(error_at(
            kind,
            at + offset,
            "has an invalid character in a host name",
            "Correct the host name; special characters in a password must be percent-encoded.",
        ));
    }
    let labels_fit = host.trim_end_matches('.').split('.').all(|label| (1..=63).contains(&label.len()));
    if host.len() > 253 || !labels_fit {
        return Err(error_at(
            kind,
            at,
            "has an invalid host name: its labels must have 1 to 63 characters, and at most 253 in total",
            "Correct the host name.",
        ));
    }
    Ok(Host::Name(host.to_owned()))
}

/// A port as text; an empty one means the default.
pub(super) fn port(kind: Product, text: &str, at: usize) -> Result<u16, UriError> {
    if text.is_empty() {
        return Ok(kind.default_port());
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(error_at(
            kind,
            at,
            "has a port that is not a number",
            "Write the port as a number after the host. If this is a password, the @ and the host after it are missing, \
             or it contains a character that must be percent-encoded.",
        ));
    }
    match text.parse::<u16>() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(error_at(
            kind,
            at,
            "has a port outside the range 1 to 65535",
            format!("Correct the port; {}'s default is {}.", kind.name(), kind.default_port()),
        )),
    }
}

/// The text of a URI with its password and every secret option replaced.
pub(super) fn shown(text: &str, parts: &Parts<'_>, pairs: &[Pair<'_>]) -> String {
    let secrets = parts.password.into_iter().chain(
        pairs.iter().filter(|pair| common_mistakes::is_secret_option(&pair.key)).map(|pair| pair.raw_value),
    );
    let mut shown = String::with_capacity(text.len());
    let mut copied = 0;
    for piece in secrets.filter(|piece| !piece.text.is_empty()) {
        shown.push_str(&text[copied..piece.at]);
        shown.push_str(secret::REDACTED);
        copied = piece.at + piece.text.len();
    }
    shown.push_str(&text[copied..]);
    shown
}
