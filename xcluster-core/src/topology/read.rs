//! The forms of a topology: TOML, JSON and the JSON schema of both. All mistakes of a text are found in one reading.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::Value;
use toml::de::{DeTable, DeValue};

use super::{Problems, Topology};

/// More mistakes than this are not worth listing; it also bounds the work that a hostile file can make.
const MISTAKES_MAX: usize = 50;

impl Topology {
    /// Reads and judges a topology in TOML.
    ///
    /// # Errors
    /// Every mistake, of the form and of what is said, with its line.
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

    /// Reads and judges a topology in JSON.
    ///
    /// # Errors
    /// Every mistake; of what is said with its path, of the form with its line.
    pub fn from_json(text: &str) -> Result<Self, Problems> {
        Self::from_value(serde_json::from_str(text).map_err(|error| single(&error.to_string()))?)
    }

    /// The topology in TOML, as [`Self::from_toml`] reads it.
    ///
    /// # Panics
    /// Never: every topology has a TOML form.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a topology has no value that TOML lacks")
    }

    /// The topology in JSON, as [`Self::from_json`] reads it.
    ///
    /// # Panics
    /// Never: every topology has a JSON form.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a topology has no key that JSON lacks")
    }

    /// The JSON schema of both forms, for editors. Needs the feature `schema`.
    ///
    /// # Panics
    /// Never: the schema is made of plain JSON.
    #[cfg(feature = "schema")]
    pub fn json_schema() -> String {
        serde_json::to_string_pretty(&schemars::schema_for!(Self)).expect("a schema is JSON")
    }

    fn from_value(value: Value) -> Result<Self, Problems> {
        let topology: Self = read_value(value)?;
        topology.check().map(|()| topology)
    }
}

/// Reads plain data. Takes out what cannot be read, noting it, until the rest can; so every mistake is met.
pub(crate) fn read_value<T: DeserializeOwned>(mut value: Value) -> Result<T, Problems> {
    let mut problems = Problems::default();
    let mut taken = Vec::new();
    for _ in 0..MISTAKES_MAX {
        match serde_path_to_error::deserialize::<_, T>(value.clone()) {
            // What was taken out is missing from what was read.
            Ok(read) if taken.is_empty() => return Ok(read),
            Ok(_) => break,
            Err(error) => {
                let path: Vec<String> = error.path().iter().map(step).collect();
                let message = error.into_inner().to_string();
                let path = with_unknown_key(path, &message);
                let place = original(&taken, &path);
                if !follows_from(&taken, &place, &message) {
                    problems.add(place.join("."), &message);
                }
                let Some((depth, from_list)) = remove(&mut value, &path) else { break };
                taken.push(Taken { path: place[..depth].to_vec(), from_list });
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

/// Something that was taken out, where it stood as the text was written.
struct Taken {
    path: Vec<String>,
    /// Whether what follows it in its list has moved up.
    from_list: bool,
}

/// A field that is missing because it was taken out is no mistake of its own.
fn follows_from(taken: &[Taken], path: &[String], message: &str) -> bool {
    let field = message.strip_prefix("missing field `").and_then(|rest| rest.split_once('`')).map(|(field, _)| field);
    field.is_some_and(|field| {
        taken.iter().any(|t| t.path.split_last().is_some_and(|(last, parent)| last == field && parent == path))
    })
}

/// The path in the text as it was written: every list item taken out before has moved the later ones up.
fn original(taken: &[Taken], path: &[String]) -> Vec<String> {
    let mut original: Vec<String> = Vec::new();
    for segment in path {
        let moved = taken
            .iter()
            .filter(|t| t.from_list && t.path.split_last().is_some_and(|(_, parent)| parent == original.as_slice()));
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

/// An unknown key is reported at its table; this says which key it was.
fn with_unknown_key(mut path: Vec<String>, message: &str) -> Vec<String> {
    let key = message.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`')).map(|(key, _)| key);
    if let Some(key) = key
        && path.last().is_none_or(|last| last != key)
    {
        path.push(key.to_owned());
    }
    path
}

/// Removes what stands at `path`, or the nearest thing around it that can be removed, and says
/// how deep it was and whether in a list.
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

/// The offset in the text of every value, by its path.
fn note_places(table: &DeTable<'_>, path: &str, places: &mut BTreeMap<String, usize>) {
    for (key, value) in table {
        let path = join(path, key.get_ref());
        places.insert(path.clone(), key.span().start);
        note_value(value.get_ref(), &path, places);
    }
}

/// What is judged calls the role `workers`, also where the text says `nodes`.
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

/// The offset of `place`, or of the nearest thing around it that the text has.
fn nearest(places: &BTreeMap<String, usize>, place: &str) -> Option<usize> {
    let mut place = place;
    loop {
        if let Some(offset) = places.get(place) {
            return Some(*offset);
        }
        place = place.rsplit_once('.')?.0;
    }
}

/// Line and column of a byte offset, both counted from one.
fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}
