use proptest::prelude::*;

use super::*;

fn view(holder: &str, version: u64) -> View {
    View {
        holder: holder.to_owned(),
        version: version.to_string(),
        duration: Timing::default().duration,
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn every_case_of_the_table() {
    let start = crate::clock::now();
    let mut elector = Elector::new("me".to_owned(), Timing::default());
    assert_eq!(elector.step(start, None), Action::Create);
    assert_eq!(elector.step(start, Some(&view("", 1))), Action::Take);
    assert_eq!(elector.step(start, Some(&view("other", 2))), Action::Wait(seconds(2)));
    // It is renewed: the time begins anew.
    assert_eq!(
        elector.step(start + seconds(14), Some(&view("other", 3))),
        Action::Wait(seconds(2))
    );
    assert_eq!(
        elector.step(start + seconds(28), Some(&view("other", 3))),
        Action::Wait(seconds(1))
    );
    assert_eq!(elector.step(start + seconds(29), Some(&view("other", 3))), Action::Take);
    assert!(!elector.leads(start + seconds(29)));
    elector.won(start + seconds(29));
    assert_eq!(
        elector.step(start + seconds(30), Some(&view("me", 4))),
        Action::Wait(seconds(1))
    );
    assert_eq!(elector.step(start + seconds(31), Some(&view("me", 4))), Action::Take);
    assert!(elector.leads(start + seconds(38)));
    assert!(
        !elector.leads(start + seconds(39)),
        "it stops before anybody else may begin"
    );
    elector.lost();
    assert!(!elector.leads(start + seconds(30)));
}

#[test]
fn a_lease_that_bears_our_name_from_before_is_taken_at_once() {
    let mut elector = Elector::new("me".to_owned(), Timing::default());
    assert_eq!(elector.step(crate::clock::now(), Some(&view("me", 7))), Action::Take);
}

/// The API server: a Lease that is written only by who has seen its version.
#[derive(Default)]
struct Server {
    lease: Option<View>,
    version: u64,
}

impl Server {
    fn write(&mut self, me: &str, seen: Option<&View>) -> bool {
        let current = self.lease.as_ref().map(|lease| &lease.version);
        if current != seen.map(|view| &view.version) {
            return false;
        }
        self.version += 1;
        self.lease = Some(view(me, self.version));
        true
    }
}

proptest! {
    /// However slow, stopped or cut off each of three processes is, no two of them ever lead at one time.
    #[test]
    fn never_two_leaders(steps in proptest::collection::vec((0usize..3, 0u64..4000, 0u64..3000, any::<bool>()), 1..200)) {
        let mut now = crate::clock::now();
        let mut server = Server::default();
        let mut electors: Vec<Elector> = (0..3).map(|index| Elector::new(index.to_string(), Timing::default())).collect();
        for (who, pause, latency, lost) in steps {
            now += Duration::from_millis(pause);
            let seen = server.lease.clone();
            let elector = &mut electors[who];
            let action = elector.step(now, seen.as_ref());
            if action == Action::Take || action == Action::Create {
                let started = now;
                let me = elector.me().to_owned();
                let written = server.write(&me, seen.as_ref());
                now += Duration::from_millis(latency);
                // The answer may be lost although the write went through.
                if written && !lost {
                    elector.won(started);
                } else if !written {
                    elector.lost();
                }
            }
            let leaders = electors.iter().filter(|elector| elector.leads(now)).count();
            prop_assert!(leaders <= 1);
        }
    }
}
