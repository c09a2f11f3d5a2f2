//! Host names as people write them into settings.

/// Why the text cannot be a host name, in words that follow "the host name"; `None` if it can.
pub(super) fn flaw(text: &str) -> Option<&'static str> {
    if text.contains("://") {
        return Some("includes a scheme such as https://");
    }
    if text.parse::<std::net::IpAddr>().is_ok() {
        return None;
    }
    if text.contains('/') {
        return Some("includes a path");
    }
    if let Some((_, port)) = text.rsplit_once(':')
        && port.bytes().all(|byte| byte.is_ascii_digit())
    {
        return Some("includes a port");
    }
    if text.contains(char::is_whitespace) {
        return Some("contains whitespace");
    }
    if text.len() > 253 {
        return Some("is longer than 253 characters");
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if text.strip_suffix('.').unwrap_or(text).split('.').all(is_label) {
        None
    } else {
        Some("is not a valid host name")
    }
}
