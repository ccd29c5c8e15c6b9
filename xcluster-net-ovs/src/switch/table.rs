//! Parses answers of the database, as `ovs-vsctl --format=json` prints them (RFC 7047, 5.1). Pure.

use std::collections::BTreeMap;

use serde_json::Value;

/// One row: its columns by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Row(BTreeMap<String, Value>);

impl Row {
    /// A text, if the column has one.
    pub(crate) fn text(&self, column: &str) -> Option<&str> {
        self.0.get(column)?.as_str()
    }

    /// A number, if the column has one.
    pub(crate) fn number(&self, column: &str) -> Option<i64> {
        self.0.get(column)?.as_i64()
    }

    /// Texts. A set of one element is written as that element.
    pub(crate) fn set(&self, column: &str) -> Vec<String> {
        let Some(value) = self.0.get(column) else { return Vec::new() };
        let text = |value: &Value| value.as_str().map(str::to_owned);
        match tagged(value, "set") {
            Some(elements) => elements.iter().filter_map(text).collect(),
            None => text(value).into_iter().collect(),
        }
    }

    /// The value of a key of a map.
    pub(crate) fn key(&self, column: &str, key: &str) -> Option<&str> {
        let pairs = tagged(self.0.get(column)?, "map")?;
        pairs.iter().find(|pair| pair.get(0).and_then(Value::as_str) == Some(key))?.get(1)?.as_str()
    }
}

/// The elements of `["set", […]]` or `["map", […]]`.
fn tagged<'a>(value: &'a Value, tag: &str) -> Option<&'a Vec<Value>> {
    match value.as_array()?.as_slice() {
        [Value::String(found), Value::Array(elements)] if found == tag => Some(elements),
        _ => None,
    }
}

/// The rows of an answer; `None` if it is not a table. Empty output is an empty table.
pub(crate) fn read(answer: &str) -> Option<Vec<Row>> {
    if answer.trim().is_empty() {
        return Some(Vec::new());
    }
    let table: Value = serde_json::from_str(answer).ok()?;
    let headings: Vec<&str> = table.get("headings")?.as_array()?.iter().filter_map(Value::as_str).collect();
    let row = |row: &Value| {
        let values = row.as_array()?.iter().cloned();
        Some(Row(headings.iter().map(|heading| (*heading).to_owned()).zip(values).collect()))
    };
    table.get("data")?.as_array()?.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_read_whatever_they_are() {
        let answer = r#"{"headings":["name","error","ofport","kinds","external_ids"],"data":[
            ["t1",["set",[]],3,["set",["a","b"]],["map",[["xcluster-uid","7"]]]],
            ["t2","no such device",-1,"a",["map",[]]]]}"#;
        let rows = read(answer).unwrap();
        let of = |row: &Row| (row.text("name").map(str::to_owned), row.text("error").map(str::to_owned));
        assert_eq!(of(&rows[0]), (Some("t1".to_owned()), None));
        assert_eq!(of(&rows[1]), (Some("t2".to_owned()), Some("no such device".to_owned())));
        assert_eq!((rows[0].number("ofport"), rows[1].number("ofport")), (Some(3), Some(-1)));
        assert_eq!((rows[0].set("kinds"), rows[1].set("kinds")), (vec!["a".into(), "b".into()], vec!["a".into()]));
        let uid = |row: &Row| row.key("external_ids", "xcluster-uid").map(str::to_owned);
        assert_eq!((uid(&rows[0]), uid(&rows[1])), (Some("7".to_owned()), None));
    }

    #[test]
    fn what_is_no_table_is_none() {
        assert_eq!(read(""), Some(Vec::new()));
        for wrong in ["x", "{}", r#"{"headings":[]}"#, r#"{"headings":[],"data":[1]}"#] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
