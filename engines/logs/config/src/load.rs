//! From paths to a configuration.
//!
//! A path is a file, a pattern of files, or a directory. In a directory the files at the top are merged into one tree;
//! below `sources/`, `transforms/`, `sinks/`, `enrichment_tables/` and `tests/` each file is one component, named as the
//! file without its extension. Other directories and files with other extensions are ignored.

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use crate::draft::{Draft, merge_tree};
use crate::interpolate::{self, Mapped};
use crate::schema::{Config, Role};
use crate::{ConfigError, FileId, Files, Key, Node, NodeValue, secrets};
use qd_tree::{Format, MAX_FILE_BYTES};

/// The file that is read when none is named.
pub const DEFAULT_PATH: &str = "/etc/vector/vector.yaml";

/// Where checkpoints and disk buffers are when nothing is said.
pub const DEFAULT_DATA_DIR: &str = "/var/lib/vector/";

/// Files that one configuration may have.
const MAX_FILES: usize = 4096;

/// How deep directories of transforms may nest.
const MAX_DIRECTORIES: usize = 16;

/// What to read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigPath {
    /// A file or a pattern of files, with the format if the extension shall not tell.
    File(PathBuf, Option<Format>),
    /// A directory or a pattern of directories.
    Dir(PathBuf),
}

/// Whether `$VARIABLES` are replaced.
///
/// Off unless `--dangerously-allow-env-var-interpolation` is given or
/// `VECTOR_DANGEROUSLY_ALLOW_ENV_VAR_INTERPOLATION` is set: whoever sets a variable could otherwise change the pipeline.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Interpolation {
    /// They stay as they are, and so does `$$`.
    #[default]
    Off,
    /// By the values of this environment.
    By(HashMap<String, String>),
}

impl Interpolation {
    /// By this process's environment; `HOSTNAME` is the host's name if it is not set.
    pub fn by_environment() -> Interpolation {
        let mut values: HashMap<String, String> = std::env::vars_os()
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
            .collect();
        if !values.contains_key("HOSTNAME")
            && let Ok(name) = fs::read_to_string("/proc/sys/kernel/hostname")
        {
            values.insert("HOSTNAME".to_owned(), name.trim_end().to_owned());
        }
        Interpolation::By(values)
    }
}

/// How to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// Whether variables are replaced.
    pub interpolation: Interpolation,
    /// Whether a configuration without sources and sinks is one.
    pub allow_empty: bool,
}

/// A configuration that was read.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The files, for the places of later findings.
    pub files: Files,
    /// What is odd but no mistake.
    pub warnings: Vec<ConfigError>,
}

/// A configuration that was not read.
#[derive(Debug, Clone)]
pub struct LoadFailed {
    /// All that was found wrong; at least one.
    pub errors: Vec<ConfigError>,
    /// The files, for the places.
    pub files: Files,
    /// What could be read all the same, for whoever knows more that may be wrong with it.
    pub config: Box<Config>,
}

impl std::fmt::Display for LoadFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, error) in self.errors.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            f.write_str(&self.files.render(error))?;
        }
        Ok(())
    }
}

impl std::error::Error for LoadFailed {}

/// Reads a configuration from paths: all of them, in the order of their names.
///
/// # Errors
/// Everything that is wrong with the files as a whole. What a component's own keys say is not looked at here.
pub fn load(paths: &[ConfigPath], options: &LoadOptions) -> Result<Loaded, LoadFailed> {
    let mut loader = Loader::new(options);
    let default = [ConfigPath::File(PathBuf::from(DEFAULT_PATH), Some(Format::Yaml))];
    let paths = if paths.is_empty() { &default } else { paths };
    for path in loader.expand(paths) {
        match path {
            ConfigPath::File(path, format) => {
                let format = format.or_else(|| Format::of_path(&path)).unwrap_or(Format::Toml);
                if let Some(file) = loader.read(&path, format) {
                    loader.parts.push(Part::File(file));
                }
            }
            ConfigPath::Dir(path) => loader.directory(&path),
        }
    }
    loader.finish()
}

