//! Settings of backends in a topology: tables that only their backend understands. No key is known here.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::topology::{Problems, read_value};

/// The settings of one backend in a topology: the table `[backend.NAME]`.
pub type Settings = Map<String, Value>;

/// Applies a topology's settings to a backend's configuration. Tables within tables are merged; other values are replaced.
///
/// Most of what an author's [`configured`](super::NetBackend::configured) has to do.
///
/// # Errors
/// Every setting that the configuration does not take, with its place: `net.1.tag`.
pub fn configure<T: Serialize + DeserializeOwned>(config: &T, settings: &Settings) -> Result<T, Problems> {
    let mut value = serde_json::to_value(config).map_err(|error| {
        let mut problems = Problems::default();
        problems.add("", format!("the configuration cannot be serialized to apply settings: {error}"));
        problems
    })?;
    merge(&mut value, &Value::Object(settings.clone()));
    read_value(value)
}

/// Merges one value into another.
pub fn merge(under: &mut Value, over: &Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (key, value) in over {
                merge(under.entry(key).or_insert(Value::Null), value);
            }
        }
        (under, over) => over.clone_into(under),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Default, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Config {
        queues: u8,
        words: Vec<String>,
        nets: BTreeMap<String, Net>,
    }

    #[derive(Debug, PartialEq, Default, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Net {
        tag: u16,
        mirror: bool,
    }

    fn config() -> Config {
        let nets = BTreeMap::from([("1".to_owned(), Net { tag: 7, mirror: true })]);
        Config { queues: 4, words: vec!["a".to_owned(), "b".to_owned()], nets }
    }

    fn settings(value: Value) -> Settings {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn what_the_settings_do_not_name_stays() {
        let configured = configure(&config(), &settings(json!({"words": ["c"], "nets": {"1": {"tag": 8}}}))).unwrap();
        let nets = BTreeMap::from([("1".to_owned(), Net { tag: 8, mirror: true })]);
        assert_eq!(configured, Config { queues: 4, words: vec!["c".to_owned()], nets });
        assert_eq!(configure(&config(), &Settings::new()).unwrap(), config());
    }

    #[test]
    fn every_mistake_is_reported_with_its_place() {
        let wrong = settings(json!({"queues": 1000, "colour": 1, "nets": {"2": {"tag": "x"}}}));
        let problems = configure(&config(), &wrong).unwrap_err();
        let places: Vec<&str> = problems.iter().map(|problem| problem.place.as_str()).collect();
        assert_eq!(places.len(), 3, "{problems}");
        for place in ["queues", "colour", "nets.2.tag"] {
            assert!(places.contains(&place), "{problems}");
        }
    }
}
