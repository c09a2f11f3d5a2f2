//! Stage 1: which instance this is.

use crate::aws::imds::{Identity, Imds};
use crate::cause::{Cause, Class};
use crate::command::Achieved;
use crate::console::Event;
use crate::record::Instance;

use super::run::Stage;

/// Queries IMDS once, before anything can fail, so that every later failure can be reported.
///
/// A record with another instance ID was baked into the image, and is discarded here.
pub(super) async fn learn(stage: &Stage<'_>, imds: &Imds) -> Result<Achieved<Identity>, Cause> {
    let run = stage.run;
    // An unreachable service is a `host` or `external` cause; one that rejects requests needs a setting changed.
    let worth_waiting = |cause: &Cause| cause.class != Class::Config;
    let identity =
        stage.until(run.settings.identity_wait, worth_waiting, async || imds.identity().await).await?;
    run.console.emit(Event::Identified { instance_id: identity.instance_id.clone() });
    run.note(|record| {
        let known = record.instance.take().filter(|known| known.id == identity.instance_id);
        record.instance = Some(Instance {
            region: Some(identity.region.clone()),
            availability_zone: Some(identity.availability_zone.clone()),
            address: Some(identity.local_ipv4),
            ..known.unwrap_or_else(|| Instance::new(&identity.instance_id))
        });
    });
    let detail = format!("{} in {}, {}", identity.instance_id, identity.region, identity.local_ipv4);
    Ok(Achieved::done(identity, detail))
}
