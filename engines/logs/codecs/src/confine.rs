//! Confinement: what events fill into a template must not lead out of where its author pointed.
//!
//! [`Confinement`] is for keys, names and URIs; [`PathConfinement`] is for files, and also sees through symbolic links.
//! The rules are those of Vector 0.58, which calls the way out `dangerously_allow_unconfined_template_resolution`.

use std::{
    io,
    path::{Component, Path, PathBuf},
};

use crate::Template;

/// The longest text that a confined template may render, in bytes.
pub const MAX_RENDERED: usize = 1024;

/// The key by which confinement is switched off.
pub const OPT_OUT: &str = "dangerously_allow_unconfined_template_resolution";

/// A template that cannot be confined.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfinementError {
    /// It begins with a field.
    #[error(
        "the template `{0}` begins with a field, so events could lead it anywhere; let it begin with constant text, or \
         set `{OPT_OUT}`"
    )]
    NoPrefix(String),
    /// It begins with a field, and is a path.
    #[error(
        "the path `{0}` has no constant absolute folder to stay in; set `base_dir`, or `{OPT_OUT}` to let events choose \
         any path"
    )]
    NoFolder(String),
    /// It begins with `/` and then comes a field.
    #[error("the template `{0}` may lead anywhere below `/`; let it begin with more, or set `{OPT_OUT}`")]
    Root(String),
    /// The folder is not absolute.
    #[error("`base_dir` must be an absolute path, found `{0}`")]
    NotAbsolute(String),
    /// A constant path that is not in its folder.
    #[error("the path `{path}` is not below `base_dir` `{base}`")]
    Outside {
        /// The path.
        path: String,
        /// The folder.
        base: String,
    },
    /// A URI whose host is or ends with a field, or is odd.
    #[error("the host of the URI `{0}` must be constant and be closed by a `/`; or set `{OPT_OUT}`")]
    Host(String),
    /// A URI with fields and a query or fragment.
    #[error("the URI `{0}` has fields and a `?` or `#`, which cannot be confined; move the fields to the path")]
    Query(String),
    /// A URI with an escaped separator in its constant part.
    #[error("the constant part of the URI `{0}` has an escaped `/`, `\\` or `%`; write them plainly")]
    Escaped(String),
}

/// A rendered text that leads out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfineError {
    /// It has a NUL.
    #[error("the rendered text has a NUL byte")]
    Nul,
    /// It is longer than [`MAX_RENDERED`].
    #[error("the rendered text is {0} bytes long, more than {MAX_RENDERED}")]
    TooLong(usize),
    /// It leads elsewhere. The text is cut to 32 bytes.
    #[error("the rendered text `{rendered}` leads out of `{base}`")]
    Outside {
        /// How it begins.
        rendered: String,
        /// Where it should have stayed.
        base: String,
    },
    /// A symbolic link leads elsewhere, or the folder can't be looked at.
    #[error("the folder `{0}` can't be used: {1}")]
    Folder(String, String),
}

fn preview(s: &str) -> String {
    let mut end = s.len().min(32);
    while !s.is_char_boundary(end) {
        end -= 1;
    }
    s.get(..end).unwrap_or_default().escape_debug().to_string()
}

/// What a confined template's rendered texts must keep to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Confinement {
    /// They begin so, and have no segment `..`.
    Prefix(String),
    /// They are URIs of this origin, with paths that begin so.
    Uri {
        /// Scheme and authority in lower case: `https://api.example`.
        origin: String,
        /// The path's beginning.
        path: String,
    },
}

impl Confinement {
    /// The confinement of a template; `None` for one without fields.
    ///
    /// # Errors
    /// [`ConfinementError`] if its constant beginning does not confine anything.
    pub fn of(template: &Template) -> Result<Option<Confinement>, ConfinementError> {
        if !template.has_fields() {
            return Ok(None);
        }
        let source = || template.source().to_owned();
        let prefix = template.literal_prefix();
        if prefix.is_empty() {
            return Err(ConfinementError::NoPrefix(source()));
        }
        if prefix == "/" {
            return Err(ConfinementError::Root(source()));
        }
        let lower = prefix.to_ascii_lowercase();
        if !lower.starts_with("http://") && !lower.starts_with("https://") {
            return Ok(Some(Confinement::Prefix(prefix.to_owned())));
        }
        if template.source().contains(['?', '#']) {
            return Err(ConfinementError::Query(source()));
        }
        let (origin, path) = split_uri(prefix).ok_or_else(|| ConfinementError::Host(source()))?;
        if !path.starts_with('/') {
            return Err(ConfinementError::Host(source()));
        }
        if escapes(path) {
            return Err(ConfinementError::Escaped(source()));
        }
        Ok(Some(Confinement::Uri {
            origin,
            path: path.to_owned(),
        }))
    }

    /// Whether a rendered text keeps to it.
    ///
    /// # Errors
    /// [`ConfineError`] if not.
    pub fn check(&self, rendered: &str) -> Result<(), ConfineError> {
        if rendered.contains('\0') {
            return Err(ConfineError::Nul);
        }
        if rendered.len() > MAX_RENDERED {
            return Err(ConfineError::TooLong(rendered.len()));
        }
        let (inside, base) = match self {
            Confinement::Prefix(base) => (
                rendered.starts_with(base.as_str()) && !rendered.split('/').any(|s| s == ".."),
                base.clone(),
            ),
            Confinement::Uri { origin, path: base } => {
                let inside = match split_uri(rendered) {
                    Some((o, path)) => {
                        o == *origin
                            && path.starts_with(base.as_str())
                            && !path.contains(['?', '#'])
                            && !path.bytes().any(|b| b.is_ascii_control() || b == b' ')
                            && !escapes(path)
                            && !path.split('/').any(dots)
                    }
                    None => false,
                };
                (inside, format!("{origin}{base}"))
            }
        };
        match inside {
            true => Ok(()),
            false => Err(ConfineError::Outside {
                rendered: preview(rendered),
                base,
            }),
        }
    }
}

