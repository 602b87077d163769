//! Nodes with two networks, one between the nodes and one for the LAN. The tests show what the
//! speakers do when one of them fails, and what they report. They run with three workers here, and
//! with five in [`crate::two_networks_five_workers`].

pub(crate) mod events;
pub(crate) mod failures;
mod preflight;

use lodestone_tests::{Cluster, Layout, Spec, images};

use crate::support::SharedCluster;

/// Nodes with this label announce no address.
const EXCLUDE: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// Defines the tests that run for each number of workers.
macro_rules! two_networks {
    ($workers:literal) => {
        fn cluster() -> crate::support::SharedCluster {
            crate::two_networks::shared_cluster($workers)
        }

        crate::support::cluster_tests! { cluster, crate::two_networks;
            events::{
                p4_excluded_node_hands_its_address_over_and_says_why,
                service_without_an_eligible_node_reports_the_reason_of_each_node,
                interfaces_excluded_by_a_helm_value_announce_nothing,
                metrics_show_announced_addresses_and_forget_deleted_ones,
            }
            failures::{
                p1_node_cut_off_from_the_lan_loses_its_address,
                p6_node_cut_off_from_the_other_nodes_keeps_its_address,
                p1_node_without_carrier_hands_its_address_over,
                p5_address_used_by_a_foreign_host_is_not_announced,
                p6_packet_loss_moves_nothing,
                p6_node_that_fails_while_the_api_server_is_down_is_replaced,
            }
        }
    };
}
pub(crate) use two_networks;

two_networks!(3);

/// A control-plane node and some workers with two networks, with Lodestone and the quickstart.
pub(crate) fn shared_cluster(workers: u8) -> SharedCluster {
    let spec = Spec::unique("s")
        .layout(Layout::Split)
        .workers(workers)
        .clients(2)
        .images(images().unwrap());
    SharedCluster::get(spec, |cluster| {
        cluster.install_lodestone(&[]).unwrap();
        cluster.apply_ipv6_pool().unwrap();
        cluster.apply_quickstart().unwrap();
    })
}

/// Excludes a node from announcing addresses.
fn exclude(cluster: &Cluster, node: &str) {
    cluster
        .kubectl(&["label", "node", node, &format!("{EXCLUDE}=")])
        .unwrap();
}

/// Ends the exclusion of a node.
fn include(cluster: &Cluster, node: &str) {
    cluster
        .kubectl(&["label", "node", node, &format!("{EXCLUDE}-")])
        .unwrap();
}
