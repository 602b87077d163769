//! Asking for an address all the time, to find moments in which nobody answers.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Read},
    time::Duration,
};

use lodestone_tests::Cluster;

use super::{client, speaker_logs};

/// How long an address is watched: longer than it takes to delete a pod and to start the next.
const WATCH: Duration = Duration::from_secs(30);

/// The client must ask for this long. Otherwise a watch that ended early would find no silence.
const LEAST_WATCH: Duration = Duration::from_secs(25);

/// How long nobody may answer while a deputy steps in for a speaker, on a loaded machine. A speaker
/// that starts again takes longer.
pub(crate) const DEPUTY_GAP: Duration = Duration::from_millis(400);

/// How long nobody may answer while an address moves (promise P1).
pub(crate) const TAKEOVER_GAP: Duration = Duration::from_millis(500);

/// The answers to requests for an address.
#[derive(Debug)]
pub(crate) struct Answers {
    /// The MACs in them.
    pub(crate) macs: BTreeSet<String>,
    /// The longest time without an answer, also between the last answer and the last request.
    pub(crate) longest_gap: Duration,
}

impl Answers {
    /// Asserts that nobody answered for less than `gap`, and that these MACs were in the answers.
    pub(crate) fn assert(&self, cluster: &Cluster, gap: Duration, macs: &[&str]) {
        self.assert_gap(cluster, gap);
        let wanted = macs.iter().map(|mac| (*mac).to_owned()).collect();
        assert!(
            self.macs == wanted,
            "{self:?}, expected {macs:?}\n{}",
            speaker_logs(cluster)
        );
    }

    /// Asserts that nobody answered for less than `gap`.
    pub(crate) fn assert_gap(&self, cluster: &Cluster, gap: Duration) {
        eprintln!("nobody answered for {:?}", self.longest_gap);
        assert!(
            self.longest_gap < gap,
            "{self:?}, limit {gap:?}\n{}",
            speaker_logs(cluster)
        );
    }
}

/// Broadcasts an ARP request for an IPv4 address every 20 ms for half a minute. It does `work`
/// meanwhile, as soon as the first answer has arrived.
pub(crate) fn watch_answers(cluster: &Cluster, address: &str, work: impl FnOnce()) -> Answers {
    let client = client(cluster);
    let seconds = WATCH.as_secs().to_string();
    // Each arping asks once a second.
    let ask = r#"for _ in $(seq 50); do arping -q -b -w "$2" -I eth0 "$1" & sleep 0.02; done; wait"#;
    let asking = client.tool("sh").args(["-c", ask, "sh", address, &seconds]);
    // The kernel stamps the packets, so a loaded machine distorts nothing. A gratuitous ARP reply
    // is a broadcast. It answers nobody.
    let packets = "arp[6:2] = 1 or (arp[6:2] = 2 and not ether broadcast)";
    let listen = ["tcpdump", "-l", "-i", "eth0", "-n", "-tt", packets];
    let listening = client.tool("timeout").args(["-s", "INT", &seconds]).args(listen);
    let mut listening = listening.start().unwrap();
    let mut lines = BufReader::new(listening.stdout.take().unwrap());
    let mut text = String::new();
    let reply = format!(" Reply {address} is-at ");
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| asking.output());
        while !text.contains(&reply) {
            assert_ne!(lines.read_line(&mut text).unwrap(), 0, "nobody answers for {address}");
        }
        // The pipe must not fill up during the work.
        let reading = scope.spawn(|| lines.read_to_string(&mut text));
        work();
        asking.join().unwrap().unwrap();
        reading.join().unwrap().unwrap();
    });
    listening.wait().unwrap();
    let request = format!(" Request who-has {address} ");
    let requests = stamped(&text, &request).map(|(time, _)| time);
    let answers = stamped(&text, &reply).collect::<Vec<_>>();
    assess(requests.last(), &answers)
}

/// Finds the lines of tcpdump that contain this text, such as
/// `1700000000.123456 ARP, Reply 192.0.2.1 is-at 02:00:00:00:00:01, length 46`. Returns the time in
/// seconds and what follows the text.
fn stamped<'a>(lines: &'a str, text: &'a str) -> impl Iterator<Item = (f64, &'a str)> {
    lines.lines().filter_map(move |line| {
        let (before, after) = line.split_once(text)?;
        let time = before.split_whitespace().next()?.parse::<f64>().ok()?;
        Some((time, after))
    })
}

/// The silence after the last answer ends with the last request: nobody has answered that one.
fn assess(last_request: Option<f64>, answers: &[(f64, &str)]) -> Answers {
    let ends = last_request.expect("no request was captured");
    let (begins, _) = answers.first().expect("no answer was captured");
    assert!(
        ends - begins > LEAST_WATCH.as_secs_f64(),
        "the client stopped asking after {} s",
        ends - begins
    );
    let times = answers.iter().map(|(time, _)| *time).chain([ends]);
    let times = times.collect::<Vec<_>>();
    let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
    let macs = answers.iter().filter_map(|(_, after)| after.split(',').next());
    Answers {
        macs: macs.map(ToOwned::to_owned).collect(),
        longest_gap: Duration::from_secs_f64(gaps.fold(0.0, f64::max)),
    }
}
