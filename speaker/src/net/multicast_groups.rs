//! Memberships in solicited-node groups.
//!
//! Without a membership, neighbor solicitations may not arrive. Switches that snoop (RFC 4541)
//! forward them only to ports with members, and network cards accept them only for groups that were
//! joined.

use std::{
    collections::BTreeSet,
    io,
    net::{Ipv6Addr, UdpSocket},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::Duration,
};

use lodestone_speaker_core::InterfaceIndex;

/// The index of an interface, and a group to join on it.
pub(crate) type Membership = (InterfaceIndex, Ipv6Addr);

/// How many groups one socket joins. The kernel limits the memory for memberships of a socket
/// (`net.core.optmem_max`).
const PER_SOCKET: usize = 64;

/// The pause before a group that could not be joined is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// The memberships of this node. They end with the process.
///
/// A thread of its own holds them. To join, the kernel takes the lock RTNL, and another process
/// that creates an interface may hold that lock for long. The driver must not wait for it.
#[derive(Debug)]
pub(crate) struct MulticastGroups(Sender<BTreeSet<Membership>>);

impl MulticastGroups {
    /// Starts the thread, without any membership.
    ///
    /// # Errors
    /// When the thread cannot be started.
    #[expect(
        clippy::disallowed_methods,
        reason = "the second thread of the speaker: it may wait for RTNL, and the driver must not"
    )]
    pub(crate) fn start() -> io::Result<Self> {
        let (sender, wanted) = channel();
        thread::Builder::new()
            .name("groups".to_owned())
            .spawn(move || MemberSockets::default().run(&wanted))?;
        Ok(Self(sender))
    }

    /// Joins the groups of `wanted` and leaves all others. Returns at once; the thread does the
    /// work.
    pub(crate) fn set(&self, wanted: BTreeSet<Membership>) {
        if self.0.send(wanted).is_err() {
            tracing::error!("the thread for solicited-node groups has ended");
        }
    }
}

/// The sockets that hold the memberships, with the memberships of each.
#[derive(Debug, Default)]
struct MemberSockets {
    sockets: Vec<(UdpSocket, BTreeSet<Membership>)>,
    /// Whether the last try failed. Only the first failure is logged.
    failing: bool,
}

impl MemberSockets {
    fn run(mut self, wanted: &Receiver<BTreeSet<Membership>>) {
        let mut groups = BTreeSet::new();
        loop {
            let timeout = if self.failing { RETRY } else { Duration::MAX };
            match wanted.recv_timeout(timeout) {
                Ok(next) => groups = wanted.try_iter().last().unwrap_or(next),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.apply(&groups);
        }
    }

    /// Joins the groups of `wanted` and leaves all others. After a failure it may be called again.
    fn apply(&mut self, wanted: &BTreeSet<Membership>) {
        for (socket, members) in &mut self.sockets {
            members.retain(|(interface, group)| {
                let stays = wanted.contains(&(*interface, *group));
                if !stays {
                    // This fails if the interface is gone, and its memberships with it.
                    let _ = socket.leave_multicast_v6(group, interface.0);
                }
                stays
            });
        }
        let mut failure = None;
        let joined: BTreeSet<Membership> = self.sockets.iter().flat_map(|(_, members)| members).copied().collect();
        for membership in wanted.difference(&joined) {
            if let Err(error) = self.join(*membership) {
                failure = Some((*membership, error));
            }
        }
        if let Some(((interface, group), error)) = failure.as_ref().filter(|_| !self.failing) {
            tracing::warn!(%interface, %group, %error, "cannot join a solicited-node group; retrying");
        }
        self.failing = failure.is_some();
    }

    fn join(&mut self, (interface, group): Membership) -> io::Result<()> {
        let position = match self.sockets.iter().position(|(_, members)| members.len() < PER_SOCKET) {
            Some(position) => position,
            None => {
                // The port is not used: the socket only holds memberships.
                self.sockets
                    .push((UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?, BTreeSet::new()));
                self.sockets.len() - 1
            }
        };
        let Some((socket, members)) = self.sockets.get_mut(position) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        socket.join_multicast_v6(&group, interface.0)?;
        members.insert((interface, group));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_joined_and_left() {
        let (first, second): (Membership, Membership) = (
            (InterfaceIndex(1), "ff02::1:ff00:1".parse().unwrap()),
            (InterfaceIndex(1), "ff02::1:ff00:2".parse().unwrap()),
        );
        let mut sockets = MemberSockets::default();
        sockets.apply(&[first, second].into());
        sockets.apply(&[second].into());
        let held: BTreeSet<Membership> = sockets
            .sockets
            .iter()
            .flat_map(|(_, members)| members)
            .copied()
            .collect();
        assert_eq!((sockets.failing, held), (false, [second].into()));
        sockets.apply(&[second, (InterfaceIndex(u32::MAX), first.1)].into());
        assert!(sockets.failing, "there is no such interface");
    }
}
