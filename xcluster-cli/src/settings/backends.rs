//! Settings of backends: the topology's tables, changed by variables and options. Each backend interprets its own settings.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};
use xcluster_core::net::merge;
use xcluster_core::topology::Topology;
use xcluster_net_bridge::{BridgeBackend, BridgeConfig};
use xcluster_net_ovs::OvsBackend;
use xcluster_net_user::UserBackend;

use super::parse;
use super::sourced_value::{Reader, SourcedValue};
use crate::args::ClusterArgs;

/// Settings by backend.
type Tables = BTreeMap<String, Map<String, Value>>;

/// The option for any setting of any backend.
const SET: &str = "--set";

/// Applies variables and options to a topology's tables.
pub(super) fn put<'a>(topology: &mut Topology, args: &'a ClusterArgs, reader: &mut Reader<'a>) {
    let numbers = reader.user_config();
    merge_into(topology, UserBackend::NAME, changed(&numbers));
    if let Some(queues) = reader.value("--queues", args.nets.queues.as_deref(), "", parse::queues) {
        merge_into(topology, BridgeBackend::NAME, changed(&BridgeConfig::default().with_queues(queues)));
    }
    for text in &args.nets.set {
        if let Some(tables) = reader.parse(SourcedValue { origin: SET, text }, read) {
            tables.into_iter().for_each(|(backend, table)| merge_into(topology, &backend, table));
        }
    }
    make_absolute(topology);
}

/// Makes the paths of OpenFlow files absolute, since the owner of the cluster runs in another folder.
fn make_absolute(topology: &mut Topology) {
    let nets = topology.backends.get_mut(OvsBackend::NAME).and_then(|table| table.get_mut("net")?.as_object_mut());
    let nets = nets.into_iter().flat_map(|nets| nets.values_mut());
    for file in nets.filter_map(|net| net.get_mut("flows")) {
        if let Some(Ok(absolute)) = file.as_str().map(std::path::absolute) {
            *file = absolute.to_string_lossy().into();
        }
    }
}

/// Merges settings into those of a backend. Without settings, no table is added.
pub(super) fn merge_into(topology: &mut Topology, backend: &str, settings: Map<String, Value>) {
    if settings.is_empty() {
        return;
    }
    let table = topology.backends.entry(backend.to_owned()).or_default();
    let mut under = Value::Object(std::mem::take(table));
    merge(&mut under, &Value::Object(settings));
    if let Value::Object(merged) = under {
        *table = merged;
    }
}

/// The values of a config that differ from the default.
fn changed<T: Serialize + Default>(config: &T) -> Map<String, Value> {
    let table = |config: &T| match serde_json::to_value(config) {
        Ok(Value::Object(table)) => table,
        _ => Map::new(),
    };
    let usual = table(&T::default());
    table(config).into_iter().filter(|(key, value)| usual.get(key) != Some(value)).collect()
}

/// Parses `ovs.net.1.tag=100`: a TOML key, and a TOML value or else a text.
fn read(text: &str) -> Result<Tables, String> {
    let form = "BACKEND.KEY=VALUE, as in `bridge.queues=2`";
    let (key, value) = text.split_once('=').ok_or_else(|| format!("`{text}` has no `=`: write {form}"))?;
    let parse = |value: &str| toml::from_str::<Tables>(&format!("{key}={value}"));
    let plain = Value::String(value.to_owned()).to_string();
    parse(value).or_else(|_| parse(&plain)).map_err(|_| format!("`{key}` is not a backend and a key: write {form}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(text: &str, expected: Value) {
        assert_eq!(json!(read(text).unwrap()), expected, "{text}");
    }

    #[test]
    fn a_setting_is_a_toml_key_with_a_toml_value_or_a_text() {
        check("bridge.queues=2", json!({"bridge": {"queues": 2}}));
        check("ovs.net.1.trunks=[1, 2]", json!({"ovs": {"net": {"1": {"trunks": [1, 2]}}}}));
        check("ovs.flows=rules \"a\".txt", json!({"ovs": {"flows": "rules \"a\".txt"}}));
        check("x.on=true", json!({"x": {"on": true}}));
        check("x.empty=", json!({"x": {"empty": ""}}));
    }

    #[test]
    fn paths_of_openflow_files_are_relative_to_the_callers_folder() {
        let mut topology = Topology::default();
        let nets = json!({"net": {"1": {"flows": "rules", "tag": 7}, "2": {"flows": "/etc/rules"}, "3": {"flows": 5}}});
        merge_into(&mut topology, "ovs", nets.as_object().unwrap().clone());
        make_absolute(&mut topology);
        let here = std::env::current_dir().unwrap().join("rules");
        let expected =
            json!({"net": {"1": {"flows": here, "tag": 7}, "2": {"flows": "/etc/rules"}, "3": {"flows": 5}}});
        assert_eq!(json!(topology.backends["ovs"]), expected);
    }

    #[test]
    fn malformed_settings_are_refused() {
        for wrong in ["bridge", "bridge=2", "=2", "a b.c=1", "bridge.=1"] {
            assert!(read(wrong).is_err(), "{wrong}: {:?}", read(wrong));
        }
    }
}
