use proptest::prelude::*;

use super::*;

fn view(holder: &str, contender: &str, version: u64) -> View {
    View {
        holder: holder.to_owned(),
        contender: contender.to_owned(),
        version: version.to_string(),
        duration: Timing::default().duration,
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const TAKE: Action = Action::Take { keep_contender: false };
const RENEW: Action = Action::Take { keep_contender: true };

/// What one process decides, second by second.
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

    fn at(&mut self, second: u64, view: &View) -> Action {
        let now = self.start + seconds(second);
        self.elector.step(now, now, Some(view))
    }

    fn leads(&self, second: u64) -> bool {
        self.elector.leads(self.start + seconds(second))
    }
}

#[test]
fn a_lease_that_another_one_holds_is_contended_for_and_runs_out() {
    let mut run = Run::new();
    assert_eq!(run.elector.step(run.start, run.start, None), Action::Create);
    assert_eq!(run.at(0, &view("", "", 1)), TAKE);
    assert_eq!(run.at(0, &view("other", "", 2)), Action::Contend);
    // However long it has been unchanged: nobody was there whom its holder had to tell.
    assert_eq!(run.at(100, &view("other", "", 2)), Action::Contend);
    assert_eq!(run.at(100, &view("other", "me", 3)), Action::Wait(seconds(2)));
    // It is renewed: the time begins anew.
    assert_eq!(run.at(114, &view("other", "me", 4)), Action::Wait(seconds(2)));
    assert_eq!(run.at(128, &view("other", "me", 4)), Action::Wait(seconds(1)));
    assert_eq!(run.at(129, &view("other", "me", 4)), TAKE);
    assert!(!run.leads(129));
    run.elector.won(run.start + seconds(129));
    assert!(
        run.leads(138) && !run.leads(139),
        "it stops before anybody else may begin"
    );
    // Another one contends already: that will do.
    assert_eq!(run.at(140, &view("other", "third", 9)), Action::Wait(seconds(2)));
    assert_eq!(run.at(155, &view("other", "third", 9)), TAKE);
}

#[test]
fn a_holder_without_a_contender_writes_nothing_and_one_with_a_contender_renews() {
    let mut run = Run::new();
    run.elector.won(run.start);
    for second in 0..1000 {
        assert_eq!(run.at(second, &view("me", "", 1)), Action::Wait(seconds(2)));
        assert!(run.leads(second + 9) && !run.leads(second + 10));
    }
    // The first thing that a contender sees is a renewal; from time to time it is asked whether it still lives.
    assert_eq!(run.at(1002, &view("me", "other", 2)), TAKE);
    run.elector.won(run.start + seconds(1002));
    assert_eq!(run.at(1003, &view("me", "other", 4)), Action::Wait(seconds(1)));
    assert_eq!(run.at(1004, &view("me", "other", 4)), RENEW);
    // Looking is not enough any more.
    assert!(!run.leads(1012));
    run.elector.won(run.start + seconds(1060));
    assert_eq!(run.at(1062, &view("me", "other", 5)), TAKE);
}

#[test]
fn a_lease_that_bears_our_name_from_before_is_taken_at_once() {
    assert_eq!(Run::new().at(0, &view("me", "", 7)), RENEW);
}

/// The API server: a Lease that is written only by who has seen its version.
#[derive(Default)]
struct Server {
    lease: Option<View>,
    version: u64,
}

impl Server {
    fn write(&mut self, lease: View, seen: Option<&View>) -> bool {
        let current = self.lease.as_ref().map(|lease| &lease.version);
        if current != seen.map(|view| &view.version) {
            return false;
        }
        self.version += 1;
        self.lease = Some(View {
            version: self.version.to_string(),
            ..lease
        });
        true
    }
}

/// What a process does in a step: whether it reads or acts upon what it read, how long it and its request take, and whether the answer
/// is lost.
type Step = (usize, u64, u64, u64, bool);

proptest! {
    /// However slow, stopped or cut off each of three processes is, no two of them ever lead at one time.
    #[test]
    fn never_two_leaders(steps in proptest::collection::vec((0usize..3, 0u64..6000, 0u64..4000, 0u64..3000, any::<bool>()), 1..300)) {
        let steps: Vec<Step> = steps;
        let mut now = crate::clock::now();
        let mut server = Server::default();
        let mut electors: Vec<Elector> = (0..3).map(|index| Elector::new(index.to_string(), Timing::default())).collect();
        // What each has asked for and not acted upon yet: the others go on meanwhile.
        let mut asked: [Option<(Instant, Option<View>)>; 3] = [None, None, None];
        for (who, pause, delay, latency, lost) in steps {
            now += Duration::from_millis(pause);
            let Some((at, seen)) = asked[who].take() else {
                // The answer is what the server has at some moment after it was asked.
                let at = now;
                now += Duration::from_millis(delay);
                asked[who] = Some((at, server.lease.clone()));
                continue;
            };
            let elector = &mut electors[who];
            let (action, started) = (elector.step(at, now, seen.as_ref()), now);
            let (me, old) = (elector.me().to_owned(), seen.clone());
            let contender = old.as_ref().map(|old| old.contender.clone()).unwrap_or_default();
            let lease = match action {
                Action::Create => Some(view(&me, "", 0)),
                Action::Take { keep_contender } => Some(view(&me, if keep_contender { &contender } else { "" }, 0)),
                Action::Contend => old.map(|old| View { contender: me.clone(), ..old }),
                Action::Wait(_) => None,
            };
            if let Some(lease) = lease {
                let written = server.write(lease, seen.as_ref());
                now += Duration::from_millis(latency);
                if action != Action::Contend {
                    // The answer may be lost although the write went through.
                    if written && !lost {
                        elector.won(started);
                    }
                }
            }
            let leaders = electors.iter().filter(|elector| elector.leads(now)).count();
            prop_assert!(leaders <= 1);
        }
    }
}
