//! VRL's own test programs through our engine. They are not part of this repository: `QD_VRL_TESTS` names the folder
//! `lib/tests/tests` of VRL's sources.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

use std::path::{Path, PathBuf};

use qd_logs_model::{LogEvent, Value};
use qd_logs_vrl::{Program, program::Options};
use vrl::path::{OwnedTargetPath, parse_value_path};

/// What a file asks for: comments at its head name the object, the result and paths that can't be written.
#[derive(Default)]
struct Case {
    source: String,
    object: String,
    result: String,
    partly: bool,
    options: Options,
}

fn read(text: &str) -> Case {
    let mut case = Case::default();
    case.options.timezone = Some("UTC".to_owned());
    let mut into = "";
    let mut head = true;
    for line in text.lines() {
        let Some(comment) = line.strip_prefix('#').filter(|_| head) else {
            head = false;
            case.source.push_str(line);
            case.source.push('\n');
            continue;
        };
        let comment = comment.strip_prefix(' ').unwrap_or(comment);
        let paths = [
            ("read_only:", false, false),
            ("read_only_recursive:", true, false),
            ("read_only_metadata:", false, true),
            ("read_only_metadata_recursive:", true, true),
        ];
        if let Some((path, recursive, metadata)) = paths
            .iter()
            .find_map(|(key, r, m)| comment.strip_prefix(key).map(|p| (p.trim(), *r, *m)))
        {
            let path = parse_value_path(path).unwrap();
            let path = if metadata {
                OwnedTargetPath::metadata(path)
            } else {
                OwnedTargetPath::event(path)
            };
            case.options.read_only.push((path, recursive));
            continue;
        }
        let mut rest = comment;
        if let Some(r) = comment.strip_prefix("object:") {
            (into, rest) = ("object", r.trim_start());
        } else if let Some(r) = comment.strip_prefix("result: ~") {
            (into, rest) = ("result", r.trim_start());
            case.partly = true;
        } else if let Some(r) = comment.strip_prefix("result:") {
            (into, rest) = ("result", r.trim_start());
        }
        match into {
            "object" => case.object.push_str(rest),
            "result" => {
                case.result.push_str(rest);
                case.result.push('\n');
            }
            _ => {}
        }
    }
    case
}

fn json(v: &Value) -> serde_json::Value {
    serde_json::to_value(v).unwrap()
}

