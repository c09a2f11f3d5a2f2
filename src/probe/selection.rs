//! Which checks a person wants.

use super::check::{Check, Id, is_in};
use crate::bundle::is_of_services;
use crate::cause::Cause;
use crate::database::uri::Product;
use crate::kind::Kind;
use crate::suggest::closest;

/// The checks of `--only` without those of `--skip`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    only: Vec<Id>,
    skip: Vec<Id>,
}

impl Selection {
    /// Each word is a check's ID or a group of checks; an empty `only` means all.
    ///
    /// # Errors
    /// `usage.unknown_check`, naming the closest.
    pub(super) fn new(only: &[String], skip: &[String], catalogue: &[Check]) -> Result<Self, Cause> {
        for word in only.iter().chain(skip) {
            let is_known = catalogue.iter().any(|check| is_in(&check.id, word));
            // A bundle may have additional addresses, which are not in the catalogue.
            if !is_known && (address(word).is_none() || near(word, catalogue).is_some()) {
                return Err(unknown(word, catalogue));
            }
        }
        let ids = |words: &[String]| words.iter().cloned().map(Id::Owned).collect();
        Ok(Selection { only: ids(only), skip: ids(skip) })
    }

    /// Exactly these families.
    pub(crate) fn of(only: &[&'static str]) -> Self {
        Selection { only: only.iter().map(|family| Id::Borrowed(*family)).collect(), skip: Vec::new() }
    }

    /// Whether a check was asked for.
    pub(super) fn wants(&self, id: &str) -> bool {
        let named = |families: &[Id]| families.iter().any(|family| is_in(id, family));
        (self.only.is_empty() || named(&self.only)) && !named(&self.skip)
    }

    /// Whether a check of `family` was asked for.
    pub(super) fn wants_any_of(&self, family: &str, catalogue: &[Check]) -> bool {
        catalogue.iter().any(|check| is_in(&check.id, family) && self.wants(&check.id))
    }

    /// Whether a missing address is not reported: 1.x bundles lack the 2.x ones, unless one is selected by name.
    pub(super) fn may_be_absent(&self, name: &str) -> bool {
        is_of_services(name) && !self.only.iter().any(|word| is_in(word, name))
    }

    /// The addresses that were asked for by name, e.g. `postgres.build_queue`.
    pub(super) fn addresses(&self) -> impl Iterator<Item = String> {
        self.only.iter().filter_map(|word| address(word))
    }
}

/// The name of the address that an id is about.
pub(super) fn address(word: &str) -> Option<String> {
    Product::of_name(word)?;
    let mut parts = word.split('.');
    Some(format!("{}.{}", parts.next()?, parts.next().filter(|name| !name.is_empty())?))
}

/// What was likely meant.
fn near<'c>(word: &str, catalogue: &'c [Check]) -> Option<&'c str> {
    let families = catalogue.iter().flat_map(|check| {
        check.id.match_indices('.').map(|(dot, _)| &check.id[..dot]).chain([check.id.as_ref()])
    });
    closest(word, families)
}

fn unknown(word: &str, catalogue: &[Check]) -> Cause {
    let next_step = match near(word, catalogue) {
        Some(near) => format!("Did you mean {near}? List all checks: agent probe --list"),
        None => "List all checks: agent probe --list".to_owned(),
    };
    Cause::config(Kind::UsageUnknownCheck, format!("Unknown check \"{word}\"."), next_step)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::catalogue::catalogue;
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_family_is_all_its_checks_and_no_other() {
        let wanted = Selection::new(
            &words(&["postgres", "docker.disk"]),
            &words(&["postgres.main.role"]),
            &catalogue(0),
        )
        .unwrap();
        assert!(wanted.wants("postgres.main.auth") && wanted.wants("docker.disk"));
        assert!(!wanted.wants("postgres.main.role") && !wanted.wants("docker.engine"));
        assert!(!wanted.wants("postgresql"));
        assert!(Selection::default().wants("anything"));
    }

    #[test]
    fn a_misspelt_check_is_named_with_the_closest() {
        let cause = Selection::new(&words(&["postgres.mian"]), &[], &catalogue(0)).unwrap_err();
        assert!(cause.next_step.contains("postgres.main"), "{}", cause.next_step);
        let own = Selection::new(&words(&["postgres.build_queue.auth"]), &[], &catalogue(0)).unwrap();
        assert_eq!(own.addresses().collect::<Vec<_>>(), ["postgres.build_queue"]);
    }
}
