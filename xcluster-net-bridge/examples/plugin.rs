//! The backend `bridge` as a plugin: what a test loads to see that one with tasks, descriptors and a namespace survives the way.

xcluster_core::export_plugin!(xcluster_net_bridge::BridgeBackend::default());
