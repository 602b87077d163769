//! Asking for addresses all the time, to find moments in which nobody answers.

mod lan_prober;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    process::Child,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use lan_prober::{LanProber, Packet};
use lodestone_tests::{Cluster, read_frames, wait_until};

use super::{LIMIT, client, speaker_logs};

/// The client asks at least this long after the first answer: longer than it takes to delete a pod
/// and to start the next. A watch that ended early would find no silence.
const LEAST_WATCH: Duration = Duration::from_secs(25);

/// How long nobody may answer while a deputy steps in for a speaker, on a loaded machine. A speaker
/// that starts again takes longer.
pub(crate) const DEPUTY_GAP: Duration = Duration::from_millis(400);

/// How long nobody may answer while an address moves (promise P1).
pub(crate) const TAKEOVER_GAP: Duration = Duration::from_millis(500);

/// The answers to requests for an address.
#[derive(Debug)]
pub(crate) struct Answers {
    /// The MACs in them, each with the times of its first and its last answer.
    pub(crate) macs: BTreeMap<String, (Duration, Duration)>,
    /// The longest time without an answer, also between the last answer and the last request.
    pub(crate) longest_gap: Duration,
    /// When it began, since the Unix epoch. Compare it with the time in the logs.
    gap_begin: Duration,
    /// The same without the answers of deputies: a deputy also answers for a node that is dead.
    longest_owner_gap: Duration,
}

impl Answers {
    /// Asserts that nobody answered for less than `gap`, and that these MACs were in the answers.
    pub(crate) fn assert(&self, cluster: &Cluster, gap: Duration, macs: &[&str]) {
        self.assert_gap(cluster, gap);
        let found: BTreeSet<&str> = self.macs.keys().map(String::as_str).collect();
        assert!(
            found == macs.iter().copied().collect(),
            "{self:?}, expected {macs:?}\n{}",
            speaker_logs(cluster)
        );
    }

    /// Asserts promise P1: an owner answered itself again within [`TAKEOVER_GAP`].
    pub(crate) fn assert_takeover(&self, cluster: &Cluster) {
        eprintln!("no owner answered for {:?}", self.longest_owner_gap);
        assert!(
            self.longest_owner_gap < TAKEOVER_GAP,
            "{self:?}\n{}",
            speaker_logs(cluster)
        );
    }

    /// How long two MACs answered.
    pub(crate) fn overlap(&self) -> Duration {
        let mut times = self.macs.values();
        let (Some((first, last)), Some((other_first, other_last))) = (times.next(), times.next()) else {
            return Duration::ZERO;
        };
        last.min(other_last).saturating_sub(*first.max(other_first))
    }

    /// Asserts that nobody answered for less than `gap`.
    pub(crate) fn assert_gap(&self, cluster: &Cluster, gap: Duration) {
        eprintln!("nobody answered for {:?} from {:?}", self.longest_gap, self.gap_begin);
        assert!(
            self.longest_gap < gap,
            "{self:?}, limit {gap:?}\n{}",
            speaker_logs(cluster)
        );
    }
}

/// Asks for an address every 20 ms. Does `work` meanwhile, as soon as the first answer has arrived.
pub(crate) fn watch_answers(cluster: &Cluster, address: &str, work: impl FnOnce()) -> Answers {
    let answers = watch_lan(cluster, &[address], |watch| {
        watch.wait_for(Duration::ZERO);
        work();
        watch.wait_for(LEAST_WATCH);
        watch.take_answers()
    });
    answers.into_values().next().unwrap()
}

/// Asks for each address every 20 ms while `work` runs.
pub(crate) fn watch_lan<T>(cluster: &Cluster, addresses: &[&str], work: impl FnOnce(&LanWatch) -> T) -> T {
    let watch = LanWatch {
        targets: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        packets: Mutex::default(),
    };
    let client = LanProber::new(client(cluster));
    let mut tcpdump = client.capture().start().unwrap();
    let frames = tcpdump.stdout.take().unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // If the work panics, the threads end.
        let _end = End(&mut tcpdump, &stop);
        scope.spawn(|| {
            read_frames(frames, |frame| {
                if let Some((address, packet)) = client.packet(&frame) {
                    watch.record(address, frame.time, packet);
                }
            })
        });
        let asking = scope.spawn(|| client.ask(&watch.targets, &stop));
        let result = work(&watch);
        stop.store(true, Ordering::Relaxed);
        asking.join().unwrap().unwrap();
        result
    })
}

