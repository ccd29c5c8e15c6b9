//! Reads a topology from TOML and JSON, and writes it. All problems of a file are found in one pass.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::Value;
use toml::de::{DeTable, DeValue};

use super::{Problems, Topology};

/// The maximum number of listed problems. It also limits the work that a hostile file can cause.
const MISTAKES_MAX: usize = 50;

impl Topology {
    /// Reads and checks a topology in TOML.
    ///
    /// # Errors
    /// Lists all problems of the syntax and of the values, with their lines.
    pub fn from_toml(text: &str) -> Result<Self, Problems> {
        let (root, errors) = DeTable::parse_recoverable(text);
        let mut problems = Problems::default();
        for error in errors.iter().take(MISTAKES_MAX) {
            let place = error.span().map(|span| line_and_column(text, span.start));
            let message = error.message().trim_end();
            match place {
                Some((line, column)) => problems.add(format!("line {line}, column {column}"), message),
                None => problems.add("", message),
            }
        }
        problems.into_result()?;
        let mut places = BTreeMap::new();
        note_places(root.get_ref(), "", &mut places);
        note_role_alias(&mut places);
        let value = toml::from_str(text).map_err(|error| single(error.message()))?;
        Self::from_value(value).map_err(|mut problems| {
            problems.locate(|place| nearest(&places, place).map(|offset| line_and_column(text, offset)));
            problems
        })
    }

    /// Reads and checks a topology in JSON.
    ///
    /// # Errors
    /// Lists all problems: those of the values with their paths, those of the syntax with their lines.
    pub fn from_json(text: &str) -> Result<Self, Problems> {
        Self::from_value(serde_json::from_str(text).map_err(|error| single(&error.to_string()))?)
    }

    /// Returns the topology in TOML, as [`Self::from_toml`] reads it.
    ///
    /// # Panics
    /// Never: every topology has a TOML form.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a topology has no value that TOML lacks")
    }

    /// Returns the topology in JSON, as [`Self::from_json`] reads it.
    ///
    /// # Panics
    /// Never: every topology has a JSON form.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a topology has no key that JSON lacks")
    }

    /// Returns the JSON schema of both forms, for editors.
    ///
    /// # Panics
    /// Never: a schema is plain JSON.
    #[cfg(feature = "schema")]
    pub fn json_schema() -> String {
        serde_json::to_string_pretty(&schemars::schema_for!(Self)).expect("a schema is JSON")
    }

    fn from_value(value: Value) -> Result<Self, Problems> {
        let topology: Self = read_value(value)?;
        topology.check().map(|()| topology)
    }
}

/// Reads plain data and finds all problems: a value that cannot be read is noted and removed, until the rest can be read.
pub(crate) fn read_value<T: DeserializeOwned>(mut value: Value) -> Result<T, Problems> {
    let mut problems = Problems::default();
    let mut removed = Vec::new();
    for _ in 0..MISTAKES_MAX {
        match serde_path_to_error::deserialize::<_, T>(value.clone()) {
            Ok(read) if removed.is_empty() => return Ok(read),
            Ok(_) => break,
            Err(error) => {
                let path: Vec<String> = error.path().iter().map(step).collect();
                let message = error.into_inner().to_string();
                let path = with_unknown_key(path, &message);
                let place = original(&removed, &path);
                if !follows_from(&removed, &place, &message) {
                    problems.add(place.join("."), &message);
                }
                let Some((depth, from_list)) = remove(&mut value, &path) else { break };
                removed.push(Removed { path: place[..depth].to_vec(), from_list });
            }
        }
    }
    Err(problems)
}

fn step(segment: &serde_path_to_error::Segment) -> String {
    match segment {
        serde_path_to_error::Segment::Seq { index } => index.to_string(),
        other => other.to_string(),
    }
}

/// A value that was removed, with its path in the original text.
struct Removed {
    path: Vec<String>,
    /// Whether it was an item of a list, so that the later items have moved.
    from_list: bool,
}

