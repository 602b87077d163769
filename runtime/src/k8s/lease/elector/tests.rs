use proptest::prelude::*;

use super::*;

fn lease(holder: &str, candidate: &str, version: u64) -> LeaseState {
    LeaseState {
        holder: holder.to_owned(),
        candidate: candidate.to_owned(),
        version: version.to_string(),
        duration: Timing::default().lease_duration,
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const ACQUIRE: Action = Action::Hold { keep_candidate: false };
const RENEW: Action = Action::Hold { keep_candidate: true };

/// One process and its decisions, by seconds of virtual time.
#[derive(Clone)]
struct Run {
    start: Instant,
    elector: Elector,
}

impl Run {
    fn new() -> Self {
        Self {
            start: crate::clock::now(),
            elector: Elector::new("me".to_owned(), Timing::default()),
        }
    }

    fn at(&mut self, second: u64, lease: &LeaseState) -> Action {
        let now = self.start + seconds(second);
        self.elector.handle_lease(now, now, Some(lease))
    }

    /// A write that makes this process the holder succeeds at once.
    fn hold(&mut self, second: u64) {
        let now = self.start + seconds(second);
        self.elector.handle_held(now, now);
    }

    fn is_leader(&self, second: u64) -> bool {
        is_leader(&self.elector, self.start + seconds(second))
    }

    fn term(&self) -> Option<u64> {
        self.elector.leadership().map(|leadership| leadership.term)
    }
}

fn is_leader(elector: &Elector, now: Instant) -> bool {
    elector.leadership().is_some_and(|it| now < it.until)
}

#[test]
fn candidate_takes_over_when_the_lease_expires() {
    let mut run = Run::new();
    assert_eq!(run.elector.handle_lease(run.start, run.start, None), Action::Create);
    assert_eq!(run.at(0, &lease("", "", 1)), ACQUIRE);
    assert_eq!(run.at(0, &lease("other", "", 2)), Action::Nominate);
    // A Lease without a candidate never expires, because its holder had no reason to renew it.
    assert_eq!(run.at(100, &lease("other", "", 2)), Action::Nominate);
    assert_eq!(run.at(100, &lease("other", "me", 3)), Action::Wait(seconds(2)));
    // A renewal restarts the wait.
    assert_eq!(run.at(114, &lease("other", "me", 4)), Action::Wait(seconds(2)));
    assert_eq!(run.at(128, &lease("other", "me", 4)), Action::Wait(seconds(1)));
    assert_eq!(run.at(129, &lease("other", "me", 4)), ACQUIRE);
    assert!(!run.is_leader(129));
    run.hold(129);
    assert!(
        run.is_leader(138) && !run.is_leader(139),
        "leadership ends before another process can take over"
    );
    // A Lease that has another candidate already can expire, too.
    assert_eq!(run.at(140, &lease("other", "third", 9)), Action::Wait(seconds(2)));
    assert_eq!(run.at(155, &lease("other", "third", 9)), ACQUIRE);
}

#[test]
fn leader_renews_only_for_a_candidate() {
    let mut run = Run::new();
    run.hold(0);
    for second in 0..1000 {
        assert_eq!(run.at(second, &lease("me", "", 1)), Action::Wait(seconds(2)));
        assert!(run.is_leader(second + 9) && !run.is_leader(second + 10));
    }
    // A new candidate first sees a renewal that clears it: a live candidate enters itself again.
    assert_eq!(run.at(1002, &lease("me", "other", 2)), ACQUIRE);
    run.hold(1002);
    assert_eq!(run.at(1003, &lease("me", "other", 4)), Action::Wait(seconds(1)));
    assert_eq!(run.at(1004, &lease("me", "other", 4)), RENEW);
    // With a candidate, a read no longer extends leadership.
    assert!(!run.is_leader(1012));
    run.hold(1060);
    assert_eq!(run.at(1062, &lease("me", "other", 5)), ACQUIRE);
}

#[test]
fn lease_left_by_an_earlier_run_is_taken_at_once() {
    assert_eq!(Run::new().at(0, &lease("me", "", 7)), RENEW);
}

#[test]
fn slow_renewal_within_the_deadline_continues_the_term() {
    let mut run = Run::new();
    run.hold(0);
    assert_eq!(run.at(9, &lease("me", "", 1)), Action::Wait(seconds(2)));
    assert_eq!(run.at(18, &lease("me", "other", 2)), ACQUIRE);
    run.hold(18);
    assert_eq!((run.term(), run.is_leader(27)), (Some(1), true));
}

#[test]
fn p7_leader_that_wakes_after_its_deadline_begins_a_new_term() {
    let mut run = Run::new();
    run.hold(0);
    assert_eq!(
        run.at(10, &lease("me", "", 1)),
        Action::Wait(seconds(2)),
        "without a candidate a leader only reads"
    );
    assert_eq!((run.term(), run.is_leader(19)), (Some(2), true));
    assert_eq!(run.at(30, &lease("me", "other", 2)), ACQUIRE);
    run.hold(30);
    assert_eq!((run.term(), run.is_leader(39)), (Some(3), true));
}

#[test]
fn p7_leader_that_wakes_after_another_term_begins_a_new_one() {
    // Another process led and released the Lease, or it was deleted.
    for state in [Some(lease("", "", 5)), None] {
        for wakes in [3, 20] {
            let mut run = Run::new();
            run.hold(0);
            let now = run.start + seconds(wakes);
            let action = run.elector.handle_lease(now, now, state.as_ref());
            assert!(matches!(action, ACQUIRE | Action::Create), "{action:?}");
            assert_eq!(run.term(), None, "this process is not the holder");
            // The response to the write is lost. The next read finds this process as the holder.
            let mut lost = run.clone();
            assert_eq!(lost.at(wakes + 1, &lease("me", "", 6)), RENEW);
            lost.hold(wakes + 1);
            assert_eq!(lost.term(), Some(2));
            run.hold(wakes);
            assert_eq!((run.term(), run.is_leader(wakes + 9)), (Some(2), true));
        }
    }
}

/// The API server: it accepts a write only with the current version.
#[derive(Default)]
struct Server {
    lease: Option<LeaseState>,
    version: u64,
}

impl Server {
    fn write(&mut self, lease: LeaseState, seen: Option<&LeaseState>) -> bool {
        let current = self.lease.as_ref().map(|lease| &lease.version);
        if current != seen.map(|lease| &lease.version) {
            return false;
        }
        self.version += 1;
        self.lease = Some(LeaseState {
            version: self.version.to_string(),
            ..lease
        });
        true
    }

    fn release(&mut self, identity: &str) {
        let seen = self.lease.clone();
        if let Some(held) = seen.clone().filter(|lease| lease.holder == identity) {
            let released = LeaseState {
                holder: String::new(),
                ..held
            };
            self.write(released, seen.as_ref());
        }
    }
}

/// A step of one process. A process alternates between a read and the action that follows from it.
/// The fields, with times in milliseconds:
/// - the index of the process;
/// - the pause before the step;
/// - the latency of a read;
/// - the latency of a write;
/// - whether the response to a write is lost;
/// - whether the process exits instead, which releases the Lease. A new one replaces it.
type Step = (usize, u64, u64, u64, bool, bool);

/// Checks that a term is one period without another leader in it.
#[derive(Default)]
struct Terms {
    /// The identity and the term of the last leader.
    last: Option<(String, u64)>,
    ended: Vec<(String, u64)>,
}

impl Terms {
    /// Returns whether the term of `leader` has not ended before.
    fn note(&mut self, leader: &Elector) -> bool {
        let term = leader.leadership().map_or(0, |leadership| leadership.term);
        let current = (leader.identity().to_owned(), term);
        if self.last.as_ref() != Some(&current) {
            self.ended.extend(self.last.replace(current.clone()));
        }
        !self.ended.contains(&current)
    }
}

proptest! {
    /// Three processes may be slow, suspended or disconnected, or exit. At no time do two of them
    /// lead, and no term continues after that of another process.
    #[test]
    fn at_most_one_candidate_leads_at_any_time(steps in proptest::collection::vec((0usize..3, 0u64..6000, 0u64..4000, 0u64..3000, any::<bool>(), proptest::bool::weighted(0.05)), 1..300)) {
        let steps: Vec<Step> = steps;
        let mut now = crate::clock::now();
        let mut server = Server::default();
        let mut electors: Vec<Elector> = (0..3).map(|index| Elector::new(index.to_string(), Timing::default())).collect();
        // What each has read but not acted on yet; the other processes run in between.
        let mut reads: [Option<(Instant, Option<LeaseState>)>; 3] = [None, None, None];
        let (mut terms, mut exits) = (Terms::default(), 0);
        for (index, pause, read_latency, write_latency, lost, exits_now) in steps {
            now += Duration::from_millis(pause);
            if exits_now {
                server.release(electors[index].identity());
                exits += 1;
                electors[index] = Elector::new(format!("{index}-{exits}"), Timing::default());
                reads[index] = None;
                continue;
            }
            let Some((read_started, seen)) = reads[index].take() else {
                // The response shows the state at some moment after the request.
                let read_started = now;
                now += Duration::from_millis(read_latency);
                reads[index] = Some((read_started, server.lease.clone()));
                continue;
            };
            let elector = &mut electors[index];
            let (action, write_started) = (elector.handle_lease(read_started, now, seen.as_ref()), now);
            let me = elector.identity().to_owned();
            let old = seen.clone().unwrap_or_default();
            let desired = match action {
                Action::Create => Some(lease(&me, "", 0)),
                Action::Hold { keep_candidate } => Some(lease(&me, if keep_candidate { &old.candidate } else { "" }, 0)),
                Action::Nominate => Some(LeaseState { candidate: me.clone(), ..old }),
                Action::Wait(_) => None,
            };
            if let Some(desired) = desired {
                let written = server.write(desired, seen.as_ref());
                now += Duration::from_millis(write_latency);
                // The response may be lost although the write succeeded.
                if written && !lost && action != Action::Nominate {
                    elector.handle_held(write_started, now);
                }
            }
            let leaders: Vec<&Elector> = electors.iter().filter(|elector| is_leader(elector, now)).collect();
            prop_assert!(leaders.len() <= 1);
            prop_assert!(leaders.into_iter().all(|leader| terms.note(leader)));
        }
    }
}