/// Ends a watch when it is dropped.
struct End<'a>(&'a mut Child, &'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.1.store(true, Ordering::Relaxed);
        // An error means that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A watch that goes on.
#[derive(Debug)]
pub(crate) struct LanWatch {
    targets: Vec<IpAddr>,
    packets: Mutex<BTreeMap<IpAddr, Packets>>,
}

impl LanWatch {
    fn record(&self, address: IpAddr, time: Duration, packet: Packet) {
        let mut packets = self.packets.lock().unwrap();
        let packets = packets.entry(address).or_default();
        match packet {
            Packet::Request => packets.last_request = time,
            Packet::Answer(answer) => {
                packets.answers.push((time, answer.mac.to_string()));
                if answer.from_owner {
                    packets.owner_answers.push(time);
                }
            }
        }
    }

    /// Waits until the client has asked for this long after the first answer for each address.
    pub(crate) fn wait_for(&self, time: Duration) {
        wait_until("answers for all addresses", LIMIT + time, || {
            let packets = self.packets.lock().unwrap();
            let length = |target| packets.get(target).and_then(Packets::length);
            self.targets.iter().all(|target| length(target) > Some(time))
        })
        .unwrap();
    }

    /// Waits until the client has asked for each address for this long from now.
    pub(crate) fn wait_for_more(&self, time: Duration) {
        let asked = || {
            let packets = self.packets.lock().unwrap();
            let last = |target| packets.get(target).map(|packets| packets.last_request);
            self.targets.iter().map(last).min().flatten()
        };
        let begin = asked();
        wait_until("more requests", LIMIT + time, || {
            asked() > begin.map(|begin| begin + time)
        })
        .unwrap();
    }

    /// Returns the MAC in the last answer for each address.
    pub(crate) fn last_answers(&self) -> BTreeMap<IpAddr, String> {
        let packets = self.packets.lock().unwrap();
        let last = |target: &IpAddr| {
            let (_, mac) = packets.get(target)?.answers.last()?;
            Some((*target, mac.clone()))
        };
        self.targets.iter().filter_map(last).collect()
    }

    /// Returns the MACs in the last answers.
    pub(crate) fn last_macs(&self) -> BTreeSet<String> {
        self.last_answers().into_values().collect()
    }

    /// Returns the answers for each address since the last call.
    pub(crate) fn take_answers(&self) -> BTreeMap<IpAddr, Answers> {
        let mut packets = self.packets.lock().unwrap();
        let mut take = |target| packets.get_mut(target).expect("the client has asked").take();
        self.targets.iter().map(|target| (*target, take(target))).collect()
    }
}

/// The packets that concern an address.
#[derive(Debug, Default)]
struct Packets {
    /// The answers, each with its time and the MAC in it.
    answers: Vec<(Duration, String)>,
    /// The times of those that the owner sent itself.
    owner_answers: Vec<Duration>,
    last_request: Duration,
}

impl Packets {
    /// The time from the first answer to the last request; `None` before the first answer.
    fn length(&self) -> Option<Duration> {
        let (begin, _) = self.answers.first()?;
        Some(self.last_request.saturating_sub(*begin))
    }

    /// Assesses the answers and forgets all but the last. The silence after the last answer ends
    /// with the last request: nobody has answered that one.
    fn take(&mut self) -> Answers {
        let times = self.answers.iter().map(|(time, _)| *time);
        let (longest_gap, gap_begin) = find_longest_gap(times.chain([self.last_request]));
        let owner_answers = self.owner_answers.iter().copied();
        let (longest_owner_gap, _) = find_longest_gap(owner_answers.chain([self.last_request]));
        let mut macs: BTreeMap<String, (Duration, Duration)> = BTreeMap::new();
        for (time, mac) in &self.answers {
            macs.entry(mac.clone()).or_insert((*time, *time)).1 = *time;
        }
        let last = self.answers.len().checked_sub(1).expect("nobody has answered");
        self.answers.drain(..last);
        self.owner_answers.drain(..self.owner_answers.len().saturating_sub(1));
        Answers {
            macs,
            longest_gap,
            gap_begin,
            longest_owner_gap,
        }
    }
}

/// The longest time between two of these times, and when it began.
fn find_longest_gap(times: impl Iterator<Item = Duration>) -> (Duration, Duration) {
    let times: Vec<Duration> = times.collect();
    let gaps = times.windows(2).map(|pair| (pair[1].saturating_sub(pair[0]), pair[0]));
    gaps.max().unwrap_or_default()
}
