//! The second half of placing: the box trusts the certificate authorities of the bundle.

use std::path::PathBuf;

use crate::bundle::Bundle;
use crate::cause::Cause;
use crate::trust;

use super::run::Stage;

/// Rebuilds the trust store, if a CA of the bundle is missing from it, and has this process trust it too. Says what was
/// done, if anything.
pub(super) async fn rebuild(stage: &Stage<'_>, bundle: &Bundle) -> Result<Option<String>, Cause> {
    let root = &stage.run.root;
    let anchors = bundle.placements().filter(|placed| trust::is_anchor(placed.path));
    let anchors: Vec<(PathBuf, Vec<u8>)> =
        anchors.map(|placed| (placed.path.to_path_buf(), placed.content.to_vec())).collect();
    if anchors.is_empty() || trust::untrusted(root, &anchors)?.is_empty() {
        return Ok(None);
    }
    let is_installed = stage.run.record().instance.is_some_and(|instance| instance.installed_at.is_some());
    if is_installed && !stage.run.force {
        // What the source has now was not placed, and that has been said.
        return Ok(None);
    }
    let command = trust::command(root);
    if stage.is_dry_run() {
        return Ok(Some(format!("would run {command}")));
    }
    trust::rebuild(root).await?;
    let untrusted = trust::untrusted(root, &anchors)?;
    if !untrusted.is_empty() {
        return Err(trust::not_added(root, &untrusted));
    }
    stage.run.http.reload_trust()?;
    Ok(Some(format!("trust store rebuilt by {command}")))
}
