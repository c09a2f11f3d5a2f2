//! The catalogue of all checks.

use super::check::{Check, Group, HEALTH, of_database};
use super::questions;
use crate::bundle::stable_names;
use crate::replicated::health;

/// Every check, in the order in which they are shown.
pub(crate) fn catalogue(health_urls: usize) -> Vec<Check> {
    let singles = questions::SINGLES.iter().map(|single| single.check());
    let databases = stable_names().flat_map(|name| of_database(&name));
    let health: Vec<String> = match health_urls {
        0 => health::service_names().map(str::to_owned).collect(),
        count => (1..=count).map(|number| number.to_string()).collect(),
    };
    let health = health
        .into_iter()
        .map(|name| Check::new(Group::App, format!("{HEALTH}.{name}"), "whether its health URL returns 200"));
    let mut all: Vec<Check> = singles.chain(databases).chain(health).collect();
    all.sort_by_key(|check| check.group);
    all
}