/// Reads a configuration from a text; the name is for messages.
///
/// # Errors
/// As [`load`]'s.
pub fn load_text(name: &str, text: &str, format: Format, options: &LoadOptions) -> Result<Loaded, LoadFailed> {
    let mut loader = Loader::new(options);
    if let Some(file) = loader.add(name.to_owned(), text.to_owned(), format) {
        loader.parts.push(Part::File(file));
    }
    loader.finish()
}

/// A text and what it takes to parse it.
struct Source {
    id: FileId,
    format: Format,
    mapped: Mapped,
}

/// A component of a directory.
struct Entry {
    name: String,
    /// Its files: usually one; two if the same name has two extensions; none if it is a directory only.
    sources: Vec<usize>,
    inner: Vec<Entry>,
}

enum Part {
    File(usize),
    /// The files at the top of a directory, and its components.
    Dir(Vec<usize>, Vec<(Place, Vec<Entry>)>),
}

#[derive(Clone, Copy)]
enum Place {
    Components(Role),
    Tests,
}

struct Loader<'a> {
    options: &'a LoadOptions,
    files: Files,
    sources: Vec<Source>,
    parts: Vec<Part>,
    errors: Vec<ConfigError>,
}

impl<'a> Loader<'a> {
    fn new(options: &'a LoadOptions) -> Loader<'a> {
        Loader {
            options,
            files: Files::default(),
            sources: Vec::new(),
            parts: Vec::new(),
            errors: Vec::new(),
        }
    }

    fn expand(&mut self, paths: &[ConfigPath]) -> Vec<ConfigPath> {
        let mut found = Vec::new();
        for path in paths {
            let (pattern, make): (&Path, &dyn Fn(PathBuf) -> ConfigPath) = match path {
                ConfigPath::File(p, format) => (p, &|p| ConfigPath::File(p, *format)),
                ConfigPath::Dir(p) => (p, &|p| ConfigPath::Dir(p)),
            };
            // A file whose name happens to be a pattern is itself.
            if pattern.exists() {
                found.push(make(pattern.to_owned()));
                continue;
            }
            match glob::glob(&pattern.to_string_lossy()) {
                Err(e) => self
                    .errors
                    .push(ConfigError::new(format!("`{}` is no pattern: {e}", pattern.display()))),
                Ok(matches) => {
                    let before = found.len();
                    found.extend(matches.filter_map(Result::ok).take(MAX_FILES).map(make));
                    if found.len() == before {
                        self.errors.push(ConfigError::new(format!(
                            "there is no configuration at `{}`",
                            pattern.display()
                        )));
                    }
                }
            }
        }
        found.sort();
        found.dedup();
        found
    }

    fn read(&mut self, path: &Path, format: Format) -> Option<usize> {
        let name = path.display().to_string();
        let mut bytes = Vec::new();
        let read = fs::File::open(path).and_then(|f| f.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut bytes));
        if let Err(e) = read {
            self.errors.push(ConfigError::new(format!("cannot read {name}: {e}")));
            return None;
        }
        match String::from_utf8(bytes) {
            Ok(text) => self.add(name, text, format),
            Err(e) => {
                self.errors.push(ConfigError::new(format!(
                    "{name} is not UTF-8: byte {} does not belong there",
                    e.utf8_error().valid_up_to()
                )));
                None
            }
        }
    }

    fn add(&mut self, name: String, text: String, format: Format) -> Option<usize> {
        if self.sources.len() >= MAX_FILES {
            if self.sources.len() == MAX_FILES {
                self.errors.push(ConfigError::new(format!(
                    "a configuration has at most {MAX_FILES} files"
                )));
            }
            return None;
        }
        let id = self.files.add(
            name.clone(),
            if text.len() > MAX_FILE_BYTES { "" } else { text.as_str() },
        )?;
        let mapped = match &self.options.interpolation {
            Interpolation::By(environment) if text.len() <= MAX_FILE_BYTES => {
                match interpolate::variables(&text, id, environment) {
                    Ok(mapped) => mapped,
                    Err(found) => {
                        self.errors.extend(found);
                        return None;
                    }
                }
            }
            _ => Mapped::plain(&text),
        };
        self.sources.push(Source { id, format, mapped });
        Some(self.sources.len() - 1)
    }

