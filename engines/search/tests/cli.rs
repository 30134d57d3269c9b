//! The command line as a program: what is easily forgotten. The program is the example `rg`, which `cargo test` builds.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and say why it is skipped"
)]

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

fn program() -> Option<PathBuf> {
    let path = std::env::current_exe().ok()?.parent()?.parent()?.join("examples/rg");
    if !path.exists() {
        println!("skipped: the example rg is not built");
    }
    path.exists().then_some(path)
}

fn command(program: &Path, dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(dir)
        .env_remove("RIPGREP_CONFIG_PATH");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn run(program: &Path, dir: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    said(command(program, dir, arguments).output().unwrap())
}

fn said(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn files(list: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in list {
        fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

#[test]
fn patterns_come_from_standard_input() {
    let Some(rg) = program() else { return };
    let dir = files(&[("a", "one\ntwo\nthree\n")]);
    let mut child = command(&rg, dir.path(), &["-f", "-", "a"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"three\none\n").unwrap();
    let (code, out, err) = said(child.wait_with_output().unwrap());
    assert_eq!((code, out.as_str(), err.as_str()), (Some(0), "one\nthree\n", ""));
}

#[test]
fn a_program_that_fails_is_named_and_the_rest_is_searched() {
    let Some(rg) = program() else { return };
    let dir = files(&[("bad", "x\n"), ("good", "x\n")]);
    let (code, out, err) = run(
        &rg,
        dir.path(),
        &["--pre", "false", "--pre-glob", "bad", "x", "bad", "good"],
    );
    assert_eq!((code, out.as_str()), (Some(2), "good:x\n"));
    assert!(err.starts_with("rg: bad: "), "{err}");
    let (code, _, err) = run(&rg, dir.path(), &["--pre", "/no/such/program", "x", "good"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("/no/such/program"), "{err}");
}

#[test]
fn a_loop_of_links_is_said_and_left() {
    let Some(rg) = program() else { return };
    let dir = files(&[("a", "x\n")]);
    std::os::unix::fs::symlink(".", dir.path().join("loop")).unwrap();
    let (code, out, err) = run(&rg, dir.path(), &["-L", "x"]);
    assert_eq!((code, out.as_str()), (Some(2), "a:x\n"));
    assert!(err.contains("loop"), "{err}");
    assert_eq!(run(&rg, dir.path(), &["x"]), (Some(0), "a:x\n".into(), String::new()));
}

#[test]
fn files_that_are_gone_do_not_keep_others_from_being_searched() {
    let Some(rg) = program() else { return };
    let dir = files(&[("a", "x\n")]);
    let (code, out, err) = run(&rg, dir.path(), &["x", "a", "gone"]);
    assert_eq!((code, out.as_str()), (Some(2), "a:x\n"));
    assert!(err.contains("gone"), "{err}");
}

#[test]
fn paths_are_bytes() {
    let Some(rg) = program() else { return };
    let dir = files(&[]);
    fs::write(dir.path().join(OsStr::from_bytes(b"\xFFname")), "x\n").unwrap();
    let output = command(&rg, dir.path(), &["x"]).output().unwrap();
    assert_eq!(output.stdout, b"\xFFname:x\n");
    let json = run(&rg, dir.path(), &["--json", "x"]).1;
    assert!(json.contains(r#"{"path":{"bytes":"/25hbWU="}"#), "{json}");
}

#[test]
fn a_pipe_is_read_when_it_is_named_and_left_when_it_is_found() {
    let Some(rg) = program() else { return };
    let dir = files(&[("a", "x\n")]);
    let pipe = dir.path().join("pipe");
    if !Command::new("mkfifo").arg(&pipe).status().is_ok_and(|s| s.success()) {
        println!("skipped: there is no mkfifo");
        return;
    }
    assert_eq!(run(&rg, dir.path(), &["x"]), (Some(0), "a:x\n".into(), String::new()));
    let child = command(&rg, dir.path(), &["x", "pipe"]).spawn().unwrap();
    fs::write(&pipe, "nothing\nx!\n").unwrap();
    assert_eq!(said(child.wait_with_output().unwrap()).1, "x!\n");
}

/// A file that is searched in pieces, on more than one thread.
fn large(line: &str) -> (tempfile::TempDir, usize) {
    let lines = (9 << 20) / line.len();
    (files(&[("large", &line.repeat(lines))]), lines)
}

#[test]
fn a_reader_that_leaves_ends_the_search_without_complaint() {
    let Some(rg) = program() else { return };
    let (dir, _) = large("a line\n");
    for flags in [&["-n"][..], &["-j2", "-b"], &["-j1"], &["--json"], &["-C1"]] {
        let list: Vec<&str> = flags.iter().copied().chain(["line", "large"]).collect();
        let mut child = command(&rg, dir.path(), &list).spawn().unwrap();
        let mut some = [0; 10];
        child.stdout.take().unwrap().read_exact(&mut some).unwrap();
        let (code, _, err) = said(child.wait_with_output().unwrap());
        // As ripgrep: a file that was not searched to its end has not matched yet.
        assert!(
            code.is_some_and(|c| c < 2) && err.is_empty(),
            "{flags:?}: {code:?} {err}"
        );
    }
}

#[test]
fn what_is_printed_into_the_file_is_not_searched() {
    let Some(rg) = program() else { return };
    let (dir, lines) = large("a line\n");
    let path = dir.path().join("large");
    let size = fs::metadata(&path).unwrap().len();
    for (arguments, most) in [
        (&["-c", "line", "large"][..], size + 20),
        (&["line", "large"], 2 * size + 40),
    ] {
        let end = fs::File::options().append(true).open(&path).unwrap();
        let status = command(&rg, dir.path(), arguments).stdout(end).status().unwrap();
        assert!(status.code().is_some_and(|c| c < 2), "{arguments:?}");
        assert!(fs::metadata(&path).unwrap().len() <= most, "{arguments:?}");
    }
    let (_, count, _) = run(&rg, dir.path(), &["-m", &lines.to_string(), "-c", "line", "large"]);
    assert_eq!(count.trim(), lines.to_string());
}

#[test]
fn pieces_know_their_place_in_the_file() {
    let Some(rg) = program() else { return };
    let (dir, lines) = large("some text to be looked through, of which nothing is found\n");
    let mut file = fs::File::options().append(true).open(dir.path().join("large")).unwrap();
    file.write_all(b"the needle").unwrap();
    let at = lines * 58;
    let (_, out, _) = run(&rg, dir.path(), &["-j2", "-nb", "needle", "large"]);
    assert_eq!(out, format!("{}:{at}:the needle\n", lines + 1));
    assert_eq!(run(&rg, dir.path(), &["-j1", "-nb", "needle", "large"]).1, out);
    assert_eq!(
        run(&rg, dir.path(), &["-j2", "-c", "o", "large"]).1,
        format!("{lines}\n")
    );
    assert_eq!(run(&rg, dir.path(), &["-j2", "-q", "needle", "large"]).0, Some(0));
    assert_eq!(
        run(&rg, dir.path(), &["-j2", "-l", "neddle", "large"]),
        (Some(1), String::new(), String::new())
    );
}

#[test]
fn a_long_line_is_shown_in_part() {
    let Some(rg) = program() else { return };
    let dir = files(&[("a", &format!("{}foo{}\n", "x".repeat(50), "y".repeat(3_000_000)))]);
    let (_, out, _) = run(&rg, dir.path(), &["-M", "60", "--max-columns-preview", "foo", "a"]);
    assert_eq!(
        out,
        format!("{}fooyyyyyyy [... omitted end of long line]\n", "x".repeat(50))
    );
    let (_, out, _) = run(&rg, dir.path(), &["-M", "60", "foo", "a"]);
    assert!(out.starts_with("[Omitted long"), "{out}");
}

fn interrupt(child: &Child) {
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.unwrap().success());
}

#[test]
fn an_interrupt_ends_it_at_once() {
    let Some(rg) = program() else { return };
    let dir = files(&[]);
    for color in ["--color=never", "--color=always"] {
        let mut child = command(&rg, dir.path(), &[color, "--line-buffered", "x", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        // It is under way when the first line is there.
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(&b"x\n".repeat(1000)).unwrap();
        let mut some = [0; 2];
        child.stdout.as_mut().unwrap().read_exact(&mut some).unwrap();
        interrupt(&child);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.signal(), Some(2), "{color}");
        assert!(output.stderr.is_empty());
        drop(stdin);
    }
}
