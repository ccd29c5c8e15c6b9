//! The default backend of nets that name none: the best one that this host can use. Each backend checks the host for itself.

use std::fmt;

use xcluster_core::host::Netns;
use xcluster_core::net::SkippedBackends;
use xcluster_net_bridge::BridgeBackend;

use super::Settings;
use crate::report::{Failure, one_line};

/// The chosen backend, and the reason for the choice.
#[derive(Debug)]
pub(crate) struct DefaultBackend {
    backend: String,
    netns: Netns,
    skipped: Option<SkippedBackends>,
}

impl Settings {
    /// Chooses the default backend and keeps the choice. None if every net has a backend already.
    ///
    /// # Errors
    /// A plugin cannot be loaded.
    pub(crate) fn choose_backend(&mut self) -> Result<Option<DefaultBackend>, Failure> {
        let named = |net| self.topology.nets.get(net).is_some_and(|net| net.backend.is_some());
        if self.options.backend.is_some() || self.topology.net_ids().iter().all(named) {
            return Ok(None);
        }
        let netns = self.options.netns.clone();
        let choice = if netns == Netns::Private {
            let (backends, skipped) = self.backends()?.usable_first();
            let Some(chosen) = backends.default_backend() else { return Ok(None) };
            DefaultBackend { backend: chosen.name().to_owned(), netns, skipped }
        } else {
            // A named namespace is meant for bridges. Whether they work there shows when they are made.
            DefaultBackend { backend: BridgeBackend::NAME.to_owned(), netns, skipped: None }
        };
        self.options.backend = Some(choice.backend.clone());
        Ok(Some(choice))
    }
}

impl DefaultBackend {
    /// Whether the preferred backend was chosen.
    pub(crate) const fn is_preferred(&self) -> bool {
        self.skipped.is_none()
    }

    /// The command that makes the preferred backend possible, if one is known.
    pub(crate) fn remedy(&self) -> Option<&str> {
        self.skipped.iter().flat_map(|skipped| &skipped.skipped).find_map(|(_, error)| error.remedy())
    }
}

/// For people, on one line: `bridge, in a private network namespace`.
impl fmt::Display for DefaultBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.backend)?;
        match (&self.skipped, &self.netns) {
            (Some(skipped), _) => {
                let why = skipped.skipped.iter().map(|(name, error)| {
                    let why = one_line(error);
                    format!("`{name}` cannot be used here: {why}")
                });
                write!(f, ", because {}", why.collect::<Vec<_>>().join("; "))
            }
            (None, _) if self.backend != BridgeBackend::NAME => Ok(()),
            (None, Netns::Private) => f.write_str(", in a private network namespace"),
            (None, Netns::Here) => f.write_str(", in the current network namespace"),
            (None, Netns::Named(name)) => write!(f, ", in the network namespace `{name}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use xcluster_core::host::namespace::NamedNetns;
    use xcluster_core::net::NetError;

    use super::*;

    fn check(netns: Netns, skipped: Option<NetError>, expected: &str, remedy: Option<&str>) {
        let backend = if skipped.is_some() { "user" } else { "bridge" }.to_owned();
        let skipped = skipped
            .map(|error| SkippedBackends { chosen: backend.clone(), skipped: vec![("bridge".to_owned(), error)] });
        let choice = DefaultBackend { backend, netns, skipped };
        assert_eq!((choice.to_string().as_str(), choice.remedy()), (expected, remedy));
    }

    #[test]
    fn a_choice_gives_the_reason_why_the_preferred_backend_was_skipped() {
        check(Netns::Private, None, "bridge, in a private network namespace", None);
        check(Netns::Here, None, "bridge, in the current network namespace", None);
        let named = Netns::Named(NamedNetns::new("alice_xcluster1").unwrap());
        check(named, None, "bridge, in the network namespace `alice_xcluster1`", None);
        let what = "cannot open `/dev/net/tun`: permission denied".to_owned();
        let error = NetError::Unsupported { what, remedy: Some("sudo chmod 0666 /dev/net/tun".to_owned()) };
        let reason = "user, because `bridge` cannot be used here: cannot open `/dev/net/tun`: permission denied";
        check(Netns::Private, Some(error), reason, Some("sudo chmod 0666 /dev/net/tun"));
    }
}
