//! Builds the guests with the C compiler that also links Rust programs.
//!
//! The result is the same on every run: no build id, no paths, no times. Where the compiler cannot make code for x86-64
//! the crate has no guests, and says so; a compiler that can and fails ends the build with what it said.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

const FLAGS: &[&str] = &[
    "-m64",
    "-std=gnu11",
    "-Os",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-ffreestanding",
    "-fno-stack-protector",
    "-fno-pic",
    "-fno-pie",
    "-fno-asynchronous-unwind-tables",
    "-fcf-protection=none",
    "-fno-ident",
    "-fno-tree-loop-distribute-patterns",
    "-mgeneral-regs-only",
    "-mno-red-zone",
    "-nostdlib",
    "-static",
    "-no-pie",
    "-Wl,--build-id=none",
    "-Wl,-z,noexecstack",
    "-Wl,-z,max-page-size=4096",
    "-s",
];

/// A guest's name, its source and what it is compiled with.
const GUESTS: &[(&str, &str, &[&str])] = &[
    ("demo", "demo.c", &[]),
    ("test", "test.c", &[]),
    ("test_pvh", "test.c", &["-DWITH_PVH"]),
];

fn main() {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let assets = here.join("../../../assets/guest");
    let guests = here.join("guests");
    println!("cargo::rerun-if-changed={}", assets.display());
    println!("cargo::rerun-if-changed={}", guests.display());
    println!("cargo::rerun-if-env-changed=CC");
    println!("cargo::rustc-check-cfg=cfg(guests)");
    let cc = env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    if env::var("CARGO_CFG_TARGET_ARCH").as_deref() != Ok("x86_64") || !makes_x86_64(&cc, &out) {
        println!("cargo::warning=no guests are built: `{cc}` makes no code for x86-64");
        return;
    }
    for (name, source, more) in GUESTS {
        let file = [guests.join(source), assets.join(source)]
            .into_iter()
            .find(|p| p.exists());
        let script = assets.join("link.ld");
        let done = Command::new(&cc)
            .args(FLAGS)
            .args(*more)
            .arg("-I")
            .arg(&assets)
            .arg("-Wl,-T".to_owned() + &script.to_string_lossy())
            .args([assets.join("start.S"), assets.join("lib.c"), file.unwrap_or_default()])
            .arg("-o")
            .arg(out.join(format!("{name}.elf")))
            .output();
        match done {
            Ok(o) if o.status.success() => {}
            Ok(o) => {
                for line in String::from_utf8_lossy(&o.stderr).lines() {
                    println!("cargo::error={line}");
                }
                return;
            }
            Err(e) => {
                println!("cargo::error=`{cc}` cannot be run: {e}");
                return;
            }
        }
    }
    println!("cargo::rustc-cfg=guests");
}

fn makes_x86_64(cc: &str, out: &Path) -> bool {
    let probe = out.join("probe.c");
    let written = std::fs::write(
        &probe,
        "int x86_64[sizeof(long) == 8 ? 1 : -1];\n#ifndef __x86_64__\n#error\n#endif\n",
    );
    let run = Command::new(cc)
        .args(["-m64", "-mgeneral-regs-only", "-c"])
        .arg(&probe)
        .arg("-o")
        .arg(out.join("probe.o"))
        .output();
    written.is_ok() && run.is_ok_and(|o| o.status.success())
}
