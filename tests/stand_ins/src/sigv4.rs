//! Who signed a request, as far as a stand-in must know: nothing is verified.

use axum::http::{HeaderMap, header};

/// The credential scope of a Signature Version 4 `Authorization` header.
pub(crate) struct Scope {
    pub(crate) access_key: String,
    pub(crate) region: String,
}

impl Scope {
    /// `AWS4-HMAC-SHA256 Credential=KEY/20240501/REGION/SERVICE/aws4_request, SignedHeaders=…, Signature=…`
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let written = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("AWS4-HMAC-SHA256 ")?;
        let field = |name: &str| written.split(',').find_map(|part| part.trim().strip_prefix(name));
        field("Signature=")?;
        // From the right: an access key may hold a slash in a test, a region never.
        let mut parts = field("Credential=")?.rsplitn(5, '/');
        let (_terminator, _service, region) = (parts.next()?, parts.next()?, parts.next()?);
        let (_date, access_key) = (parts.next()?, parts.next()?);
        Some(Self { access_key: access_key.to_owned(), region: region.to_owned() })
    }
}
