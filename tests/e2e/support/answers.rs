//! Asking for an address all the time, to find moments in which nobody answers.

use std::{
    collections::{BTreeMap, BTreeSet},
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

/// Requests for IPv4 addresses, from the client of a cluster.
#[derive(Debug)]
pub(crate) struct Requests<'a> {
    pub(crate) addresses: &'a [&'a str],
    /// How often the client asks for each address in a second.
    pub(crate) per_second: u32,
    /// How long the client asks.
    pub(crate) time: Duration,
    /// Whether the work waits for the first answer.
    pub(crate) await_answer: bool,
}

/// The answers to requests for an address.
#[derive(Debug)]
pub(crate) struct Answers {
    /// Each of them, by time.
    pub(crate) all: Vec<Answer>,
    /// The MACs in them.
    pub(crate) macs: BTreeSet<String>,
    /// The longest time without an answer, also between the last answer and the last request.
    pub(crate) longest_gap: Duration,
}

/// An answer to a request.
#[derive(Debug)]
pub(crate) struct Answer {
    /// When the kernel saw it, in seconds since the epoch.
    pub(crate) time: f64,
    /// The MAC in the answer.
    pub(crate) mac: String,
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
    let requests = Requests {
        addresses: &[address],
        per_second: 50,
        time: WATCH,
        await_answer: true,
    };
    let packets = capture(cluster, &requests, work);
    assess(&packets, address, LEAST_WATCH)
}

/// Broadcasts these ARP requests, and does `work` meanwhile. Returns the answers for each address.
/// The client must have asked for each for `least` after its first answer.
pub(crate) fn record_answers(
    cluster: &Cluster,
    requests: &Requests<'_>,
    least: Duration,
    work: impl FnOnce(),
) -> BTreeMap<String, Answers> {
    let packets = capture(cluster, requests, work);
    let addresses = requests.addresses.iter();
    addresses
        .map(|address| ((*address).to_owned(), assess(&packets, address, least)))
        .collect()
}

/// Returns the requests and answers as lines of tcpdump.
fn capture(cluster: &Cluster, requests: &Requests<'_>, work: impl FnOnce()) -> String {
    let client = client(cluster);
    let seconds = requests.time.as_secs().to_string();
    // Each arping asks once a second.
    let ask = r#"
        seconds=$1; rounds=$2; pause=$3; shift 3
        for _ in $(seq "$rounds"); do
            for address; do arping -q -b -w "$seconds" -I eth0 "$address" & done
            sleep "$pause"
        done
        wait"#;
    let rounds = requests.per_second.to_string();
    let pause = (1.0 / f64::from(requests.per_second)).to_string();
    let asking = client
        .tool("sh")
        .args(["-c", ask, "sh", &seconds, &rounds, &pause])
        .args(requests.addresses.iter().copied());
    // The kernel stamps the packets, so a loaded machine distorts nothing. A gratuitous ARP reply
    // is a broadcast. It answers nobody.
    let packets = "arp[6:2] = 1 or (arp[6:2] = 2 and not ether broadcast)";
    let listen = ["tcpdump", "-l", "-i", "eth0", "-n", "-tt", packets];
    let listening = client.tool("timeout").args(["-s", "INT", &seconds]).args(listen);
    let mut listening = listening.start().unwrap();
    let mut lines = BufReader::new(listening.stdout.take().unwrap());
    let mut text = String::new();
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| asking.output());
        while requests.await_answer && !requests.addresses.iter().any(|address| text.contains(&reply(address))) {
            assert_ne!(lines.read_line(&mut text).unwrap(), 0, "nobody answers: {requests:?}");
        }
        // The pipe must not fill up during the work.
        let reading = scope.spawn(|| lines.read_to_string(&mut text));
        work();
        asking.join().unwrap().unwrap();
        reading.join().unwrap().unwrap();
    });
    listening.wait().unwrap();
    text
}

fn reply(address: &str) -> String {
    format!(" Reply {address} is-at ")
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
fn assess(packets: &str, address: &str, least: Duration) -> Answers {
    let request = format!(" Request who-has {address} ");
    let (ends, _) = stamped(packets, &request).last().expect("no request was captured");
    let reply = reply(address);
    let answers = stamped(packets, &reply).filter_map(|(time, after)| {
        let mac = after.split(',').next()?.to_owned();
        Some(Answer { time, mac })
    });
    let all = answers.collect::<Vec<_>>();
    let begins = all.first().expect("no answer was captured").time;
    assert!(
        ends - begins > least.as_secs_f64(),
        "the client stopped asking for {address} after {} s",
        ends - begins
    );
    let times = all.iter().map(|answer| answer.time).chain([ends]);
    let times = times.collect::<Vec<_>>();
    let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
    let longest_gap = gaps.fold(0.0, f64::max);
    Answers {
        macs: all.iter().map(|answer| answer.mac.clone()).collect(),
        longest_gap: Duration::from_secs_f64(longest_gap),
        all,
    }
}
