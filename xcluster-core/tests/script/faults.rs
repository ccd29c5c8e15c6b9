//! The environment that a script gets, and all faults of scripts with their messages.

use std::fs;
use std::time::Duration;

use xcluster_core::external::{ScriptBackend, ScriptConfig};
use xcluster_core::host::Namespace;
use xcluster_core::net::{NetBackend, NetError};
use xcluster_core::testing::harness::Test;
use xcluster_core::testing::{TestFailure, ensure};

use crate::fixture::{Fixture, lives, port, write};

pub(crate) fn tests() -> Vec<Test> {
    crate::named![
        a_script_is_told_what_it_may_rely_on,
        args_are_split_as_a_shell_does_and_nothing_planted_is_run,
        a_repeated_setup_does_not_run_the_script_again,
        a_script_that_fails_is_reported_with_its_last_messages,
        a_script_that_is_killed_is_reported,
        a_script_that_hangs_is_killed_with_all_that_it_started,
        an_output_that_is_kept_open_is_reported,
        too_much_output_is_refused,
        output_that_is_no_option_is_refused,
        a_script_that_cannot_be_one_is_refused_before_anything_is_done,
        more_mtu_than_was_promised_is_reported_with_the_rest,
    ]
}

/// A setup fails with this message, also when it is repeated.
async fn check(fixture: &Fixture, expected: &str) -> Result<(), TestFailure> {
    for _ in 0..2 {
        let said = match fixture.set_up(&port(1)).await {
            Err(NetError::Other { message, .. }) => message,
            other => return Err(TestFailure::new(format!("{other:?}"))),
        };
        ensure(said == expected, || format!("it says `{said}`, not `{expected}`"))?;
        fixture.tear_down(&port(1)).await?;
    }
    Ok(())
}

async fn a_script_is_told_what_it_may_rely_on() -> Result<(), TestFailure> {
    let print = r#"set -e; cat >&2; [ "$PWD" = "$HERE" ]
        echo "-args $#:$1:$2" -mtu $__mtu -kvm "$__kvm" -own "$OWN" -exported "$HOME""#;
    let change = |config: ScriptConfig| {
        let here = config.env["HERE"].clone();
        config.with_folder(here).with_kvm("/opt/kvm").with_env("OWN", "1")
    };
    let fixture = Fixture::with(print, change)?;
    let mut port = port(1);
    port.net.mtu = 9000;
    let port_config = fixture.set_up(&port).await?;
    let home = std::env::var("HOME")?;
    let expected = ["-args", "2:3:1", "-mtu", "9000", "-kvm", "/opt/kvm", "-own", "1", "-exported", &home];
    ensure(port_config.kvm.args() == expected, || port_config.kvm.to_string())
}

async fn args_are_split_as_a_shell_does_and_nothing_planted_is_run() -> Result<(), TestFailure> {
    let fixture =
        Fixture::new("printf '%s\\n' ' -M q35' '-netdev\ttap,id=n,ifname=t,downscript=/tmp/rmtap' '-x \"a b\"'")?;
    let port_config = fixture.set_up(&port(1)).await?;
    let expected = ["-M", "q35", "-netdev", "tap,id=n,ifname=t,downscript=no", "-x", "\"a", "b\""];
    ensure(port_config.kvm.args() == expected, || format!("{:?}", port_config.kvm.args()))
}

async fn a_repeated_setup_does_not_run_the_script_again() -> Result<(), TestFailure> {
    let fixture = Fixture::new("echo $1 $2 >>$HERE/calls; echo -a $$")?;
    let first = fixture.set_up(&port(1)).await?;
    let second = fixture.set_up(&port(1)).await?;
    fixture.set_up(&port(2)).await?;
    ensure(first == second && fixture.text("calls") == "3 1\n3 2\n", || fixture.text("calls"))
}

async fn a_script_that_fails_is_reported_with_its_last_messages() -> Result<(), TestFailure> {
    let fixture = Fixture::new("echo 'no bridge xcbr1' >&2; exit 7")?;
    check(&fixture, "`net-setup 3 1` ended with code 7: no bridge xcbr1").await?;
    let fixture = Fixture::new("for i in $(seq 100); do echo $i >&2; done; echo -x; exit 1")?;
    let lines: Vec<String> = (91..=100).map(|line| line.to_string()).collect();
    check(&fixture, &format!("`net-setup 3 1` ended with code 1:\n{}", lines.join("\n"))).await?;
    // Processes that keep an output open are not waited for once the call has failed.
    check(&Fixture::new("sleep 1000 & exit 2")?, "`net-setup 3 1` ended with code 2").await
}

async fn a_script_that_is_killed_is_reported() -> Result<(), TestFailure> {
    check(&Fixture::new("kill -9 $$")?, "`net-setup 3 1` was killed by SIGKILL").await
}

