//! Membership in solicited-node groups: switches that snoop (RFC 4541) pass solicitations on only to ports whose hosts have said that they
//! listen, and network cards only those that they were told to.

use std::{
    collections::BTreeSet,
    io,
    net::{Ipv6Addr, UdpSocket},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::Duration,
};

/// A group on an interface, by its index.
pub type Membership = (u32, Ipv6Addr);

/// How many groups one socket is a member of: the kernel limits the memory that memberships of a socket may take (`net.core.optmem_max`).
const PER_SOCKET: usize = 64;

/// How long a group that could not be joined waits for the next try.
const RETRY: Duration = Duration::from_secs(1);

/// All memberships, held by a thread of its own: to join the kernel waits for a lock (RTNL) that whoever makes an interface may hold for long.
/// They end with the process.
#[derive(Debug)]
pub struct Groups(Sender<BTreeSet<Membership>>);

impl Groups {
    /// A member of no group.
    ///
    /// # Errors
    /// When there are no threads.
    pub fn start() -> io::Result<Self> {
        let (sender, wanted) = channel();
        thread::Builder::new()
            .name("groups".to_owned())
            .spawn(move || Members::default().run(&wanted))?;
        Ok(Self(sender))
    }

    /// Becomes a member of these groups, and of no others.
    pub fn follow(&self, wanted: BTreeSet<Membership>) {
        if self.0.send(wanted).is_err() {
            tracing::error!("the thread that listens to solicited-node groups is gone");
        }
    }
}

#[derive(Debug, Default)]
struct Members {
    sockets: Vec<(UdpSocket, BTreeSet<Membership>)>,
    /// Whether the last try failed: it is told once.
    failing: bool,
}

impl Members {
    fn run(mut self, wanted: &Receiver<BTreeSet<Membership>>) {
        let mut groups = BTreeSet::new();
        loop {
            let time = if self.failing { RETRY } else { Duration::MAX };
            match wanted.recv_timeout(time) {
                Ok(new) => groups = wanted.try_iter().last().unwrap_or(new),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.follow(&groups);
        }
    }

    /// Becomes a member of the groups that are wanted, and leaves the others. What failed may be tried again.
    fn follow(&mut self, wanted: &BTreeSet<Membership>) {
        for (socket, members) in &mut self.sockets {
            members.retain(|(interface, group)| {
                let stays = wanted.contains(&(*interface, *group));
                if !stays {
                    // An interface that is gone has taken its memberships along.
                    let _ = socket.leave_multicast_v6(group, *interface);
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
            tracing::warn!(interface, %group, %error, "can't listen to a solicited-node group; trying again");
        }
        self.failing = failure.is_some();
    }

    fn join(&mut self, (interface, group): Membership) -> io::Result<()> {
        let place = match self.sockets.iter().position(|(_, members)| members.len() < PER_SOCKET) {
            Some(place) => place,
            None => {
                // It hears nothing: it is only a member.
                self.sockets
                    .push((UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?, BTreeSet::new()));
                self.sockets.len() - 1
            }
        };
        let Some((socket, members)) = self.sockets.get_mut(place) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        socket.join_multicast_v6(&group, interface)?;
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
            (1, "ff02::1:ff00:1".parse().unwrap()),
            (1, "ff02::1:ff00:2".parse().unwrap()),
        );
        let mut members = Members::default();
        members.follow(&[first, second].into());
        members.follow(&[second].into());
        let held: BTreeSet<Membership> = members
            .sockets
            .iter()
            .flat_map(|(_, members)| members)
            .copied()
            .collect();
        assert_eq!((members.failing, held), (false, [second].into()));
        // There is no such interface.
        members.follow(&[second, (u32::MAX, first.1)].into());
        assert!(members.failing);
    }
}
