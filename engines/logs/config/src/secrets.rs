//! Where the values of `SECRET[backend.key]` come from.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::{Read, Write};
use std::path::{Component, Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::{ConfigError, Node, decode_all, nearest};

/// Bytes that a backend may answer.
const MAX_ANSWER: u64 = 4 * 1024 * 1024;

/// Bytes of a program's standard error that a message shows.
const MAX_STDERR: u64 = 400;

/// The backends that Vector has and this crate does not.
const UNSUPPORTED: [&str; 2] = ["aws_secrets_manager", "test"];

/// One entry of the table `secret`.
#[derive(Debug, Clone, PartialEq)]
pub enum SecretBackend {
    /// A JSON file with an object of texts.
    File {
        /// The file.
        path: PathBuf,
    },
    /// A directory with one file a secret.
    Directory {
        /// The directory.
        path: PathBuf,
        /// Whether blanks at the end of a file are not part of the secret.
        remove_trailing_whitespace: bool,
    },
    /// A program that is asked over its standard input and output.
    Exec {
        /// The program and its arguments.
        command: Vec<String>,
        /// How long it may take.
        timeout: Duration,
        /// For version 1.1 of the protocol: the type and the options that are passed on.
        options: Option<(String, serde_json::Value)>,
    },
}

impl SecretBackend {
    /// Reads a backend.
    ///
    /// # Errors
    /// Backends of Vector that are not supported, by name; unknown ones; wrong options.
    pub fn read(node: &Node) -> Result<SecretBackend, Vec<ConfigError>> {
        #[derive(Deserialize)]
        struct FileOptions {
            path: PathBuf,
        }
        #[derive(Deserialize)]
        struct DirectoryOptions {
            path: PathBuf,
            #[serde(default)]
            remove_trailing_whitespace: bool,
        }
        #[derive(Deserialize)]
        struct ExecOptions {
            command: Vec<String>,
            #[serde(default = "five")]
            timeout: u64,
            #[serde(default)]
            protocol: Protocol,
        }
        #[derive(Deserialize, Default)]
        #[serde(tag = "version", rename_all = "snake_case")]
        enum Protocol {
            #[default]
            V1,
            V1_1 {
                backend_type: String,
                backend_config: serde_json::Value,
            },
        }
        fn five() -> u64 {
            5
        }
        let Some(kind) = node.get("type") else {
            return Err(vec![ConfigError::new("missing key `type`").at(node.span)]);
        };
        let fail = |message: String| vec![ConfigError::new(message).at(kind.span).within("type")];
        match kind.as_str() {
            Some("file") => decode_all::<FileOptions>(node).map(|o| SecretBackend::File { path: o.path }),
            Some("directory") => decode_all::<DirectoryOptions>(node).map(|o| SecretBackend::Directory {
                path: o.path,
                remove_trailing_whitespace: o.remove_trailing_whitespace,
            }),
            Some("exec") => {
                let o = decode_all::<ExecOptions>(node)?;
                if o.command.is_empty() {
                    return Err(vec![
                        ConfigError::new("`command` names no program")
                            .at(node.get("command").and_then(|n| n.span))
                            .within("command"),
                    ]);
                }
                Ok(SecretBackend::Exec {
                    command: o.command,
                    timeout: Duration::from_secs(o.timeout),
                    options: match o.protocol {
                        Protocol::V1 => None,
                        Protocol::V1_1 {
                            backend_type,
                            backend_config,
                        } => Some((backend_type, backend_config)),
                    },
                })
            }
            Some(name) if UNSUPPORTED.contains(&name) => {
                Err(fail(format!("the secret backend `{name}` is not supported here")))
            }
            Some(name) => Err(vec![
                ConfigError::new(format!(
                    "unknown secret backend `{name}`, expected one of `exec`, `file`, `directory`"
                ))
                .suggest(nearest(name, ["exec", "file", "directory"]))
                .at(kind.span)
                .within("type"),
            ]),
            None => Err(fail(format!("expected a name, found {}", kind.kind()))),
        }
    }

    /// Fetches secrets by their keys.
    ///
    /// # Errors
    /// A backend that cannot be read or asked, or that lacks one of the keys or has it empty.
    pub fn fetch(&self, keys: &BTreeSet<String>) -> Result<HashMap<String, String>, ConfigError> {
        match self {
            SecretBackend::File { path } => {
                let text = read(path)?;
                let all: HashMap<String, String> = serde_json::from_str(&text)
                    .map_err(|e| ConfigError::new(format!("{} is no JSON object of texts: {e}", path.display())))?;
                keys.iter()
                    .map(|k| match all.get(k) {
                        Some(v) if !v.is_empty() => Ok((k.clone(), v.clone())),
                        Some(_) => Err(ConfigError::new(format!("the secret `{k}` is empty"))),
                        None => Err(ConfigError::new(format!("{} has no secret `{k}`", path.display()))),
                    })
                    .collect()
            }
            SecretBackend::Directory {
                path,
                remove_trailing_whitespace,
            } => keys
                .iter()
                .map(|k| {
                    let below = Path::new(k);
                    if !below
                        .components()
                        .all(|c| matches!(c, Component::Normal(_) | Component::CurDir))
                    {
                        return Err(ConfigError::new(format!(
                            "the secret `{k}` lies outside of its directory"
                        )));
                    }
                    let text = read(&path.join(below))?;
                    let value = if *remove_trailing_whitespace {
                        text.trim_end()
                    } else {
                        &text
                    };
                    if value.is_empty() {
                        return Err(ConfigError::new(format!("the secret `{k}` is empty")));
                    }
                    Ok((k.clone(), value.to_owned()))
                })
                .collect(),
            SecretBackend::Exec {
                command,
                timeout,
                options,
            } => ask(command, *timeout, options.as_ref(), keys),
        }
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    let fail = |e: std::io::Error| ConfigError::new(format!("cannot read the secrets in {}: {e}", path.display()));
    let mut text = String::new();
    fs::File::open(path)
        .map_err(fail)?
        .take(MAX_ANSWER)
        .read_to_string(&mut text)
        .map_err(fail)?;
    Ok(text)
}

#[derive(Serialize)]
struct Query<'a> {
    version: &'static str,
    secrets: &'a BTreeSet<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<&'a serde_json::Value>,
}

#[derive(Deserialize)]
struct Answer {
    value: Option<String>,
    error: Option<String>,
}

fn ask(
    command: &[String],
    timeout: Duration,
    options: Option<&(String, serde_json::Value)>,
    keys: &BTreeSet<String>,
) -> Result<HashMap<String, String>, ConfigError> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(ConfigError::new("`command` names no program"));
    };
    let query = Query {
        version: if options.is_some() { "1.1" } else { "1.0" },
        secrets: keys,
        kind: options.map(|(kind, _)| kind.as_str()),
        config: options.map(|(_, config)| config),
    };
    let query = serde_json::to_vec(&query).map_err(|e| ConfigError::new(e.to_string()))?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| ConfigError::new(format!("cannot run `{program}` for secrets: {e}")))?;
    let result = converse(&mut child, query, timeout);
    // Whatever happened, the program does not outlive the question.
    let _ = child.kill();
    let _ = child.wait();
    let text = result.map_err(|what| ConfigError::new(format!("the program `{program}` for secrets {what}")))?;
    let answers: BTreeMap<String, Answer> = serde_json::from_slice(&text).map_err(|e| {
        ConfigError::new(format!(
            "the program `{program}` for secrets gave no proper answer: {e}"
        ))
    })?;
    keys.iter()
        .map(|k| match answers.get(k) {
            Some(Answer { error: Some(e), .. }) => {
                Err(ConfigError::new(format!("the secret `{k}` was not retrieved: {e}")))
            }
            Some(Answer { value: Some(v), .. }) if !v.is_empty() => Ok((k.clone(), v.clone())),
            Some(_) => Err(ConfigError::new(format!("the secret `{k}` is empty"))),
            None => Err(ConfigError::new(format!("the secret `{k}` was not retrieved"))),
        })
        .collect()
}

