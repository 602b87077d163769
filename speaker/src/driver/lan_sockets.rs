//! The sockets on the LAN: raw frames, and memberships in solicited-node groups.

use std::{
    collections::BTreeSet,
    io,
    net::Ipv6Addr,
    time::{Duration, Instant},
};

use futures::FutureExt;
use lodestone_runtime::clock;
use lodestone_speaker_core::{FrameKind, InterfaceIndex, Speaker};

use crate::net::{
    frame_sockets::{FrameSockets, MAX_FRAME_LEN},
    multicast_groups::MulticastGroups,
    netlink::Links,
};

/// How long to wait before an interface is opened again after a failure.
const RETRY: Duration = Duration::from_secs(1);

/// The sockets on the LAN, and the buffer for the last frame.
#[derive(Debug)]
pub(super) struct LanSockets {
    frames: FrameSockets,
    groups: MulticastGroups,
    buffer: [u8; MAX_FRAME_LEN],
}

/// A frame in the buffer of [`LanSockets`].
#[derive(Clone, Copy, Debug)]
pub(super) struct BufferedFrame {
    interface: InterfaceIndex,
    kind: FrameKind,
    length: usize,
}

impl LanSockets {
    /// Opens no socket yet: [`Self::handle_interfaces`] does that.
    ///
    /// # Errors
    /// When the thread for group memberships cannot be started.
    pub(super) fn start() -> io::Result<Self> {
        Ok(Self {
            frames: FrameSockets::default(),
            groups: MulticastGroups::start()?,
            buffer: FrameSockets::buffer(),
        })
    }

    /// Waits for a frame and reads it into the buffer. Cancel safe: it reads only when it returns.
    pub(super) async fn receive(&mut self) -> BufferedFrame {
        let (interface, kind, length) = self.frames.receive(&mut self.buffer).await;
        BufferedFrame {
            interface,
            kind,
            length,
        }
    }

    /// Reads the next frame into the buffer, if one has arrived.
    pub(super) fn try_receive(&mut self) -> Option<BufferedFrame> {
        self.receive().now_or_never()
    }

    /// Passes the frame in the buffer to the core and sends the answer.
    pub(super) fn answer(&self, core: &mut Speaker, frame: BufferedFrame) {
        let bytes = self.buffer.get(..frame.length).unwrap_or_default();
        if let Some(answer) = core.handle_frame(clock::now(), frame.interface, frame.kind, bytes) {
            self.send(frame.interface, &answer);
        }
    }

    /// Sends a frame. A frame that cannot be sent is lost, as it might be on the network.
    pub(super) fn send(&self, interface: InterfaceIndex, frame: &[u8]) {
        if let Err(error) = self.frames.send(interface, frame) {
            // The interface went down or away. Netlink is about to report that.
            tracing::debug!(%interface, %error, "cannot send a frame");
        }
    }

    /// How many frames were lost because the driver did not read them in time.
    pub(super) fn count_dropped(&mut self) -> u64 {
        self.frames.count_dropped()
    }

    /// Joins these solicited-node groups and leaves all others.
    pub(super) fn set_groups(&self, groups: BTreeSet<(InterfaceIndex, Ipv6Addr)>) {
        self.groups.set(groups);
    }

    /// Opens and closes sockets so that they match `links`, and passes the links to the core. The
    /// core does not see an interface whose sockets cannot be opened, because it would count on it.
    ///
    /// Returns when to try such interfaces again.
    pub(super) fn handle_interfaces(&mut self, core: &mut Speaker, links: Links) -> Option<Instant> {
        let Links { mut interfaces, kernel } = links;
        let failed = self.frames.follow(&interfaces);
        interfaces.retain(|interface| !failed.contains(&interface.index));
        core.handle_interfaces(clock::now(), interfaces);
        core.handle_kernel_settings(clock::now(), kernel);
        (!failed.is_empty()).then(|| clock::now() + RETRY)
    }
}
