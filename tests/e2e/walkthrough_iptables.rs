//! The tests of [`crate::walkthrough`] that send packets through kube-proxy, in iptables mode.

crate::walkthrough::through_kube_proxy!(lodestone_tests::ProxyMode::Iptables);