/// Whether a problem is only that a removed field is missing.
fn follows_from(removed: &[Removed], path: &[String], message: &str) -> bool {
    let field = message.strip_prefix("missing field `").and_then(|rest| rest.split_once('`')).map(|(field, _)| field);
    field.is_some_and(|field| {
        removed.iter().any(|r| r.path.split_last().is_some_and(|(last, parent)| last == field && parent == path))
    })
}

/// Returns the path in the original text: each removed item of a list has moved the later ones.
fn original(removed: &[Removed], path: &[String]) -> Vec<String> {
    let mut original: Vec<String> = Vec::new();
    for segment in path {
        let moved = removed
            .iter()
            .filter(|r| r.from_list && r.path.split_last().is_some_and(|(_, parent)| parent == original.as_slice()));
        let moved = moved.count();
        original.push(match segment.parse::<usize>() {
            Ok(index) if moved > 0 => (index + moved).to_string(),
            _ => segment.clone(),
        });
    }
    original
}

fn single(message: &str) -> Problems {
    let mut problems = Problems::default();
    problems.add("", message);
    problems
}

/// Adds the name of an unknown key to the path: serde reports it at its table.
fn with_unknown_key(mut path: Vec<String>, message: &str) -> Vec<String> {
    let key = message.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`')).map(|(key, _)| key);
    if let Some(key) = key
        && path.last().is_none_or(|last| last != key)
    {
        path.push(key.to_owned());
    }
    path
}

/// Removes the value at `path`, or the nearest value around it. Returns the length of the removed value's path, and whether
/// the value was in a list.
fn remove(value: &mut Value, path: &[String]) -> Option<(usize, bool)> {
    let (last, parents) = path.split_last()?;
    let parent = parents.iter().try_fold(&mut *value, |value, key| match value {
        Value::Object(map) => map.get_mut(key),
        Value::Array(list) => list.get_mut(key.parse::<usize>().ok()?),
        _ => None,
    });
    let from_list = match parent {
        Some(Value::Object(map)) => map.remove(last).map(|_| false),
        Some(Value::Array(list)) => {
            let index = last.parse::<usize>().ok().filter(|index| *index < list.len());
            index.map(|index| list.remove(index)).map(|_| true)
        }
        _ => None,
    };
    match from_list {
        Some(from_list) => Some((path.len(), from_list)),
        None => remove(value, parents),
    }
}

/// Notes the offset of each value in the text, by its path.
fn note_places(table: &DeTable<'_>, path: &str, places: &mut BTreeMap<String, usize>) {
    for (key, value) in table {
        let path = join(path, key.get_ref());
        places.insert(path.clone(), key.span().start);
        note_value(value.get_ref(), &path, places);
    }
}

/// Notes the places below `role.nodes` also below `role.workers`, which problems name.
fn note_role_alias(places: &mut BTreeMap<String, usize>) {
    let aliased: Vec<(String, usize)> = places
        .iter()
        .filter_map(|(place, offset)| {
            let rest = place.strip_prefix("role.nodes").filter(|rest| rest.is_empty() || rest.starts_with('.'))?;
            Some((format!("role.workers{rest}"), *offset))
        })
        .collect();
    for (place, offset) in aliased {
        places.entry(place).or_insert(offset);
    }
}

fn note_value(value: &DeValue<'_>, path: &str, places: &mut BTreeMap<String, usize>) {
    match value {
        DeValue::Table(table) => note_places(table, path, places),
        DeValue::Array(array) => {
            for (index, item) in array.iter().enumerate() {
                let path = join(path, &index.to_string());
                places.insert(path.clone(), item.span().start);
                note_value(item.get_ref(), &path, places);
            }
        }
        _ => {}
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Returns the offset of `place`, or of the nearest value around it that the text has.
fn nearest(places: &BTreeMap<String, usize>, place: &str) -> Option<usize> {
    let mut place = place;
    loop {
        if let Some(offset) = places.get(place) {
            return Some(*offset);
        }
        place = place.rsplit_once('.')?.0;
    }
}

/// Returns the line and column of a byte offset, both counted from one.
fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}
