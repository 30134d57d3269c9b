//! What a pane opens: paths, logs that other programs give, and what other panes say.

use std::path::Path;

use qd_core::Overflow;
use qd_logs::pane::Hub;
use qd_logs_view::{Live, Options, SourceState, View, is_location};
use qd_mux::PaneSpec;
use tokio::{runtime::Handle, task::JoinSet};

use super::LogPane;

/// Records of another pane that are kept.
const KEPT: usize = 100_000;
/// Records of another pane that may wait to be taken over.
const WAITING: usize = 2000;
/// Records that are taken over at once.
const AT_ONCE: usize = 1000;

/// Takes over the records of other panes, until it is dropped.
pub(super) struct Feeds {
    runtime: Handle,
    tasks: JoinSet<()>,
}

impl Feeds {
    /// Nothing is taken over yet; the work is done on `runtime`.
    pub(super) fn new(runtime: Handle) -> Feeds {
        Feeds {
            runtime,
            tasks: JoinSet::new(),
        }
    }

    /// From now on, what goes through the channel `name` is `live`'s.
    fn follow(&mut self, name: &str, live: Live) {
        let mut records = Hub::global().subscribe(name, WAITING, Overflow::DropOldest);
        let follow = async move {
            let mut batch = Vec::new();
            while let Some(record) = records.recv().await {
                batch.push(record);
                records.drain(&mut batch, AT_ONCE);
                live.push(batch.drain(..));
                if !live.is_open() {
                    return;
                }
            }
        };
        self.tasks.spawn_on(follow, &self.runtime);
    }
}

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
pub(super) fn open_all(places: &[String], runtime: &Handle) -> Result<(View, Feeds), String> {
    let view = View::new(Options::default()).map_err(|e| e.to_string())?;
    let mut feeds = Feeds::new(runtime.clone());
    for place in places {
        open_one(&view, place, &mut feeds)?;
    }
    Ok((view, feeds))
}

/// Opens one path or location; answers how many logs that were. `pane://name` is the channel that an engine pane of that
/// name speaks into, or that a pipeline's sink `pane` writes.
pub(super) fn open_one(view: &View, place: &str, feeds: &mut Feeds) -> Result<usize, String> {
    if let Some(name) = place.strip_prefix("pane://") {
        if name.is_empty() {
            return Err("pane://NAME takes the name of a pane".to_owned());
        }
        let live = view.add_live(place, KEPT).map_err(|e| e.to_string())?;
        feeds.follow(name, live);
        return Ok(1);
    }
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
    use std::time::Duration;

    use qd_core::{Instant, Record, Severity, SourceId};
    use qd_logs_view::Anchor;

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
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let refused = |place: &str| open_all(&[place.to_owned()], runtime.handle()).err().unwrap();
        assert!(refused("-").contains("qd logs view -"));
        assert!(refused("pane://").contains("pane://NAME"));
    }

    #[test]
    fn what_a_pane_says_is_shown() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (view, _feeds) = open_all(&["pane://open-test".to_owned()], runtime.handle()).unwrap();
        let source = SourceId::new("open-test");
        let said = |text: &str| {
            Record::build(&source, Instant::default(), Severity::Warn)
                .body(text)
                .finish()
        };
        Hub::global().publish("open-test", said("first"));
        Hub::global().publish("open-test", said("second"));
        assert!(view.wait_until(Duration::from_secs(60), |s| s.lines == 2));
        let rows = view.rows(Anchor::End, 9, 0).unwrap().rows;
        assert!(rows[1].text().contains("second"), "{}", rows[1].text());
        // When the pane is gone, so is its place in the channel.
        let before = Hub::global().channel("open-test").counters().len();
        drop((view, _feeds));
        let gone = || Hub::global().channel("open-test").counters().len() < before;
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        while !gone() {
            assert!(std::time::Instant::now() < deadline, "it still reads");
            std::thread::yield_now();
        }
    }
}
