//! Which backend carries nets that name none, where nobody has said it: the best that this host can use. Asks the host;
//! what each backend needs is the backend's own affair.

use std::fmt;

use xcluster_core::host::Netns;
use xcluster_core::net::Passed;
use xcluster_net_bridge::BridgeBackend;

use super::Settings;
use crate::report::Failure;

/// A choice of backend, and what there is to say of it.
#[derive(Debug)]
pub(crate) struct Choice {
    backend: String,
    netns: Netns,
    passed: Option<Passed>,
}

impl Settings {
    /// Chooses the backend, if nobody has chosen one for every net, and keeps the choice.
    ///
    /// # Errors
    /// A plugin cannot be loaded.
    pub(crate) fn choose(&mut self) -> Result<Option<Choice>, Failure> {
        let named = |net| self.topology.nets.get(net).is_some_and(|net| net.backend.is_some());
        if self.options.backend.is_some() || self.topology.net_ids().iter().all(named) {
            return Ok(None);
        }
        let netns = self.options.netns.clone();
        let choice = if netns == Netns::Private {
            let (backends, passed) = self.backends()?.usable_first();
            let Some(chosen) = backends.default_backend() else { return Ok(None) };
            Choice { backend: chosen.name().to_owned(), netns, passed }
        } else {
            // Who names a namespace wants bridges in it. Whether that works is seen when they are made.
            Choice { backend: BridgeBackend::NAME.to_owned(), netns, passed: None }
        };
        self.options.backend = Some(choice.backend.clone());
        Ok(Some(choice))
    }
}

impl Choice {
    /// Whether the preferred backend was chosen.
    pub(crate) const fn is_preferred(&self) -> bool {
        self.passed.is_none()
    }

    /// The command that makes the preferred backend possible, if one is known.
    pub(crate) fn remedy(&self) -> Option<&str> {
        self.passed.iter().flat_map(|passed| &passed.passed).find_map(|(_, error)| error.remedy())
    }
}

/// For people, on one line: `bridge, in a network namespace of the cluster's own`.
impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.backend)?;
        match (&self.passed, &self.netns) {
            (Some(passed), _) => {
                let why = passed.passed.iter().map(|(name, error)| format!("`{name}` cannot be used here: {error}"));
                write!(f, ", since {}", why.collect::<Vec<_>>().join("; "))
            }
            (None, _) if self.backend != BridgeBackend::NAME => Ok(()),
            (None, Netns::Private) => f.write_str(", in a network namespace of the cluster's own"),
            (None, Netns::Here) => f.write_str(", in the network namespace that we are in"),
            (None, Netns::Named(name)) => write!(f, ", in the network namespace `{name}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use xcluster_core::host::namespace::NamedNetns;
    use xcluster_core::net::NetError;

    use super::*;

    fn check(netns: Netns, passed: Option<NetError>, expected: &str, remedy: Option<&str>) {
        let backend = if passed.is_some() { "user" } else { "bridge" }.to_owned();
        let passed = passed.map(|error| Passed { chosen: backend.clone(), passed: vec![("bridge".to_owned(), error)] });
        let choice = Choice { backend, netns, passed };
        assert_eq!((choice.to_string().as_str(), choice.remedy()), (expected, remedy));
    }

    #[test]
    fn a_choice_says_why_it_is_not_the_preferred_one() {
        check(Netns::Private, None, "bridge, in a network namespace of the cluster's own", None);
        check(Netns::Here, None, "bridge, in the network namespace that we are in", None);
        let named = Netns::Named(NamedNetns::new("alice_xcluster1").unwrap());
        check(named, None, "bridge, in the network namespace `alice_xcluster1`", None);
        let what = "cannot open `/dev/net/tun`: permission denied".to_owned();
        let error = NetError::Unsupported { what, remedy: Some("sudo chmod 0666 /dev/net/tun".to_owned()) };
        let said = "user, since `bridge` cannot be used here: cannot open `/dev/net/tun`: permission denied";
        check(Netns::Private, Some(error), said, Some("sudo chmod 0666 /dev/net/tun"));
    }
}
