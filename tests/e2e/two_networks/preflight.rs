//! The preflight reports problems of a node in its ConfigurationState, with the command that solves
//! them. The tests run that command.

use lodestone_tests::{Cluster, NAMESPACE, Netns, wait_for};

use super::cluster;
use crate::support::LIMIT;

/// The node that the tests disturb: not the node with the API server.
const NODE: &str = "w2";

/// The status and the message of the condition `preflightPassed` of the speaker on [`NODE`].
fn preflight(cluster: &Cluster) -> anyhow::Result<Option<(String, String)>> {
    let state = cluster.get(&["-n", NAMESPACE, "configurationstate", &format!("speaker-{NODE}")])?;
    let conditions = state["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let condition = conditions
        .iter()
        .find(|condition| condition["type"] == "preflightPassed");
    let text = |field: &str| {
        condition
            .and_then(|condition| condition[field].as_str())
            .map(str::to_owned)
    };
    Ok(text("status").zip(text("message")))
}

/// Waits until the preflight fails with a message that contains `part`, and returns the message.
fn wait_for_failure(cluster: &Cluster, part: &str) -> String {
    wait_for(&format!("the preflight to report {part}"), 3 * LIMIT, || {
        let found = preflight(cluster)?;
        Ok(found.and_then(|(status, message)| (status == "False" && message.contains(part)).then_some(message)))
    })
    .unwrap()
}

fn wait_until_passed(cluster: &Cluster) {
    wait_for("the preflight to pass", 3 * LIMIT, || {
        Ok(preflight(cluster)?.filter(|(status, _)| status == "True"))
    })
    .unwrap();
}

/// Runs the command at the end of a message on the node, as a user would.
fn run_suggested_command(host: &Netns, message: &str) {
    let (_, command) = message.rsplit_once("sysctl ").unwrap();
    host.tool("sysctl").args(command.split_whitespace()).run().unwrap();
}

/// Makes the speaker read the kernel parameters: it does so once a minute, and when a link changes.
fn trigger_preflight(host: &Netns) {
    host.ip(&["link", "add", "kube-ipvs9", "type", "bridge"]).unwrap();
    host.ip(&["link", "del", "kube-ipvs9"]).unwrap();
}

#[test]
fn preflight_finds_ipvs_without_strict_arp_and_suggests_the_solution() {
    let cluster = cluster();
    let host = cluster.host(NODE);
    wait_until_passed(&cluster);
    // The preflight recognises IPVS by this interface, which kube-proxy creates in that mode.
    host.ip(&["link", "add", "kube-ipvs0", "type", "bridge"]).unwrap();
    let message = wait_for_failure(&cluster, "IPVS without strictARP");
    assert_eq!(message.lines().count(), 1, "one problem for all interfaces: {message}");
    let logs = cluster
        .kubectl(&["-n", NAMESPACE, "logs", &cluster.pod_of("speaker", Some(NODE)).unwrap()])
        .unwrap();
    assert!(logs.contains("IPVS without strictARP"), "{logs}");
    run_suggested_command(&host, &message);
    trigger_preflight(&host);
    wait_until_passed(&cluster);
    host.ip(&["link", "del", "kube-ipvs0"]).unwrap();
    host.tool("sysctl")
        .args([
            "-w",
            "net.ipv4.conf.all.arp_ignore=0",
            "net.ipv4.conf.all.arp_announce=0",
        ])
        .run()
        .unwrap();
}

#[test]
fn preflight_finds_strict_rp_filter_and_suggests_the_solution() {
    let cluster = cluster();
    let (host, lan) = (cluster.host(NODE), cluster.lan_interface());
    wait_until_passed(&cluster);
    let strict = format!("net.ipv4.conf.{lan}.rp_filter=1");
    host.tool("sysctl").args(["-w", &strict]).run().unwrap();
    trigger_preflight(&host);
    let message = wait_for_failure(&cluster, &format!("rp_filter is strict on {lan}"));
    assert!(
        message.contains("default route") && message.contains("eth0"),
        "{message}"
    );
    run_suggested_command(&host, &message);
    trigger_preflight(&host);
    wait_until_passed(&cluster);
}

#[test]
fn preflight_finds_an_interface_without_broadcasts() {
    let cluster = cluster();
    wait_until_passed(&cluster);
    cluster.block_broadcasts_to(NODE).unwrap();
    let message = wait_for_failure(&cluster, &format!("tcpdump -eni {} arp", cluster.lan_interface()));
    assert!(message.contains("no ARP broadcast"), "{message}");
    wait_for("an event on the Node with the same text", LIMIT, || {
        let field = format!("involvedObject.name={NODE},reason=PreflightFailed");
        let events = cluster.get(&["events", "--field-selector", &field])?;
        let events = events["items"].as_array().cloned().unwrap_or_default();
        Ok(events.into_iter().find(|event| event["message"] == message))
    })
    .unwrap();
    cluster.restore_links(NODE).unwrap();
    wait_until_passed(&cluster);
}
