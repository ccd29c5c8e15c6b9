//! The owner of a row in the database.

use xcluster_core::net::NetError;

use crate::names::{ID_CLUSTER, ID_UID, Names};
use crate::switch::{Row, Switch};

/// The owner of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowOwner {
    /// The row does not exist.
    Absent,
    /// This cluster's.
    Ours,
    /// Another program.
    Foreign,
}

/// Finds the owner of the row of this name.
pub(crate) async fn row_owner(switch: &Switch, table: &str, name: &str, names: &Names) -> Result<RowOwner, NetError> {
    let rows = switch.read(["--if-exists", "--columns=name,external_ids", "list", table, name]).await?;
    Ok(rows
        .first()
        .map_or(RowOwner::Absent, |row| if is_ours(row, names) { RowOwner::Ours } else { RowOwner::Foreign }))
}

fn is_ours(row: &Row, names: &Names) -> bool {
    [ID_CLUSTER, ID_UID].map(|key| row.key("external_ids", key).map(str::to_owned)) == names.owner_ids().map(Some)
}
