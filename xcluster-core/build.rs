//! Compiles the guest's agent, which `guest::agent` contains. This needs the Rust compiler that cargo uses, and a static libc.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=agent");
    println!("cargo::rerun-if-changed=build.rs");
    let agent = PathBuf::from(variable("OUT_DIR")).join("xcluster-agent");
    let built = if env::var_os("DOCS_RS").is_some() {
        // Documentation only needs the file to exist.
        std::fs::write(&agent, []).map_err(|error| error.to_string())
    } else {
        compile(&agent)
    };
    if let Err(problem) = built {
        for line in problem.lines() {
            println!("cargo::error={line}");
        }
    }
}

/// Calls rustc directly: cargo would wait for the lock that the outer cargo holds. The agent has no dependencies.
/// RUSTFLAGS are not used, because they are for the library (coverage, sanitizers).
fn compile(agent: &Path) -> Result<(), String> {
    let mut rustc = Command::new(variable("RUSTC"));
    rustc.args(["--edition", "2024", "--crate-name", "xcluster_agent", "--target", &variable("TARGET")]);
    // Small, and at a fixed address: a static-pie is relocated at each start.
    for option in
        ["opt-level=s", "lto=fat", "codegen-units=1", "panic=abort", "strip=symbols", "relocation-model=static"]
    {
        rustc.args(["-C", option]);
    }
    rustc.args(["-C", "target-feature=+crt-static"]);
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        let mut option = std::ffi::OsString::from("linker=");
        option.push(linker);
        rustc.arg("-C").arg(option);
    }
    rustc.arg("-o").arg(agent).arg(Path::new("agent").join("main.rs"));

    let output = rustc.output().map_err(|error| format!("cannot run {:?}: {error}", rustc.get_program()))?;
    let messages = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        Ok(())
    } else if messages.contains("find -lc") || messages.contains("library `c`") || messages.contains("find library -lc")
    {
        Err("the guest's agent is linked statically and there is no static libc (libc.a) on this machine\n\
             install it: `apt-get install libc6-dev` (Debian, Ubuntu), `dnf install glibc-static` (Fedora)"
            .into())
    } else {
        Err(format!("cannot compile the guest's agent (agent/main.rs):\n{messages}"))
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|error| panic!("cargo sets {name} for build scripts: {error}"))
}