async fn a_script_that_hangs_is_killed_with_all_that_it_started() -> Result<(), TestFailure> {
    let hang = "setsid sh -c 'echo $$ >$HERE/pid; exec sleep 1000' & echo waiting >&2; sleep 1000";
    let fixture = Fixture::with(hang, |config| config.with_deadline(Duration::from_millis(1500)))?;
    let error = fixture.set_up(&port(1)).await.err().map(|error| error.to_string());
    let expected = "`net-setup 3 1` did not end within 1.5 s and was killed: waiting";
    ensure(error.as_deref() == Some(expected), || format!("{error:?}"))?;
    let pid = fixture.number("pid").await?;
    ensure(!lives(pid), || format!("{pid} lives on"))
}

async fn an_output_that_is_kept_open_is_reported() -> Result<(), TestFailure> {
    let fixture = Fixture::with("sleep 1000 & echo -x", |config| config.with_deadline(Duration::from_millis(1500)))?;
    let expected = "`net-setup 3 1` has ended, but something that it started kept its standard output open for 1.5 s and \
                    was killed";
    check(&fixture, expected).await
}

async fn too_much_output_is_refused() -> Result<(), TestFailure> {
    check(&Fixture::new("yes -- -x")?, "`net-setup 3 1` printed more than 64 KiB").await
}

async fn output_that_is_no_option_is_refused() -> Result<(), TestFailure> {
    check(&Fixture::new("printf '\\377'")?, "`net-setup 3 1` printed text that is not UTF-8").await?;
    check(&Fixture::new("printf -- '-a\\0'")?, "`net-setup 3 1` printed a zero byte, which no option has").await?;
    let expected = "`net-setup 3 1` printed `Bridge made`, but the first arg for QEMU must begin with `-`";
    check(&Fixture::new("echo Bridge made")?, expected).await
}

async fn refused(script: &std::path::Path) -> Result<(String, Option<String>), TestFailure> {
    let backend = ScriptBackend::new(ScriptConfig::new(script));
    let test_context = xcluster_core::testing::TestContext::new("refused")?;
    let usable = backend.usable().err().map(|error| error.to_string());
    match backend.preflight(&test_context.context(), &[port(1).net], &[port(1)]).await {
        Err(error @ NetError::Unsupported { .. }) => {
            ensure(usable.as_ref() == Some(&error.to_string()), || format!("{usable:?}"))?;
            Ok((error.to_string(), error.remedy().map(str::to_owned)))
        }
        other => Err(TestFailure::new(format!("{other:?}"))),
    }
}

async fn a_script_that_cannot_be_one_is_refused_before_anything_is_done() -> Result<(), TestFailure> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let check = async |name: &str, expected: &str| {
        let (said, _) = refused(&at.join(name)).await?;
        let expected = format!("`{}` {expected}", at.join(name).display());
        ensure(said == expected, || format!("it says `{said}`, not `{expected}`"))
    };
    check("missing", "cannot be found: No such file or directory (os error 2)").await?;
    check("", "is a folder").await?;
    fs::write(at.join("text"), "echo -x\n")?;
    let nobody = "does not begin with `#!`, so the kernel does not know which program reads it";
    check("text", &format!("is not executable, and {nobody}")).await?;
    let (_, remedy) = refused(&at.join("text")).await?;
    ensure(remedy == Some(format!("chmod +x {}", at.join("text").display())), || format!("{remedy:?}"))?;
    write(at, "bare", "echo -x\n")?;
    check("bare", nobody).await?;
    write(at, "dos", "#!/bin/sh\r\necho -x\r\n")?;
    check("dos", "has lines that end as on Windows").await?;
    write(at, "foreign", "#! /usr/bin/nothing -e\n")?;
    check("foreign", "is for `/usr/bin/nothing`, which is not there").await?;
    let (said, _) = refused("no-such-net-setup".as_ref()).await?;
    ensure(said == "there is no program `no-such-net-setup` in `PATH`", || said.clone())
}

async fn more_mtu_than_was_promised_is_reported_with_the_rest() -> Result<(), TestFailure> {
    let fixture = Fixture::new("echo -x")?;
    let mut port = port(1);
    port.net.mtu = u16::MAX;
    let refused = fixture.set_up(&port).await.err().map(|error| error.to_string());
    let mtu = "net 1 has an MTU of 65535, and the script carries 65521";
    ensure(refused.as_deref() == Some(mtu), || format!("{refused:?}"))?;
    let backend = ScriptBackend::new(ScriptConfig::new("/nonexistent/script"));
    let namespace = Namespace::here();
    let context = fixture.test_context.context().in_namespace(&namespace);
    let said = backend.preflight(&context, &[port.net.clone()], &[]).await.err().map(|error| error.to_string());
    let both = format!("`/nonexistent/script` cannot be found: No such file or directory (os error 2); {mtu}");
    ensure(said.as_deref() == Some(&both), || format!("{said:?}"))
}
