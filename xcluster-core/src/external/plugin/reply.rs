//! Parses and checks replies of plugins. Pure. Nothing in a reply is trusted.

use serde::de::DeserializeOwned;

use super::error::{Fault, InvalidReply};
use super::message::{Description, PortConfig, Reply};
use crate::topology::NetKind;

/// The most bytes of a reply. A NIC's args take a few hundred.
pub(super) const MAX: usize = 1 << 20;

/// Every kind of net.
const KINDS: [NetKind; 4] = [NetKind::Internal, NetKind::Cluster, NetKind::External, NetKind::Other];

/// Parses a reply to a call.
pub(super) fn read<T: DeserializeOwned>(call: &'static str, bytes: &[u8]) -> Result<T, Fault> {
    let rubbish = |what| Fault::InvalidReply { call, what };
    let text = std::str::from_utf8(bytes).map_err(|_| rubbish(InvalidReply::NotText))?;
    match serde_json::from_str(text) {
        Ok(Reply::Ok(answer)) => Ok(answer),
        Ok(Reply::Error(error)) => Err(Fault::Said { call, error }),
        Err(error) => Err(rubbish(InvalidReply::Json(error))),
    }
}

/// Checks that a description covers every kind of net.
pub(super) fn complete(description: &Description) -> Result<(), InvalidReply> {
    match KINDS.into_iter().find(|kind| description.of(*kind).is_none()) {
        Some(kind) => Err(InvalidReply::Silent(kind)),
        None => Ok(()),
    }
}

/// Checks whether QEMU can be given such args.
pub(super) fn check_port_config(port_config: &PortConfig) -> Result<(), InvalidReply> {
    if port_config.args.iter().any(|arg| arg.contains('\0')) {
        return Err(InvalidReply::Zero);
    }
    match port_config.args.first() {
        Some(arg) if !arg.starts_with('-') => {
            Err(InvalidReply::NoOption(text(arg.as_bytes()).chars().take(60).collect()))
        }
        _ => Ok(()),
    }
}

/// Bytes from a plugin as text for people, without control characters for the terminal.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().filter(|c| *c == '\n' || !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::message::{Done, Error, QemuNetns};
    use super::*;
    use crate::net::HostAccess;

    fn check(reply: &str, expected: &str) {
        let port_config = read::<PortConfig>("setup", reply.as_bytes());
        let judged = port_config.and_then(|port_config| {
            check_port_config(&port_config).map_err(|what| Fault::InvalidReply { call: "setup", what })
        });
        let said = judged.unwrap_err().to_string();
        assert!(said.contains(expected), "{reply}: {said}");
    }

    #[test]
    fn fields_of_a_port_config_that_are_absent_have_defaults() {
        let port_config: PortConfig = read("setup", br#"{"ok": {"words": ["-s"]}}"#).unwrap();
        assert_eq!(
            (port_config.place, port_config.access, port_config.descriptors.len()),
            (QemuNetns::Here, HostAccess::None, 0)
        );
        let said = json!({"ok": {"words": ["-netdev", "tap,fd=@a@"], "descriptors": {"a": 7}, "place": "cluster",
            "access": {"inside": "192.168.1.3"}}});
        let port_config: PortConfig = read("setup", said.to_string().as_bytes()).unwrap();
        assert_eq!((port_config.place, port_config.descriptors["a"]), (QemuNetns::Cluster, 7));
    }

    #[test]
    fn a_faulty_reply_is_reported_with_its_fault() {
        check("", "no reply");
        check("hello", "no reply");
        check(r#"{"ok": {}}"#, "missing field `words`");
        check(r#"{"ok": {"words": [], "wrods": 1}}"#, "unknown field `wrods`");
        check(r#"{"ok": {"words": []}, "more": 1}"#, "no reply");
        check(r#"{"okay": {"words": []}}"#, "unknown variant `okay`");
        check(r#"{"ok": {"words": ["x\u0000"]}}"#, "zero byte");
        check(r#"{"ok": {"words": ["Error: no bridge"]}}"#, "the args `Error: no bridge …`");
        check(r#"{"ok": {"words": [], "descriptors": {"a": -1}}}"#, "invalid value");
        check(r#"{"error": {"kind": "strange"}}"#, "unknown variant `strange`");
        check(&"[".repeat(10_000), "no reply");
        let said = read::<Done>("usable", b"\xff{}").unwrap_err().to_string();
        assert!(said.contains("not UTF-8"), "{said}");
    }

    #[test]
    fn errors_arrive_as_what_they_are() {
        let said = json!({"error": {"kind": "io", "action": "open it", "errno": 13}});
        let Err(Fault::Said { error, .. }) = read::<Done>("usable", said.to_string().as_bytes()) else {
            panic!("it is an error");
        };
        assert_eq!(error, Error::Io { action: "open it".to_owned(), errno: 13 });
    }

    #[test]
    fn capabilities_are_said_for_all_or_for_each() {
        let switch = json!({"vm_to_vm": "switch", "mtu_max": 9000});
        let of = |capabilities: Value| {
            let reply = json!({"ok": {"capabilities": capabilities}}).to_string();
            read::<Description>("describe", reply.as_bytes()).unwrap()
        };
        let all = of(json!({"all": switch, "internal": {"vm_to_vm": "none", "mtu_max": 1500, "host_access": true}}));
        assert!(complete(&all).is_ok());
        assert!(all.of(NetKind::Internal).unwrap().host_access);
        assert_eq!(all.of(NetKind::Other).unwrap().mtu_max, 9000);
        assert_eq!(all.of(NetKind::Other).unwrap().max_ports, None);
        let cable = of(json!({"all": {"vm_to_vm": "switch", "mtu_max": 1500, "max_ports": 2, "lossy": true}}));
        let cable = cable.of(NetKind::Other).unwrap();
        assert!(cable.lossy && cable.allows(2) && !cable.allows(3), "{cable:?}");
        let said = complete(&of(json!({"internal": switch}))).unwrap_err().to_string();
        assert_eq!(said, "no capabilities for nets of the kind `cluster`");
    }

    /// Any JSON value.
    fn json() -> impl Strategy<Value = Value> {
        let arg = prop_oneof![
            Just("ok"),
            Just("error"),
            Just("words"),
            Just("kind"),
            Just("io"),
            Just("descriptors"),
            Just("place"),
            Just("x"),
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            arg.clone().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(arg.clone().prop_map(str::to_owned), inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = read::<PortConfig>("setup", &bytes).map(|port_config| check_port_config(&port_config));
            let _ = read::<Description>("describe", &bytes).map(|said| complete(&said));
        }

        #[test]
        fn any_json_is_judged(value in json()) {
            let bytes = value.to_string();
            let _ = read::<PortConfig>("setup", bytes.as_bytes()).map(|port_config| check_port_config(&port_config));
            let _ = read::<Description>("describe", bytes.as_bytes()).map(|said| complete(&said));
            let _ = read::<Done>("usable", bytes.as_bytes());
        }
    }
}