    /// The entries of a directory by name: files with their formats, and directories that are not hidden.
    fn list(&mut self, path: &Path) -> (Vec<(PathBuf, Format)>, Vec<PathBuf>) {
        let mut files = Vec::new();
        let mut directories = Vec::new();
        match fs::read_dir(path) {
            Err(e) => self.errors.push(ConfigError::new(format!(
                "cannot read the directory {}: {e}",
                path.display()
            ))),
            Ok(entries) => {
                for entry in entries.take(MAX_FILES) {
                    let path = match entry {
                        Ok(entry) => entry.path(),
                        Err(e) => {
                            self.errors.push(ConfigError::new(format!(
                                "cannot read the directory {}: {e}",
                                path.display()
                            )));
                            break;
                        }
                    };
                    if path.is_dir() {
                        let hidden = path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"."));
                        if !hidden {
                            directories.push(path);
                        }
                    } else if let Some(format) = Format::of_path(&path) {
                        files.push((path, format));
                    }
                }
            }
        }
        files.sort();
        directories.sort();
        (files, directories)
    }

    fn directory(&mut self, path: &Path) {
        let (files, _) = self.list(path);
        let top = files.iter().filter_map(|(p, f)| self.read(p, *f)).collect();
        let mut below = Vec::new();
        for (name, place) in [
            ("sources", Place::Components(Role::Source)),
            ("transforms", Place::Components(Role::Transform)),
            ("sinks", Place::Components(Role::Sink)),
            ("tests", Place::Tests),
            ("enrichment_tables", Place::Components(Role::EnrichmentTable)),
        ] {
            let path = path.join(name);
            if path.is_dir() {
                // Only transforms may have directories of their own.
                let depth = if name == "transforms" { MAX_DIRECTORIES } else { 0 };
                below.push((place, self.entries(&path, depth)));
            }
        }
        self.parts.push(Part::Dir(top, below));
    }

    fn entries(&mut self, path: &Path, depth: usize) -> Vec<Entry> {
        let (files, directories) = self.list(path);
        let mut entries: Vec<Entry> = Vec::new();
        let stem = |p: &Path| p.file_stem().map(|s| s.to_string_lossy().into_owned());
        for (path, format) in files {
            let (Some(name), Some(source)) = (stem(&path), self.read(&path, format)) else {
                continue;
            };
            match entries.iter_mut().find(|e| e.name == name) {
                Some(entry) => entry.sources.push(source),
                None => entries.push(Entry {
                    name,
                    sources: vec![source],
                    inner: Vec::new(),
                }),
            }
        }
        if depth > 0 {
            for path in directories {
                let Some(name) = stem(&path) else { continue };
                let inner = self.entries(&path, depth - 1);
                match entries.iter_mut().find(|e| e.name == name) {
                    Some(entry) => entry.inner.extend(inner),
                    None => entries.push(Entry {
                        name,
                        sources: Vec::new(),
                        inner,
                    }),
                }
            }
        }
        entries
    }

    /// Parses all sources; those that fail are `None` and reported.
    fn parse(&self, errors: &mut Vec<ConfigError>) -> Vec<Option<Node>> {
        self.sources
            .iter()
            .map(
                |source| match qd_tree::parse(&source.mapped.text, source.format, source.id) {
                    Ok(mut node) => {
                        source.mapped.node(&mut node);
                        Some(node)
                    }
                    Err(found) => {
                        errors.extend(found.into_iter().map(|e| source.mapped.error(e)));
                        None
                    }
                },
            )
            .collect()
    }

    fn draft(&self, trees: &[Option<Node>]) -> Draft {
        let mut draft = Draft::default();
        let tree = |at: &usize| trees.get(*at).cloned().flatten();
        for part in &self.parts {
            match part {
                Part::File(at) => {
                    if let Some(node) = tree(at) {
                        draft.append(node);
                    }
                }
                Part::Dir(top, below) => {
                    let mut root: Option<Node> = None;
                    for node in top.iter().filter_map(tree) {
                        match &mut root {
                            None => root = Some(node),
                            Some(root) => draft.fail(merge_tree("", root, node).err()),
                        }
                    }
                    if let Some(root) = root {
                        draft.append(root);
                    }
                    for (place, entries) in below {
                        let nodes = entries
                            .iter()
                            .filter_map(|e| Self::entry(e, &tree, &mut draft))
                            .collect::<Vec<_>>();
                        match place {
                            Place::Components(role) => draft.extend(*role, nodes),
                            Place::Tests => nodes.into_iter().for_each(|(_, test)| draft.test(test)),
                        }
                    }
                }
            }
        }
        draft
    }

    fn entry(entry: &Entry, tree: &impl Fn(&usize) -> Option<Node>, draft: &mut Draft) -> Option<(Key, Node)> {
        let mut found: Option<Node> = None;
        for node in entry.sources.iter().filter_map(tree) {
            match &mut found {
                None => found = Some(node),
                Some(mine) => draft.fail(merge_tree("", mine, node).err()),
            }
        }
        if found.is_none() && !entry.sources.is_empty() {
            return None;
        }
        let mut node = found.unwrap_or_else(Node::table);
        let span = node.span;
        let inner: Vec<_> = entry.inner.iter().filter_map(|e| Self::entry(e, tree, draft)).collect();
        if !inner.is_empty() {
            draft.fail(merge_tree("", &mut node, Node::new(NodeValue::Table(inner))).err());
        }
        let key = Key {
            name: entry.name.clone(),
            span,
        };
        Some((key, node))
    }

    fn finish(mut self) -> Result<Loaded, LoadFailed> {
        let mut errors = std::mem::take(&mut self.errors);
        let mut trees = self.parse(&mut errors);
        let mut wanted: IndexMap<String, secrets::Wanted> = IndexMap::new();
        for source in &self.sources {
            for (range, name) in interpolate::secret_names(&source.mapped.text) {
                let entry = wanted.entry(name.backend.to_owned()).or_default();
                entry.keys.insert(name.key.to_owned());
                let place = crate::Span {
                    file: source.id,
                    start: u32::try_from(range.start).unwrap_or(u32::MAX),
                    end: u32::try_from(range.end).unwrap_or(u32::MAX),
                };
                entry.span.get_or_insert_with(|| source.mapped.span(place));
            }
        }
        if errors.is_empty() && !wanted.is_empty() {
            let fetched = self
                .draft(&trees)
                .backends()
                .and_then(|backends| secrets::fetch_all(&wanted, &backends));
            match fetched {
                Ok(values) => {
                    self.files.hide(values.values().cloned());
                    errors.extend(self.put_secrets(&values));
                    trees = self.parse(&mut errors);
                }
                Err(found) => errors.extend(found),
            }
        }
        let (config, found, warnings) = self.draft(&trees).finish(self.options.allow_empty);
        errors.extend(found);
        let mut seen: Vec<ConfigError> = Vec::new();
        for error in errors {
            if !seen.contains(&error) {
                seen.push(error);
            }
        }
        if seen.is_empty() {
            Ok(Loaded {
                config,
                files: self.files,
                warnings,
            })
        } else {
            Err(LoadFailed {
                errors: seen,
                files: self.files,
                config: Box::new(config),
            })
        }
    }

    fn put_secrets(&mut self, values: &HashMap<String, String>) -> Vec<ConfigError> {
        let mut errors = Vec::new();
        for source in &mut self.sources {
            match interpolate::secrets(&source.mapped.text, source.id, values) {
                Ok(with) => source.mapped = std::mem::take(&mut source.mapped).then(with),
                Err(found) => errors.extend(found.into_iter().map(|e| source.mapped.error(e))),
            }
        }
        errors
    }
}
