//! Descriptors that a plugin gives during a call. The reply names each of them once, by an unguessable number. The others are
//! closed with the call.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

/// The largest token: the largest integer that every JSON parser keeps exactly (RFC 8259, section 6).
const TOKEN_MAX: u64 = (1 << 53) - 1;

/// The most descriptors of one call: a NIC with 16 queues takes 32.
const GIVEN_MAX: usize = 64;

/// The descriptors of one call.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    given: BTreeMap<u64, OwnedFd>,
    spent: BTreeSet<u64>,
    closed: bool,
    numbers: RandomState,
}

/// Why a token is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadToken {
    #[error("the token {0}, which was never given in this call")]
    Unknown(u64),
    #[error("the token {0} twice")]
    Twice(u64),
}

impl Tokens {
    /// Keeps a duplicate of a descriptor, close-on-exec. `None` if it is not a descriptor, there are too many, or the call is
    /// over.
    pub(super) fn give(&mut self, descriptor: RawFd) -> Option<u64> {
        if self.closed || descriptor < 0 || self.given.len() + self.spent.len() >= GIVEN_MAX {
            return None;
        }
        // SAFETY: it is only used to be duplicated, and the kernel says whether it is open.
        let duplicate = unsafe { BorrowedFd::borrow_raw(descriptor) }.try_clone_to_owned().ok()?;
        let numbers =
            (0_u64..).map(|count| self.numbers.hash_one((self.given.len(), self.spent.len(), count)) & TOKEN_MAX);
        let token = numbers
            .into_iter()
            .find(|token| *token != 0 && !self.given.contains_key(token) && !self.spent.contains(token))?;
        self.given.insert(token, duplicate);
        Some(token)
    }

    /// Takes the descriptor of a token, which is then spent.
    pub(super) fn take(&mut self, token: u64) -> Result<OwnedFd, BadToken> {
        match self.given.remove(&token) {
            Some(descriptor) => {
                self.spent.insert(token);
                Ok(descriptor)
            }
            None if self.spent.contains(&token) => Err(BadToken::Twice(token)),
            None => Err(BadToken::Unknown(token)),
        }
    }

    /// Ends the call: closes the descriptors that were not taken, and keeps no more.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.given.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, pipe};
    use std::os::fd::AsRawFd;

    use nix::fcntl::{FcntlArg, FdFlag, fcntl};

    use super::*;

    #[test]
    fn a_token_is_good_once() {
        let (reader, _writer) = pipe().unwrap();
        let mut tokens = Tokens::default();
        let token = tokens.give(reader.as_raw_fd()).unwrap();
        let taken = tokens.take(token).unwrap();
        assert_eq!(FdFlag::from_bits_retain(fcntl(&taken, FcntlArg::F_GETFD).unwrap()), FdFlag::FD_CLOEXEC);
        assert_eq!(tokens.take(token).unwrap_err(), BadToken::Twice(token));
        let never = if token == 1 { 2 } else { 1 };
        assert_eq!(tokens.take(never).unwrap_err(), BadToken::Unknown(never));
    }

    #[test]
    fn a_token_is_only_valid_in_its_call() {
        let (reader, _writer) = pipe().unwrap();
        let (mut one, mut other) = (Tokens::default(), Tokens::default());
        let token = one.give(reader.as_raw_fd()).unwrap();
        other.give(reader.as_raw_fd()).unwrap();
        assert_eq!(other.take(token).unwrap_err(), BadToken::Unknown(token));
    }

    #[test]
    fn a_descriptor_that_is_not_named_closes_with_the_call() {
        let (mut reader, writer) = pipe().unwrap();
        let mut tokens = Tokens::default();
        tokens.give(writer.as_raw_fd()).unwrap();
        drop(writer);
        tokens.close();
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
        assert_eq!(tokens.give(reader.as_raw_fd()), None);
    }

    #[test]
    fn what_is_no_descriptor_has_no_token_and_there_is_an_end_of_them() {
        let (reader, writer) = pipe().unwrap();
        let closed = writer.as_raw_fd();
        drop(writer);
        let mut tokens = Tokens::default();
        assert_eq!(tokens.give(-1), None);
        // Another test may have opened that number meanwhile.
        let _ = tokens.give(closed);
        let given = (0..2 * GIVEN_MAX).filter_map(|_| tokens.give(reader.as_raw_fd())).collect::<BTreeSet<_>>();
        assert!(given.len() >= GIVEN_MAX - 1 && given.len() <= GIVEN_MAX, "{}", given.len());
        assert!(given.iter().all(|token| (1..=TOKEN_MAX).contains(token)));
    }
}
