//! The least that can answer ARP requests: poll, recv, fill in the fields that change, send. It is
//! the baseline for the speaker's CPU per answer.

use std::{
    io::Read,
    net::Ipv4Addr,
    os::fd::AsFd,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use lodestone_bench::packet_sockets::{lan_mac, open_sockets, single_thread_runtime};
use lodestone_daemon::clock;
use lodestone_speaker::wire::arp;
use lodestone_tests::Netns;
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    time::{ClockId, clock_gettime},
};
use pnet_base::MacAddr;

/// Answers for `address` on a node while `load` runs, but no longer than `longest`. Returns the
/// result of `load`, and the CPU time of the responder.
pub(crate) fn respond_during<T>(
    host: &Netns,
    address: &str,
    longest: Duration,
    load: impl FnOnce() -> Result<T>,
) -> Result<(T, Duration)> {
    let target: Ipv4Addr = address.parse()?;
    let mac = lan_mac(host)?;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let responder = scope.spawn(|| host.within(|| respond(mac, target, longest, &stop)));
        thread::sleep(Duration::from_millis(200));
        let outcome = load();
        stop.store(true, Ordering::Relaxed);
        let cpu = responder.join().map_err(|_| anyhow!("the bare responder panicked"))??;
        Ok((outcome?, cpu))
    })
}

/// Returns the CPU time used until `stop`.
fn respond(mac: MacAddr, target: Ipv4Addr, longest: Duration, stop: &AtomicBool) -> Result<Duration> {
    let runtime = single_thread_runtime()?;
    let _entered = runtime.enter();
    let (sockets, interface) = open_sockets(mac)?;
    let socket = sockets.arp(interface).context("no ARP socket")?;
    let end = clock::now() + longest;
    let before = thread_cpu()?;
    let mut buffer = [0; 256];
    while !stop.load(Ordering::Relaxed) && clock::now() < end {
        poll(
            &mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)],
            PollTimeout::from(100_u8),
        )?;
        while let Ok(length) = Read::read(&mut &*socket, &mut buffer) {
            let packet = arp::Packet::read(buffer.get(..length).unwrap_or_default());
            if let Some(packet) = packet.filter(|packet| !packet.reply && packet.target == target) {
                socket.send(&packet.answer(mac, mac))?;
            }
        }
    }
    Ok(thread_cpu()? - before)
}

/// Returns the CPU time that this thread has used.
fn thread_cpu() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}