fn converse(child: &mut Child, query: Vec<u8>, timeout: Duration) -> Result<Vec<u8>, String> {
    let (Some(mut input), Some(output), Some(errors)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err("has no standard streams".to_owned());
    };
    // A program that does not read its input must not stop us from reading its output.
    thread::spawn(move || input.write_all(&query));
    let gather = |stream: Box<dyn Read + Send>, limit: u64| {
        let (send, receive) = mpsc::channel();
        thread::spawn(move || {
            let mut text = Vec::new();
            let done = stream.take(limit).read_to_end(&mut text);
            let _ = send.send(done.map(|_| text));
        });
        receive
    };
    let output = gather(Box::new(output), MAX_ANSWER);
    let errors = gather(Box::new(errors), MAX_STDERR);
    match output.recv_timeout(timeout) {
        Ok(Ok(text)) if text.is_empty() => {
            let said = errors
                .recv_timeout(Duration::from_millis(200))
                .ok()
                .and_then(Result::ok)
                .unwrap_or_default();
            let said = String::from_utf8_lossy(&said);
            Err(format!("answered nothing; it said: {}", said.trim()))
        }
        Ok(Ok(text)) => Ok(text),
        Ok(Err(e)) => Err(format!("could not be read: {e}")),
        Err(_) => Err(format!("took longer than {} s", timeout.as_secs())),
    }
}

/// The backends by name, with the places of their names.
pub(crate) type Backends = IndexMap<String, (Option<crate::Span>, SecretBackend)>;

/// What is asked of a backend, and where first.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) keys: BTreeSet<String>,
    pub(crate) span: Option<crate::Span>,
}

/// Fetches what the files ask for, backend by backend; the result is keyed `backend.key`.
pub(crate) fn fetch_all(
    wanted: &IndexMap<String, Wanted>,
    backends: &Backends,
) -> Result<HashMap<String, String>, Vec<ConfigError>> {
    let mut values = HashMap::new();
    let mut errors = Vec::new();
    for (name, Wanted { keys, span: place }) in wanted {
        let found = match backends.get(name) {
            None => Err(ConfigError::new(format!(
                "the backend `{name}` of a secret is not configured under `secret`"
            ))
            .suggest(nearest(name, backends.keys().map(String::as_str)))),
            Some((span, backend)) => backend.fetch(keys).map_err(|e| {
                e.related("its backend is here", *span)
                    .within(name.clone())
                    .within("secret")
            }),
        };
        match found {
            Ok(found) => values.extend(found.into_iter().map(|(k, v)| (format!("{name}.{k}"), v))),
            Err(e) => errors.push(e.at(*place)),
        }
    }
    if errors.is_empty() { Ok(values) } else { Err(errors) }
}
