//! What a layout or the command says of a proxy pane: where it listens and where requests go.

use std::path::PathBuf;

use qd_mux::PaneSpec;
use qd_proxy::{config::Short, source::Source};

use super::{CONSOLE, LISTEN};
use crate::Refused;

/// What a layout names: a configuration file, or where to listen and where to send to.
pub(super) fn source_of(spec: &PaneSpec, console: Option<&str>) -> Result<(Source, String), Refused> {
    let word = |key: &str| spec.args.get(key).map(|v| v.trim()).filter(|v| !v.is_empty());
    if let Some(file) = word("config") {
        if word("to").is_some() || word("listen").is_some() {
            return Err(Refused(
                "a proxy pane has either a `config` or `listen` and `to`, not both".to_owned(),
            ));
        }
        let base = spec.cwd.as_deref().map(PathBuf::from).unwrap_or_default();
        let path = base.join(file);
        return Ok((Source::File(path.clone()), path.display().to_string()));
    }
    let many = |text: &str| -> Vec<String> {
        let parts = text.split([',', '\n', ' ']).map(str::trim).filter(|p| !p.is_empty());
        parts.map(str::to_owned).collect()
    };
    let to = word("to").unwrap_or(CONSOLE);
    let mode = match word("mode") {
        None | Some("reverse") => qd_proxy::config::Mode::Reverse,
        Some("forward") => qd_proxy::config::Mode::Forward,
        Some("opaque") => qd_proxy::config::Mode::Opaque,
        Some(other) => {
            return Err(Refused(format!(
                "`{other}` is no mode of a proxy pane: reverse, forward or opaque; others need a `config`"
            )));
        }
    };
    let forward = mode == qd_proxy::config::Mode::Forward && word("to").is_none();
    let subject = if forward { "anywhere" } else { to };
    let to = match to {
        _ if forward => Vec::new(),
        CONSOLE => match console {
            Some(path) => vec![format!("unix:{path}")],
            None => {
                return Err(Refused(
                    "this session has no service of its own to stand before".to_owned(),
                ));
            }
        },
        to => many(to),
    };
    let short = Short {
        listen: many(word("listen").unwrap_or(LISTEN)),
        to,
        mode,
        balance: word("balance").map(str::to_owned),
        admin: word("admin").map(str::to_owned),
    };
    Ok((Source::Short(short), subject.replace('\n', " ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(args: &[(&str, &str)]) -> PaneSpec {
        PaneSpec {
            args: args.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            cwd: Some("/etc".to_owned()),
            ..PaneSpec::default()
        }
    }

    #[test]
    fn a_layout_says_where_from_and_where_to() {
        let (source, subject) = source_of(&spec(&[("listen", "127.0.0.1:80"), ("to", "a:1, b:2")]), None).unwrap();
        let Source::Short(short) = source else { panic!() };
        assert_eq!(
            (short.listen.len(), short.to.len(), subject.as_str()),
            (1, 2, "a:1, b:2")
        );
        let (source, _) = source_of(&spec(&[("config", "p.yaml")]), None).unwrap();
        assert_eq!(source.path().unwrap(), std::path::Path::new("/etc/p.yaml"));
        let (source, subject) = source_of(&spec(&[]), Some("/run/c.sock")).unwrap();
        let Source::Short(short) = source else { panic!() };
        assert_eq!(
            (short.to, subject.as_str()),
            (vec!["unix:/run/c.sock".to_owned()], "console")
        );
        assert_eq!(short.listen, [LISTEN]);
        assert!(source_of(&spec(&[]), None).is_err());
        assert!(source_of(&spec(&[("mode", "magic")]), None).is_err());
        assert!(source_of(&spec(&[("config", "a"), ("to", "b:1")]), None).is_err());
    }
}
