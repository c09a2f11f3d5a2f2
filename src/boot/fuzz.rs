//! What a boot is told by its user-data and by the boot that went before, as [`crate::fuzz`] tries it.

use super::order::Order;
use super::user_data;
use crate::files::Root;

pub(crate) use super::order::ORDER_FILE;

pub(crate) fn user_data(bytes: &[u8]) {
    if let Some(flags) = user_data::flags_in(bytes) {
        assert!(
            !(flags.dry_run || flags.foreground || flags.unit || flags.force),
            "these are not for the unit"
        );
    }
}

pub(crate) fn order(root: &Root) {
    if let Ok(Some(order)) = Order::read(root) {
        assert!(order.is_same(&order));
    }
}
