//! The names of the stages, in their order.

pub(super) const IDENTITY: &str = "identity";
pub(super) const LIFECYCLE: &str = "lifecycle";
pub(super) const FETCH: &str = "fetch";
pub(super) const VALIDATE: &str = "validate";
pub(super) const PLACE: &str = "place";
/// Only of bundles that name an airgap package.
pub(super) const AIRGAP: &str = "airgap";
pub(super) const DATABASES: &str = "databases";
pub(super) const IMAGES: &str = "images";
pub(super) const INSTALL: &str = "install";
pub(super) const READY: &str = "ready";
pub(super) const REPORT: &str = "report";

pub(super) const STAGES: [&str; 11] =
    [IDENTITY, LIFECYCLE, FETCH, VALIDATE, PLACE, AIRGAP, DATABASES, IMAGES, INSTALL, READY, REPORT];
