//! One transaction with the database, and what the switch did with it.
//!
//! `ovs-vsctl` ends when the switch has applied a change. It succeeds even if the switch could not apply it; then the
//! `Interface` row of the port has the error.

use crate::error::SwitchError;
use crate::programs::{self, Programs, VSCTL};

use super::table::{self, Row};

/// The timeout of `ovs-vsctl`, in seconds.
const TIMEOUT: &str = "--timeout=30"; // `programs::VSCTL_TIMEOUT_SECS`

/// Commands of one transaction, and the interfaces to check after it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct VsctlCommand {
    args: Vec<String>,
    /// Interfaces that must exist afterwards, with their MTU where the switch sets it.
    expected: Vec<(String, Option<u16>)>,
}

impl VsctlCommand {
    /// One command.
    pub(crate) fn new(args: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { args: args.into_iter().map(Into::into).collect(), expected: Vec::new() }
    }

    /// Adds a command.
    #[must_use]
    pub(crate) fn and(mut self, args: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.args.push("--".to_owned());
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Adds an interface that must exist afterwards, with its MTU where the switch sets it.
    #[must_use]
    pub(crate) fn expecting(mut self, interface: &str, mtu: Option<u16>) -> Self {
        self.expected.push((interface.to_owned(), mtu));
        self
    }

    /// Joins several.
    pub(crate) fn all(vsctl_commands: &[Self]) -> Self {
        let args: Vec<Vec<String>> = vsctl_commands.iter().map(|command| command.args.clone()).collect();
        let expected = vsctl_commands.iter().flat_map(|command| command.expected.clone()).collect();
        Self { args: args.join(&"--".to_owned()), expected }
    }

    /// The problems of the expected interfaces, from their rows.
    pub(crate) fn judge(&self, rows: &[Row]) -> Result<(), SwitchError> {
        self.expected.iter().try_for_each(|(name, mtu)| {
            let row = rows.iter().find(|row| row.text("name") == Some(name));
            match row.map_or(Some("it is not there".to_owned()), |row| wrong(row, *mtu)) {
                Some(said) => Err(SwitchError::Interface { interface: name.clone(), said }),
                None => Ok(()),
            }
        })
    }
}

/// The problem of an interface.
fn wrong(row: &Row, mtu: Option<u16>) -> Option<String> {
    if let Some(said) = row.text("error") {
        return Some(said.to_owned());
    }
    match (row.number("ofport"), mtu, row.number("mtu")) {
        (None | Some(-1), ..) => Some("it is no port of the bridge".to_owned()),
        (_, Some(queued), Some(found)) if i64::from(queued) != found => {
            Some(format!("its MTU is {found} instead of {queued}"))
        }
        _ => None,
    }
}

/// A client of the database.
#[derive(Debug, Clone)]
pub(crate) struct Vsctl {
    programs: Programs,
    db: String,
}

impl Vsctl {
    pub(crate) fn new(programs: &Programs, db: &str) -> Self {
        Self { programs: programs.clone(), db: db.to_owned() }
    }

    pub(crate) const fn programs(&self) -> &Programs {
        &self.programs
    }

    /// Carries out commands, and waits until the switch has applied them.
    pub(super) async fn transact(&self, command: &VsctlCommand) -> Result<(), SwitchError> {
        self.run(command.args.iter().map(String::as_str), &[]).await.map(drop)
    }

    /// Checks the interfaces that are expected.
    pub(super) async fn interfaces(&self, command: &VsctlCommand) -> Result<Vec<Row>, SwitchError> {
        if command.expected.is_empty() {
            return Ok(Vec::new());
        }
        let args = ["--if-exists", "--columns=name,error,ofport,mtu", "list", "Interface"];
        self.read(args.into_iter().chain(command.expected.iter().map(|(name, _)| name.as_str()))).await
    }

    /// Reads rows.
    pub(crate) async fn read<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Result<Vec<Row>, SwitchError> {
        let answer = self.run(args, &["--no-wait", "--format=json"]).await?;
        let unreadable = || SwitchError::Unreadable { program: VSCTL.to_owned(), said: answer.clone() };
        table::read(&answer).ok_or_else(unreadable)
    }

    async fn run<'a>(&self, args: impl IntoIterator<Item = &'a str>, options: &[&str]) -> Result<String, SwitchError> {
        let mut command = self.programs.command(VSCTL);
        // No messages in the system log: errors of the switch are read from the database.
        command.arg(format!("--db={}", self.db)).args([TIMEOUT, "-vsyslog:off"]).args(options).arg("--").args(args);
        programs::run(VSCTL, command).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &str) -> Vec<Row> {
        table::read(&format!(r#"{{"headings":["name","error","ofport","mtu"],"data":[{rows}]}}"#)).unwrap()
    }

    fn check(row: &str, expected: Option<&str>) {
        let command = VsctlCommand::new(["add-port", "b", "t1"]).expecting("t1", Some(9000));
        assert_eq!(command.judge(&rows(row)).err().map(|error| error.to_string()).as_deref(), expected);
    }

    #[test]
    fn what_the_switch_could_not_do_is_an_error() {
        check(r#"["t1",["set",[]],3,9000]"#, None);
        check(r#"["t1","no such device",-1,["set",[]]]"#, Some("Open vSwitch says of `t1`: no such device"));
        check(r#"["t1",["set",[]],["set",[]],9000]"#, Some("Open vSwitch says of `t1`: it is no port of the bridge"));
        check(r#"["t1",["set",[]],3,1500]"#, Some("Open vSwitch says of `t1`: its MTU is 1500 instead of 9000"));
        check(r#"["t2",["set",[]],3,9000]"#, Some("Open vSwitch says of `t1`: it is not there"));
    }

    #[test]
    fn several_orders_are_one_transaction() {
        let first =
            VsctlCommand::new(["add-port", "b", "t1"]).and(["set", "Port", "t1", "tag=5"]).expecting("t1", None);
        let all = VsctlCommand::all(&[first, VsctlCommand::new(["del-port", "b", "t2"])]);
        assert_eq!(all.args.join(" "), "add-port b t1 -- set Port t1 tag=5 -- del-port b t2");
        assert_eq!(all.expected, [("t1".to_owned(), None)]);
    }
}