/// The value a result describes: JSON, or VRL's notation of strings, times and patterns.
fn wanted(text: &str) -> serde_json::Value {
    let quoted = |mark: &str| text.strip_prefix(mark)?.strip_suffix('\'');
    if let Some(s) = quoted("s'") {
        return s.into();
    }
    if let Some(r) = quoted("r'") {
        return r.replace("\\'", "'").into();
    }
    if let Some(t) = quoted("t'") {
        return match chrono::DateTime::parse_from_rfc3339(t) {
            Ok(t) => json(&Value::Timestamp(t.to_utc())),
            Err(_) => text.into(),
        };
    }
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

fn same_words(got: &str, case: &Case) -> bool {
    let want = case.result.trim();
    if got.trim() == want {
        return true;
    }
    let mut errors = got.lines().filter(|l| l.trim().starts_with("error[E"));
    case.partly && want.lines().all(|w| errors.next().is_some_and(|g| g.contains(w)))
}

fn run(text: &str) -> Result<(), String> {
    let case = read(text);
    let program = match Program::compile(&case.source, &case.options) {
        Ok(p) => p,
        Err(e) if same_words(&e.0, &case) => return Ok(()),
        Err(e) => return Err(format!("does not compile: {e}")),
    };
    if text.starts_with("# SKIP") {
        // VRL's own runner only compiles these.
        return Ok(());
    }
    if let Some(w) = program.warnings() {
        return if same_words(w, &case) {
            Ok(())
        } else {
            Err(format!("warns: {w}"))
        };
    }
    let object: Value = match case.object.as_str() {
        "" => Value::Object(Default::default()),
        o => serde_json::from_str(o).map_err(|e| format!("the object is no JSON: {e}"))?,
    };
    let mut event = LogEvent::new(object);
    let want = wanted(case.result.trim());
    let got = match program.run(&mut event) {
        Ok(v) => json(&v),
        Err(e) if same_words(&e.message, &case) => return Ok(()),
        Err(e) if e.aborted => json(&event.value),
        Err(e) => return Err(format!("fails: {e}")),
    };
    if got == want {
        Ok(())
    } else {
        Err(format!("gives {got} instead of {want}"))
    }
}

/// The complaint that VRL alone, without our engine, gives rise to.
fn plain_vrl(text: &str) -> Option<String> {
    use vrl::compiler::{
        CompileConfig, TargetValueRef, TimeZone, compile_with_external, runtime::Runtime, state::ExternalEnv,
    };
    let case = read(text);
    let mut config = CompileConfig::default();
    for (path, recursive) in &case.options.read_only {
        config.set_read_only_path(path.clone(), *recursive);
    }
    let render = |d| {
        vrl::diagnostic::Formatter::new(&case.source, d)
            .to_string()
            .trim()
            .to_owned()
    };
    let compiled = match compile_with_external(&case.source, &vrl::stdlib::all(), &ExternalEnv::default(), config) {
        Ok(c) => c,
        Err(d) => return Some(format!("does not compile: {}", render(d))),
    };
    if !compiled.warnings.is_empty() {
        return Some(format!("warns: {}", render(compiled.warnings)));
    }
    let mut value: Value = match case.object.as_str() {
        "" => Value::Object(Default::default()),
        o => serde_json::from_str(o).ok()?,
    };
    let (mut metadata, mut secrets) = (Value::Object(Default::default()), vrl::value::Secrets::new());
    let mut target = TargetValueRef {
        value: &mut value,
        metadata: &mut metadata,
        secrets: &mut secrets,
    };
    let zone = TimeZone::parse("UTC")?;
    let got = Runtime::default().resolve(&mut target, &compiled.program, &zone).ok()?;
    Some(format!(
        "gives {} instead of {}",
        json(&got),
        wanted(case.result.trim())
    ))
}

fn programs(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            programs(&path, out);
        } else if path.extension().is_some_and(|e| e == "vrl") {
            out.push(path);
        }
    }
}

#[test]
fn vrl_s_programs() {
    let Some(dir) = std::env::var_os("QD_VRL_TESTS") else {
        eprintln!("skipped: set QD_VRL_TESTS to the folder lib/tests/tests of VRL's sources");
        return;
    };
    let mut paths = Vec::new();
    programs(Path::new(&dir), &mut paths);
    paths.sort();
    // Some programs read files by their path from the root of VRL's sources.
    if let Some(root) = Path::new(&dir).ancestors().nth(3) {
        std::env::set_current_dir(root).unwrap();
    }
    let (mut failed, mut other) = (Vec::new(), 0);
    for path in &paths {
        let text = std::fs::read_to_string(path).unwrap();
        let Err(e) = run(&text) else {
            continue;
        };
        // The programs may be of another version than the library; what counts then is what the library says.
        if plain_vrl(&text) == Some(e.clone()) {
            eprintln!("{}: VRL itself disagrees with its program: {e}", path.display());
            other += 1;
        } else {
            failed.push(format!("{}: {e}", path.display()));
        }
    }
    eprintln!(
        "{} of {} programs as expected, {other} where VRL itself gives what we give",
        paths.len() - failed.len() - other,
        paths.len()
    );
    assert!(!paths.is_empty(), "there are no programs in {}", dir.display());
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

#[test]
fn a_program_of_this_form() {
    let form = "# object: {\"a\": \"x\"}\n# result: {\"a\": \"x\", \"b\": 1}\n.b = 1\n.\n";
    assert_eq!(run(form), Ok(()));
    assert!(run("# result: 2\n1\n").is_err());
    assert_eq!(run("# result: ~\n# undefined variable\nx\n"), Ok(()));
}
