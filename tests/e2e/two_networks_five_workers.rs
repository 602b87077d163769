//! The tests of [`crate::two_networks`] with five workers: more nodes compete for each address.

crate::two_networks::two_networks!(5);