/// Scheme and authority in lower case, and the rest. The authority must be plain: no user, no white space.
fn split_uri(uri: &str) -> Option<(String, &str)> {
    let (scheme, rest) = uri.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:[]@!$&'()*+,;=%".contains(&b);
    if authority.is_empty() || !authority.bytes().all(plain) {
        return None;
    }
    Some((format!("{scheme}://{authority}").to_ascii_lowercase(), path))
}

/// Whether a path has an escaped `/`, `\` or `%`, or a plain `\`: servers decode some of them before they resolve.
fn escapes(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    ["%2f", "%5c", "%25", "\\"].iter().any(|e| lower.contains(e))
}

/// Whether a segment is `..`, escaped or not.
fn dots(segment: &str) -> bool {
    matches!(segment.to_ascii_lowercase().as_str(), ".." | "%2e%2e" | ".%2e" | "%2e.")
}

/// Keeps files in a folder.
#[derive(Debug, Clone)]
pub struct PathConfinement {
    base: PathBuf,
    canonical: Option<PathBuf>,
}

impl PathConfinement {
    /// The confinement of a path template: to `base_dir`, else to the folder in its constant beginning. `None` for a
    /// template without fields and without `base_dir`. Does not touch the file system.
    ///
    /// # Errors
    /// [`ConfinementError`] if there is no such folder, or a constant path is not in it.
    pub fn of(template: &Template, base_dir: Option<&Path>) -> Result<Option<PathConfinement>, ConfinementError> {
        let base = match base_dir {
            None if !template.has_fields() => return Ok(None),
            Some(dir) if !dir.is_absolute() => {
                return Err(ConfinementError::NotAbsolute(dir.display().to_string()));
            }
            Some(dir) => normalize(dir),
            None => {
                let prefix = template.literal_prefix();
                let folder = prefix.rfind('/').and_then(|i| prefix.get(..=i)).unwrap_or_default();
                let base = normalize(Path::new(folder));
                if !base.is_absolute() {
                    return Err(ConfinementError::NoFolder(template.source().to_owned()));
                }
                if base.parent().is_none() {
                    return Err(ConfinementError::Root(template.source().to_owned()));
                }
                base
            }
        };
        if !template.has_fields() {
            let path = normalize(&base.join(template.source()));
            if !path.starts_with(&base) {
                return Err(ConfinementError::Outside {
                    path: path.display().to_string(),
                    base: base.display().to_string(),
                });
            }
        }
        Ok(Some(PathConfinement { base, canonical: None }))
    }

    /// The folder.
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// The rendered path without `.` and `..`, if it is in the folder. Does not touch the file system.
    ///
    /// # Errors
    /// [`ConfineError`] if it leads out.
    pub fn check(&self, rendered: &str) -> Result<PathBuf, ConfineError> {
        if rendered.contains('\0') {
            return Err(ConfineError::Nul);
        }
        if rendered.len() > MAX_RENDERED {
            return Err(ConfineError::TooLong(rendered.len()));
        }
        let path = normalize(&self.base.join(rendered));
        match path.starts_with(&self.base) {
            true => Ok(path),
            false => Err(ConfineError::Outside {
                rendered: preview(rendered),
                base: self.base.display().to_string(),
            }),
        }
    }

    /// Makes the folders that `path` (as [`PathConfinement::check`] gave it) needs below the base, none of them through
    /// a symbolic link, and gives the path by which to open it. The last component may still be a link: open it with
    /// `O_NOFOLLOW`.
    ///
    /// # Errors
    /// [`ConfineError::Folder`] if a folder can't be made or is a link.
    pub fn prepare(&mut self, path: &Path) -> Result<PathBuf, ConfineError> {
        let bad = |p: &Path, e: io::Error| ConfineError::Folder(p.display().to_string(), e.to_string());
        let canonical = match &self.canonical {
            Some(c) => c.clone(),
            None => {
                std::fs::create_dir_all(&self.base).map_err(|e| bad(&self.base, e))?;
                self.base.canonicalize().map_err(|e| bad(&self.base, e))?
            }
        };
        self.canonical = Some(canonical.clone());
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(bad(path, io::Error::from(io::ErrorKind::IsADirectory)));
        };
        let mut current = canonical.clone();
        for part in parent.strip_prefix(&self.base).unwrap_or(parent).components() {
            current.push(part);
            match std::fs::symlink_metadata(&current) {
                Ok(m) if m.is_symlink() => return Err(bad(&current, io::Error::other("it is a symbolic link"))),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound => match std::fs::create_dir(&current) {
                    Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(bad(&current, e)),
                    _ => {}
                },
                Err(e) => return Err(bad(&current, e)),
            }
        }
        Ok(current.join(name))
    }
}

/// A path without `.` and, as far as it can be told without the file system, without `..`.
pub fn normalize(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for c in path.components() {
        match c {
            Component::CurDir => {}
            Component::ParentDir => match out.components().next_back() {
                Some(Component::Normal(_)) => {
                    out.pop();
                }
                Some(Component::RootDir) => {}
                _ => out.push(c),
            },
            _ => out.push(c),
        }
    }
    if out.as_os_str().is_empty() {
        out.push(".");
    }
    out
}
