//! Args for a QEMU of another process, which inherits no descriptors: they name taps instead. Pure; another module makes the
//! taps keep their names.

use super::KvmArgs;

/// A netdev among a port's args whose tap is only known by its descriptors.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tap {
    /// The index of its arg.
    place: usize,
    /// The names of the descriptors, one per queue.
    pub(crate) queues: Vec<String>,
}

/// Finds the taps among a port's args.
///
/// # Errors
/// The names of descriptors that are not taps. A QEMU of another process cannot get those.
pub(crate) fn taps(kvm: &KvmArgs) -> Result<Vec<Tap>, Vec<String>> {
    let (mut taps, mut others) = (Vec::new(), Vec::new());
    for (place, arg) in kvm.args().iter().enumerate() {
        let is_tap = arg.starts_with("tap,") && place > 0 && kvm.args()[place - 1] == "-netdev";
        for (key, names) in arg.split(',').filter_map(references) {
            match key {
                "fd" | "fds" if is_tap => taps.push(Tap { place, queues: names }),
                _ => others.extend(names),
            }
        }
    }
    if others.is_empty() { Ok(taps) } else { Err(others) }
}

/// Replaces a tap's descriptors by its name.
pub(crate) fn named(mut args: Vec<String>, tap: &Tap, name: &str) -> Vec<String> {
    let property = |property: &str| match references(property) {
        Some((_, queues)) if queues.len() > 1 => {
            format!("ifname={name},script=no,downscript=no,queues={}", queues.len())
        }
        Some(_) => format!("ifname={name},script=no,downscript=no"),
        None => property.to_owned(),
    };
    let arg = args[tap.place].split(',').map(property).collect::<Vec<_>>().join(",");
    args[tap.place] = arg;
    args
}

/// The names that a property such as `fds=@a@:@b@` refers to.
fn references(property: &str) -> Option<(&str, Vec<String>)> {
    let (key, value) = property.split_once('=')?;
    if !key.ends_with("fd") && !key.ends_with("fds") {
        return None;
    }
    let names = value.split(':').map(|name| name.strip_prefix('@')?.strip_suffix('@').map(str::to_owned));
    Some((key, names.collect::<Option<Vec<_>>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kvm(netdev: &str) -> KvmArgs {
        KvmArgs::from_args(["-netdev", netdev, "-device", "virtio-net-pci,netdev=net1"])
    }

    fn check(netdev: &str, expected: &str) {
        let kvm = kvm(netdev);
        let taps = taps(&kvm).unwrap();
        let args = taps.iter().fold(kvm.args().to_vec(), |args, tap| named(args, tap, "xcbr1_t3"));
        assert_eq!(args[1], expected);
        assert_eq!(args[3], "virtio-net-pci,netdev=net1");
    }

    #[test]
    fn a_tap_goes_by_its_name_and_what_has_one_stays() {
        check("tap,id=net1,fd=@tap1@", "tap,id=net1,ifname=xcbr1_t3,script=no,downscript=no");
        check("tap,id=net1,fds=@a@:@b@,x=y", "tap,id=net1,ifname=xcbr1_t3,script=no,downscript=no,queues=2,x=y");
        check("tap,id=net1,ifname=own", "tap,id=net1,ifname=own");
        check("user,id=net1,hostfwd=tcp::1-:2", "user,id=net1,hostfwd=tcp::1-:2");
        check("tap,id=net1,fd=3", "tap,id=net1,fd=3");
    }

    #[test]
    fn what_is_no_tap_has_no_name() {
        assert_eq!(taps(&kvm("socket,id=net1,fd=@peer@")), Err(vec!["peer".to_owned()]));
        assert_eq!(taps(&kvm("tap,id=net1,fd=@t@,vhost=on,vhostfd=@v@")), Err(vec!["v".to_owned()]));
    }
}
