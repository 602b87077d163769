use super::*;

fn peer_conflict(response: PeerConflictResponse) -> Event {
    Event::PeerConflict {
        address: "192.0.2.1".parse().unwrap(),
        services: vec![],
        owner: "a".into(),
        rival: "b".into(),
        mac: MacAddr::new(2, 0, 0, 0, 0, 2),
        response,
    }
}

#[test]
fn each_event_has_its_text() {
    let address = "192.0.2.1".parse().unwrap();
    let taken = |from: Option<&str>| Event::OwnershipTaken {
        address,
        services: vec![],
        to: "a".into(),
        from: from.map(NodeName::from),
        cause: OwnershipCause::HandedOver,
    };
    let foreign_conflict = |response, knows_peers| Event::ForeignConflict {
        address,
        services: vec![],
        owner: "a".into(),
        mac: MacAddr::new(2, 0, 0, 0, 0, 9),
        response,
        knows_peers,
    };
    let no_eligible_node = |reasons: &[(&str, IneligibilityReason)]| Event::NoEligibleNode {
        address,
        services: vec![],
        reasons: reasons.iter().map(|(node, reason)| ((*node).into(), *reason)).collect(),
    };
    let phase = |failed| Event::PeerPhaseChanged {
        node: "b".into(),
        failed,
    };
    let deputy = |addresses| Event::DeputyChanged {
        deputy: "a".into(),
        owner: "b".into(),
        addresses,
    };
    for (event, text) in [
        (
            taken(None),
            "node a took ownership of 192.0.2.1: the former owner handed it over",
        ),
        (
            taken(Some("b")),
            "node a took ownership of 192.0.2.1 from node b: the former owner handed it over",
        ),
        (
            foreign_conflict(ForeignConflictResponse::Defends, true),
            "192.0.2.1 is used by 02:00:00:00:00:09, which is no known node of the cluster. Node a defends the address.",
        ),
        (
            foreign_conflict(ForeignConflictResponse::HoldsBack, true),
            "192.0.2.1 is used by 02:00:00:00:00:09, which is no known node of the cluster. Node a does not announce the address.",
        ),
        (
            foreign_conflict(ForeignConflictResponse::HoldsBack, false),
            "192.0.2.1 is used by 02:00:00:00:00:09, which is no known node of the cluster. Node a does not announce the address. Node a hears no other speaker, so 02:00:00:00:00:09 may be another node. Check that the speakers' UDP port is open between the nodes. Check that all speakers have the same key.",
        ),
        (
            no_eligible_node(&[
                ("a", IneligibilityReason::NoSpeaker),
                ("b", IneligibilityReason::NoSpeaker),
            ]),
            "no node is eligible to announce 192.0.2.1: a: no speaker is heard from it; b: no speaker is heard from it",
        ),
        (
            no_eligible_node(&[
                ("a", IneligibilityReason::NoSpeaker),
                ("b", IneligibilityReason::OwnAddress),
            ]),
            "192.0.2.1 is not announced: it is the address of node b",
        ),
        (phase(true), "the speaker of node b has failed"),
        (phase(false), "the speaker of node b is alive again"),
        (
            deputy(2),
            "node a answers as the deputy of node b; number of addresses: 2",
        ),
        (deputy(0), "node a is no longer the deputy of node b"),
    ] {
        assert_eq!(event.to_string(), text);
    }
}

#[test]
fn conflict_with_a_peer_says_what_the_node_does_and_what_to_check() {
    let blocked = CHECK_PORT;
    for (response, action, hint) in [
        (
            PeerConflictResponse::HoldsBack,
            "Node a does not announce the address.",
            blocked,
        ),
        (
            PeerConflictResponse::StepsDown,
            "Node a stops announcing the address.",
            blocked,
        ),
        (
            PeerConflictResponse::GoesOn,
            "Node a goes on announcing the address.",
            blocked,
        ),
        (
            PeerConflictResponse::IgnoresKernel,
            "whose kernel answers",
            "Remove the address from the interfaces",
        ),
    ] {
        let text = peer_conflict(response).to_string();
        assert!(
            text.starts_with("192.0.2.1 is used by node b (02:00:00:00:00:02), "),
            "{text}"
        );
        assert!(text.contains(action) && text.contains(hint), "{text}");
    }
}

#[test]
fn each_cause_has_its_label_and_its_text() {
    for (cause, label, text) in [
        (OwnershipCause::New, "new", "no node owned it before"),
        (
            OwnershipCause::NodeDown,
            "node-down",
            "the former owner does not answer on the LAN",
        ),
        (
            OwnershipCause::SpeakerDown,
            "speaker-down",
            "the speaker of the former owner is down",
        ),
        (
            OwnershipCause::HandedOver,
            "handed-over",
            "the former owner handed it over",
        ),
        (
            OwnershipCause::Ineligible(IneligibilityReason::NoSpeaker),
            "ineligible",
            "the former owner is no longer eligible (no speaker is heard from it)",
        ),
        (
            OwnershipCause::Unclaimed,
            "unclaimed",
            "the former owner no longer claimed it",
        ),
        (
            OwnershipCause::Preferred,
            "preferred",
            "the L2Advertisement prefers the new owner",
        ),
        (
            OwnershipCause::Hash,
            "hash",
            "the new owner ranks first with hash ownership",
        ),
        (
            OwnershipCause::Rebalanced,
            "rebalanced",
            "the former owner took it while other nodes were missing",
        ),
    ] {
        assert_eq!((cause.label(), cause.to_string().as_str()), (label, text));
    }
}
