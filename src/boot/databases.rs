//! Stage 6, part one: every database passes every rung.

use crate::bundle::{self, Bundle};
use crate::cause::Cause;
use crate::command::Achieved;
use crate::database::ladder::{LadderProbe, LadderResult};
use crate::dns::Resolver;
use crate::files::Root;

use super::run::Stage;

/// Waits until every database passes every rung, whatever the cause: even a wrong password may be corrected on the
/// server, and replacing this box would not help.
pub(super) async fn wait_for(stage: &Stage<'_>, bundle: &Bundle) -> Result<Achieved<()>, Cause> {
    let requests = bundle::requests(&bundle.databases);
    if requests.is_empty() {
        return Ok(Achieved::skipped((), "the bundle sets no database address that can be determined"));
    }
    let ladder_probe = ladder_probe(stage.run.http.names(), &stage.run.root);
    let climbed = stage
        .until(
            stage.run.settings.databases_wait,
            |_| true,
            async || {
                let climbs = ladder_probe.climb_all(&requests).await;
                match failure(&climbs) {
                    Some(cause) => Err(cause),
                    None => Ok(climbs),
                }
            },
        )
        .await;
    let climbs = match climbed {
        // Later stages do not depend on this one, so a dry run can continue.
        Err(cause) if stage.would_wait() => return Ok(Achieved::waiting((), cause.sentence)),
        climbed => climbed?,
    };
    for warning in climbs.iter().flat_map(|climb| &climb.warnings) {
        stage.warn(warning.clone());
    }
    let names: Vec<&str> = climbs.iter().map(|climb| climb.name.as_str()).collect();
    Ok(Achieved::done((), format!("{} answer", names.join(", "))))
}

fn ladder_probe(names: &Resolver, root: &Root) -> LadderProbe {
    LadderProbe::new(names.clone(), root.clone(), "/root")
}

/// One cause for all failing databases; equal sentences share a line.
fn failure(climbs: &[LadderResult]) -> Option<Cause> {
    let mut causes: Vec<Cause> = Vec::new();
    for climb in climbs {
        let Some((_, cause)) = climb.failure() else { continue };
        if !causes.iter().any(|known| known.kind == cause.kind && known.sentence == cause.sentence) {
            causes.push(cause.clone().with("asked for", &climb.name));
        }
    }
    (!causes.is_empty()).then(|| Cause::together(causes))
}
