//! Membership in solicited-node groups: switches that snoop (RFC 4541) pass solicitations on only to ports whose hosts have said that they
//! listen, and network cards only those that they were told to.

use std::{
    collections::BTreeSet,
    io,
    net::{Ipv6Addr, UdpSocket},
};

/// A group on an interface, by its index.
pub type Membership = (u32, Ipv6Addr);

/// How many groups one socket is a member of: the kernel limits the memory that memberships of a socket may take (`net.core.optmem_max`).
const PER_SOCKET: usize = 64;

/// All memberships. They end with the process.
#[derive(Debug, Default)]
pub struct Groups {
    sockets: Vec<(UdpSocket, BTreeSet<Membership>)>,
    /// Whether the last try failed: it is told once.
    failing: bool,
}

impl Groups {
    /// Becomes a member of the groups that are wanted, and leaves the others. Gives back whether all went well: what failed may be tried
    /// again.
    pub fn follow(&mut self, wanted: &BTreeSet<Membership>) -> bool {
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
        !self.failing
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
