//! What a pane opens: paths, and logs that other programs give.

use std::path::Path;

use qd_logs_view::{Options, SourceState, View, is_location};
use qd_mux::PaneSpec;

use super::LogPane;

/// What a pane's `path`, `path2`, … name: one a line.
pub(super) fn places_of(spec: &PaneSpec) -> Vec<String> {
    let numbered = |name: &str| {
        name.strip_prefix("path")
            .is_some_and(|n| n == "s" || n.bytes().all(|c| c.is_ascii_digit()))
    };
    let mut found: Vec<(usize, &str, &str)> = spec
        .args
        .iter()
        .filter(|(name, _)| numbered(name))
        .map(|(name, text)| (name.len(), name.as_str(), text.as_str()))
        .collect();
    found.sort_unstable();
    let places: Vec<String> = found
        .iter()
        .flat_map(|(_, _, text)| text.lines())
        .filter(|p| !p.is_empty())
        .map(|p| absolute(p, spec.cwd.as_deref()))
        .collect();
    if places.is_empty() {
        return vec!["/var/log".to_owned()];
    }
    places
}

/// A path that means the same wherever the session stands; a location with a scheme is one already.
fn absolute(place: &str, base: Option<&str>) -> String {
    match base {
        Some(base) if !is_location(place) && place != "-" => Path::new(base).join(place).display().to_string(),
        _ => place.to_owned(),
    }
}

/// Opens everything of a list.
pub(super) fn open_all(places: &[String]) -> Result<View, String> {
    let view = View::new(Options::default()).map_err(|e| e.to_string())?;
    for place in places {
        open_one(&view, place)?;
    }
    Ok(view)
}

/// Opens one path or location; answers how many logs that were.
pub(super) fn open_one(view: &View, place: &str) -> Result<usize, String> {
    if place == "-" {
        // The session has none; the command has.
        return Err("standard input is not the session's: give it to qd logs view -".to_owned());
    }
    view.add_location(place).map(|ids| ids.len()).map_err(|e| e.to_string())
}

/// How the program that gave a log ended, with what it complained about last.
pub(super) fn ending(source: &SourceState) -> Option<String> {
    let ended = source.ended.as_ref()?;
    let why = source.notes.last().map(|n| format!(": {n}")).unwrap_or_default();
    Some(format!("{}: {ended}{why}", source.name))
}

impl LogPane {
    /// Says of programs that gave logs how they ended, once each.
    pub(super) fn tell_ends(&mut self) {
        let s = self.snapshot();
        let new = s
            .sources
            .iter()
            .find(|x| x.ended.is_some() && !self.ended.contains(&x.id));
        let Some(source) = new else { return };
        self.ended.push(source.id);
        let words = ending(source).unwrap_or_default();
        if words.contains("exit status 0") {
            self.tell(words);
        } else {
            self.fail(&words);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_relative_to_the_pane() {
        let mut spec = PaneSpec::default();
        assert_eq!(places_of(&spec), ["/var/log"]);
        spec.cwd = Some("/srv".to_owned());
        let mut arg = |name: &str, text: &str| spec.args.insert(name.to_owned(), text.to_owned());
        arg("path", "a:1.log\n/b.log");
        arg("path10", "ssh://ops@web-3:22/var/log/x.log");
        arg("path2", "journal://");
        arg("pathos", "no path");
        let wanted = [
            "/srv/a:1.log",
            "/b.log",
            "journal://",
            "ssh://ops@web-3:22/var/log/x.log",
        ];
        assert_eq!(places_of(&spec), wanted);
    }

    #[test]
    fn the_input_of_the_session_is_not_read() {
        assert!(open_all(&["-".to_owned()]).unwrap_err().contains("qd logs view -"));
    }
}
