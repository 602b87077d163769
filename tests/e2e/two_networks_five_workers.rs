//! The tests of [`crate::two_networks`] with five workers, so that more nodes compete for an
//! address.

crate::two_networks::two_networks!(5);
