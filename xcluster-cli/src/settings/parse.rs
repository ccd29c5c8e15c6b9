//! Parsers of the values of options and variables. An error says what is wrong and what is right. The topology checks further
//! ranges.

use std::time::Duration;

use xcluster_core::name::NetId;
use xcluster_core::plan::Readiness;
use xcluster_net_bridge::BridgeConfig;

/// A number in the range of its type.
pub(crate) fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = text.parse().ok().filter(|_| plain);
    number.ok_or_else(|| if plain { format!("{text} is too large") } else { format!("`{text}` is not a number") })
}

/// A count of at least one.
pub(crate) fn at_least_one(text: &str) -> Result<usize, String> {
    number(text).and_then(|count| if count == 0 { Err("0 is too small: at least 1".to_owned()) } else { Ok(count) })
}

/// Queue pairs of a NIC.
pub(crate) fn queues(text: &str) -> Result<u8, String> {
    let range = BridgeConfig::QUEUES;
    let count = number::<u64>(text)?;
    let found = u8::try_from(count).ok().filter(|count| range.contains(count));
    found.ok_or_else(|| format!("{count} queues are out of range: {}–{}", range.start(), range.end()))
}

/// An MTU. A number that is too large is reported as out of range.
pub(crate) fn mtu(text: &str) -> Result<u16, String> {
    number::<u64>(text)?.try_into().map_err(|_| format!("an MTU of {text} is out of range: 1280–65535"))
}

/// Nets as `0,1,3`.
pub(crate) fn nets(text: &str) -> Result<Vec<NetId>, String> {
    text.split([',', ' ']).map(|net| net.parse::<NetId>().map_err(|error| error.to_string())).collect()
}

/// TCP ports as `80,443`.
pub(crate) fn ports(text: &str) -> Result<Vec<u16>, String> {
    text.split(',').map(number).collect()
}

/// `yes` or `no`.
pub(crate) fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        other => Err(format!("`{other}` is neither `yes` nor `no`")),
    }
}

/// Memory in MiB, as QEMU's `-m` takes it: `384`, `384M`, `2G`.
pub(crate) fn memory(text: &str) -> Result<u32, String> {
    let (digits, unit) = match text.strip_suffix(['M', 'm']) {
        Some(digits) => (digits, 1),
        None => text.strip_suffix(['G', 'g']).map_or((text, 1), |digits| (digits, 1024)),
    };
    let number: u32 = number(digits).map_err(|error| format!("{error}: write memory as `384` (MiB) or `2G`"))?;
    number.checked_mul(unit).ok_or_else(|| format!("{text} is too large"))
}

/// A duration: seconds, or a number with `s`, `m` or `h`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let (digits, unit) = match text.char_indices().last() {
        Some((at, 's')) => (&text[..at], 1),
        Some((at, 'm')) => (&text[..at], 60),
        Some((at, 'h')) => (&text[..at], 3600),
        _ => (text, 1),
    };
    let seconds = number::<u32>(digits).map_err(|error| format!("{error}: write a time as `90`, `90s` or `5m`"))?;
    if seconds == 0 {
        return Err("0 is too short: at least 1 s".to_owned());
    }
    Ok(Duration::from_secs(u64::from(seconds) * unit))
}

/// When a node counts as ready.
pub(crate) fn readiness(text: &str) -> Result<Readiness, String> {
    match (text, text.strip_prefix("console:")) {
        ("agent", _) => Ok(Readiness::Agent),
        ("ssh", _) => Ok(Readiness::Ssh),
        ("started", _) => Ok(Readiness::Started),
        (_, Some(pattern)) if !pattern.is_empty() => Ok(Readiness::Console(pattern.to_owned())),
        _ => Err(format!("`{text}` is not a readiness: use `agent`, `ssh`, `console:PATTERN` or `started`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: PartialEq + std::fmt::Debug>(parse: fn(&str) -> Result<T, String>, good: &[(&str, T)], bad: &[&str]) {
        for (text, value) in good {
            assert_eq!(parse(text).as_ref(), Ok(value), "{text}");
        }
        for text in bad {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn memory_is_in_mib_or_has_a_unit() {
        check(memory, &[("384", 384), ("384M", 384), ("2G", 2048), ("2g", 2048)], &["", "G", "-1", "1T", "4194304G"]);
    }

    #[test]
    fn a_time_is_in_seconds_or_has_a_unit() {
        let secs = Duration::from_secs;
        check(
            duration,
            &[("90", secs(90)), ("90s", secs(90)), ("5m", secs(300)), ("1h", secs(3600))],
            &["", "s", "0", "1.5", "-1", "1d", "9999999999", "1€"],
        );
    }

    #[test]
    fn nets_are_numbers_in_order() {
        let net = NetId::new;
        check(nets, &[("0", vec![net(0)]), ("0,3,1", vec![net(0), net(3), net(1)])], &["", "0,", "0,256", "0;1", "a"]);
    }

    #[test]
    fn a_readiness_is_a_name_or_a_pattern() {
        let console = Readiness::Console("login:".into());
        check(readiness, &[("agent", Readiness::Agent), ("console:login:", console)], &["", "console:", "Agent"]);
    }

    #[test]
    fn a_number_has_only_digits() {
        check(number::<u8>, &[("0", 0), ("200", 200)], &["", "256", "+1", "1 "]);
    }
}
