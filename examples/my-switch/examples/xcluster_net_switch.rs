//! The switch as a plugin.

xcluster_core::export_plugin!(my_switch::SwitchBackend::default());
