use super::*;

const ADDRESS: &str = "10.0.0.1";
const UNUSED: fn(IpAddr) -> bool = |_| false;

fn context(is_heard: &dyn Fn(&NodeName) -> bool) -> ClaimContext<'_> {
    ClaimContext {
        now: crate::testing::start(),
        cycle: Duration::from_secs(2),
        is_heard,
    }
}

fn claim(epoch: u64) -> Claim {
    Claim {
        address: ADDRESS.parse().unwrap(),
        epoch: Epoch(epoch),
        tentative: false,
    }
}

#[test]
fn higher_epoch_wins_and_equal_epochs_are_settled_by_rank() {
    // By the golden vectors node-b ranks before node-a for this address.
    let (a, b): (NodeName, NodeName) = ("node-a".into(), "node-b".into());
    let context = context(&|_| true);
    for (first, second, owner) in [
        ((&a, 1), (&b, 1), &b),
        ((&b, 1), (&a, 1), &b),
        ((&a, 2), (&b, 1), &a),
        ((&b, 1), (&a, 2), &a),
    ] {
        let mut claims = Claims::default();
        assert_eq!(claims.hear(&context, first.0, claim(first.1)), ClaimOutcome::Changed);
        let outcome = claims.hear(&context, second.0, claim(second.1));
        let wanted = if second.0 == owner {
            ClaimOutcome::Changed
        } else {
            ClaimOutcome::Outdated
        };
        assert_eq!(outcome, wanted);
        assert_eq!(&claims.get(ADDRESS.parse().unwrap()).unwrap().node, owner);
    }
}

#[test]
fn claims_to_more_addresses_than_a_cluster_has_are_ignored() {
    let b = NodeName::from("node-b");
    let context = context(&|_| true);
    let mut claims = Claims::default();
    let first = u128::from("2001:db8::".parse::<std::net::Ipv6Addr>().unwrap());
    let to = |index: usize| Claim {
        address: std::net::Ipv6Addr::from(first + index as u128).into(),
        ..claim(1)
    };
    for index in 0..MAX_CLAIMS {
        assert_eq!(claims.hear(&context, &b, to(index)), ClaimOutcome::Changed);
    }
    assert_eq!(claims.hear(&context, &b, to(MAX_CLAIMS)), ClaimOutcome::Unchanged);
    assert_eq!(claims.of(&b).len(), MAX_CLAIMS);
}

#[test]
fn claim_that_answers_beats_a_tentative_one_of_its_epoch() {
    // By rank node-b would win.
    let (a, b): (NodeName, NodeName) = ("node-a".into(), "node-b".into());
    let tentative = Claim {
        tentative: true,
        ..claim(1)
    };
    let context = context(&|_| true);
    let mut claims = Claims::default();
    claims.hear(&context, &a, claim(1));
    assert_eq!(claims.hear(&context, &b, tentative), ClaimOutcome::Outdated);
    let mut claims = Claims::default();
    claims.hear(&context, &b, tentative);
    assert_eq!(claims.hear(&context, &a, claim(1)), ClaimOutcome::Changed);
}

#[test]
fn owner_that_takes_a_released_address_again_is_news() {
    let a: NodeName = "node-a".into();
    let context = context(&|_| true);
    let mut claims = Claims::default();
    claims.hear(&context, &a, claim(1));
    assert!(claims.release(&a, claim(1)));
    assert_eq!(
        claims.hear(&context, &a, claim(1)),
        ClaimOutcome::Unchanged,
        "it is late"
    );
    assert_eq!(claims.hear(&context, &a, claim(2)), ClaimOutcome::Changed);
}

#[test]
fn own_claim_to_an_unused_address_is_remembered_as_long_as_by_the_others() {
    let a = NodeName::from("node-a");
    let context = context(&|_| true);
    let mut claims = Claims::default();
    let address = ADDRESS.parse().unwrap();
    for _ in 0..7 {
        claims.take(context.now, &a, address, false);
    }
    claims.retain(context.now, context.cycle, UNUSED);
    let record = claims.get(address).unwrap();
    assert_eq!((record.is_from_earlier_use_by(&a), record.epoch), (true, Epoch(7)));
    let stale = context.now + stale_after(context.cycle);
    claims.keep_fresh(stale - Duration::from_secs(1), &a);
    let mut again = claims.clone();
    assert_eq!(again.take(stale, &a, address, false), Epoch(8), "the next use");
    claims.retain(stale, context.cycle, UNUSED);
    let epoch = claims.take(stale, &a, address, false);
    assert_eq!(epoch, Epoch(1), "the others have forgotten it too");
}

#[test]
fn takeover_has_a_higher_epoch_than_all_before() {
    let (a, b): (NodeName, NodeName) = ("node-a".into(), "node-b".into());
    let context = context(&|_| true);
    let mut claims = Claims::default();
    claims.hear(&context, &b, claim(41));
    assert_eq!(claims.take(context.now, &a, ADDRESS.parse().unwrap(), false), Epoch(42));
    assert_eq!(claims.hear(&context, &b, claim(41)), ClaimOutcome::Outdated);
    assert_eq!((claims.of(&a), claims.of(&b)), (vec![claim(42)], vec![]));
    let only_b = |node: &NodeName| *node == b;
    let context = self::context(&only_b);
    assert_eq!(
        claims.hear(&context, &b, claim(1)),
        ClaimOutcome::Changed,
        "the claim of a dead node is void"
    );
}

/// The owner has restarted, so its epochs begin again.
#[test]
fn lower_epoch_counts_for_the_next_use_of_an_address() {
    let b = NodeName::from("node-b");
    let context = context(&|_| true);
    let mut claims = Claims::default();
    claims.hear(&context, &b, claim(41));
    claims.retain(context.now, context.cycle, UNUSED);
    let tentative = Claim {
        tentative: true,
        ..claim(1)
    };
    claims.hear(&context, &b, tentative);
    assert_eq!(claims.of(&b), [tentative]);
    assert_eq!(claims.hear(&context, &b, claim(1)), ClaimOutcome::Changed);
    assert_eq!(claims.of(&b), [claim(1)]);
    assert!(claims.release(&b, claim(1)));
}
