//! Kills all processes of a session: a command and its children.

use std::fs;

use crate::sys;

/// How often the list of processes is read. A process that is forked while the list is read is found the next time; a killed process cannot
/// fork any more.
const PASSES: u32 = 16;

/// Kills all processes in the session of `leader`, in all process groups: the jobs of a shell and the children of `timeout` have
/// other groups than the leader. The leader must not have been reaped, or its pid could belong to another process.
pub(crate) fn kill_session(leader: u32) {
    let leader = leader as i32;
    sys::kill_group(leader, sys::SIGKILL);
    for _ in 0..PASSES {
        let alive = members(leader);
        if alive.is_empty() {
            return;
        }
        for pid in alive {
            sys::kill_process(pid, sys::SIGKILL);
        }
    }
}

fn members(session: i32) -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| is_alive_in(&stat, session)))
        .collect()
}

/// Reads `pid (name) state ppid pgrp session …`. The name may contain spaces and parentheses.
fn is_alive_in(stat: &str, session: i32) -> bool {
    let Some((_, fields)) = stat.rsplit_once(')') else { return false };
    let mut fields = fields.split_ascii_whitespace();
    let dead = matches!(fields.next(), Some("Z" | "X"));
    !dead && fields.nth(2).and_then(|field| field.parse().ok()) == Some(session)
}

#[cfg(test)]
mod tests {
    use super::is_alive_in;

    #[test]
    fn a_process_belongs_to_its_session_whatever_its_name() {
        assert!(is_alive_in("12 (sh) S 1 12 10 0 -1", 10));
        assert!(is_alive_in("12 (a) b (c) R 1 12 10 0 -1", 10));
        assert!(!is_alive_in("12 (sh) S 1 10 12 0 -1", 10));
        assert!(!is_alive_in("12 (sh) Z 1 12 10 0 -1", 10));
        assert!(!is_alive_in("", 10) && !is_alive_in("12 (sh", 10) && !is_alive_in("12 (sh) S", 10));
    }
}
