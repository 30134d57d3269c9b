//! The options: what each is called, what it means, how its value is read and printed. One table serves the reader, the
//! dump and the documentation, so that they cannot disagree. Must know nothing of keys (see `keybinds`) and do no I/O.

use std::{collections::BTreeMap, ops::Range};

use qd_mux::Mode;
use qd_tty::Chord;

use crate::{
    diagnostic::{closest, list_of},
    tree::{Entry, Node, Value},
    write::quote,
};

/// A switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Toggle {
    /// On: `#true` (or `true`, `on`).
    On,
    /// Off: `#false` (or `false`, `off`).
    Off,
}

impl Toggle {
    /// Whether it is on.
    #[must_use]
    pub const fn is_on(self) -> bool {
        matches!(self, Self::On)
    }
}

/// How much the hint bar says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hints {
    /// The mode and as many keys as fit.
    Full,
    /// The mode, and the keys of the open menu only.
    Short,
    /// No hint bar.
    Off,
}

/// Everything a person can set but keys, which are in the keymap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Name of the theme.
    pub theme: String,
    /// The theme on a terminal with a light background; `None` = `theme`.
    pub theme_light: Option<String>,
    /// The theme on a terminal with a dark background; `None` = `theme`.
    pub theme_dark: Option<String>,
    /// The keymap that one's own bindings build on, one of [`crate::presets`].
    pub preset: String,
    /// The leader in force (the preset's, or one's own); `None` = there is none. Always the keymap's leader.
    pub leader: Option<Chord>,
    /// The mode a session starts in.
    pub default_mode: Mode,
    /// The shell; `None` = `$SHELL`, else the account's, else `/bin/sh`.
    pub shell: Option<String>,
    /// Where new panes start; `None` = where the session was started.
    pub default_cwd: Option<String>,
    /// The layout of a new session: a name or a path; `None` = the built-in `default`.
    pub default_layout: Option<String>,
    /// Lines of scrollback a pane keeps.
    pub scrollback_lines: u32,
    /// Bytes of scrollback a pane keeps, whichever limit is met first.
    pub scrollback_bytes: usize,
    /// Whether the mouse is taken from the terminal.
    pub mouse: Toggle,
    /// Whether panes have frames.
    pub pane_frames: Toggle,
    /// How much the hint bar says.
    pub hints: Hints,
    /// Whether to draw with ASCII only.
    pub ascii: Toggle,
    /// Program that receives copied text on its standard input, run by the shell; `None` = by OSC 52 only.
    pub copy_command: Option<String>,
    /// Whether text selected with the mouse is copied at once.
    pub copy_on_select: Toggle,
    /// Whether programs may read the clipboard by OSC 52.
    pub osc52_read: Toggle,
    /// Milliseconds after which a lone escape byte is the Esc key, 0 to 1000.
    pub escape_time_ms: u16,
    /// Whether pasting several lines into a shell without bracketed paste asks first.
    pub paste_guard: Toggle,
    /// Frames a second at most, 1 to 240.
    pub frame_rate: u16,
    /// Variables set in every new pane.
    pub env: BTreeMap<String, String>,
    /// Variables taken anew from each client that attaches.
    pub update_environment: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        let refreshed = [
            "DISPLAY",
            "KRB5CCNAME",
            "SSH_AGENT_PID",
            "SSH_ASKPASS",
            "SSH_AUTH_SOCK",
            "SSH_CONNECTION",
            "WAYLAND_DISPLAY",
            "WINDOWID",
            "XAUTHORITY",
        ];
        Self {
            theme: "catppuccin-mocha".to_owned(),
            theme_light: None,
            theme_dark: None,
            preset: crate::presets::DEFAULT.to_owned(),
            leader: Some(Chord::new(qd_tty::Key::Char(' '), qd_tty::Mods::CTRL)),
            default_mode: Mode::Raw,
            shell: None,
            default_cwd: None,
            default_layout: None,
            scrollback_lines: 10_000,
            scrollback_bytes: 8 << 20,
            mouse: Toggle::On,
            pane_frames: Toggle::On,
            hints: Hints::Full,
            ascii: Toggle::Off,
            copy_command: None,
            copy_on_select: Toggle::On,
            osc52_read: Toggle::Off,
            escape_time_ms: 25,
            paste_guard: Toggle::On,
            frame_rate: 60,
            env: BTreeMap::new(),
            update_environment: refreshed.map(str::to_owned).to_vec(),
        }
    }
}

/// A part of a node that cannot be used.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) span: Range<usize>,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
    /// Further wrong parts of the same node; its other parts were used.
    pub(crate) more: Vec<Wrong>,
}

impl Wrong {
    pub(crate) fn new(span: &Range<usize>, message: impl Into<String>) -> Self {
        Self {
            span: span.clone(),
            message: message.into(),
            help: None,
            more: Vec::new(),
        }
    }

    /// All of `found` as one, if there are any.
    fn all(mut found: Vec<Self>) -> Result<(), Self> {
        let Some(mut last) = found.pop() else { return Ok(()) };
        last.more = found;
        Err(last)
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// One option.
pub(crate) struct Def {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) read: fn(&mut Config, &Node) -> Result<(), Wrong>,
    /// The node's arguments (and block) as KDL.
    pub(crate) show: fn(&Config) -> String,
}

/// The options in the order of the documentation; `keybinds` is apart.
pub(crate) const DEFS: &[Def] = &[
    Def {
        name: "theme",
        doc: "Name of the theme.",
        read: |c, n| text(n).map(|v| c.theme = v),
        show: |c| quote(&c.theme),
    },
    Def {
        name: "theme_light",
        doc: "Theme on a terminal with a light background; unset means \"theme\".",
        read: |c, n| optional(n).map(|v| c.theme_light = v),
        show: |c| shown_optional(c.theme_light.as_deref()),
    },
    Def {
        name: "theme_dark",
        doc: "Theme on a terminal with a dark background; unset means \"theme\".",
        read: |c, n| optional(n).map(|v| c.theme_dark = v),
        show: |c| shown_optional(c.theme_dark.as_deref()),
    },
    Def {
        name: "default_shell",
        doc: "Shell of new panes; unset means $SHELL.",
        read: |c, n| optional(n).map(|v| c.shell = v),
        show: |c| shown_optional(c.shell.as_deref()),
    },
    Def {
        name: "default_cwd",
        doc: "Directory new panes start in; unset means where the session was started.",
        read: |c, n| optional(n).map(|v| c.default_cwd = v),
        show: |c| shown_optional(c.default_cwd.as_deref()),
    },
    Def {
        name: "default_layout",
        doc: "Layout of a new session: a name or a path; unset means the built-in \"default\".",
        read: |c, n| optional(n).map(|v| c.default_layout = v),
        show: |c| shown_optional(c.default_layout.as_deref()),
    },
    Def {
        name: "default_mode",
        doc: "Mode a session starts in: \"raw\" or \"lock\".",
        read: |c, n| {
            choice(
                n,
                &[
                    ("raw", Mode::Raw),
                    ("lock", Mode::Lock),
                    ("normal", Mode::Raw),
                    ("locked", Mode::Lock),
                ],
            )
            .map(|v| c.default_mode = v)
        },
        show: |c| quote(c.default_mode.name()),
    },
    Def {
        name: "scroll_buffer_size",
        doc: "Lines of scrollback a pane keeps.",
        read: |c, n| number(n, 0, 10_000_000).map(|v| c.scrollback_lines = v),
        show: |c| c.scrollback_lines.to_string(),
    },
    Def {
        name: "scroll_buffer_bytes",
        doc: "Memory for a pane's scrollback, in bytes or like \"8MiB\"; the limit met first counts.",
        read: |c, n| bytes(n).map(|v| c.scrollback_bytes = v),
        show: |c| shown_bytes(c.scrollback_bytes),
    },
    Def {
        name: "mouse_mode",
        doc: "Whether the mouse focuses, resizes, scrolls and selects. Shift bypasses it.",
        read: |c, n| toggle(n).map(|v| c.mouse = v),
        show: |c| shown(c.mouse),
    },
    Def {
        name: "pane_frames",
        doc: "Whether panes have frames with their titles.",
        read: |c, n| toggle(n).map(|v| c.pane_frames = v),
        show: |c| shown(c.pane_frames),
    },
    Def {
        name: "hints",
        doc: "How much the bottom line says: \"full\", \"short\" or \"off\".",
        read: |c, n| choice(n, HINTS).map(|v| c.hints = v),
        show: |c| {
            HINTS
                .iter()
                .find(|(_, h)| *h == c.hints)
                .map_or_else(String::new, |(name, _)| quote(name))
        },
    },
    Def {
        name: "ascii",
        doc: "Whether to draw with plain ASCII only.",
        read: |c, n| toggle(n).map(|v| c.ascii = v),
        show: |c| shown(c.ascii),
    },
    Def {
        name: "copy_command",
        doc: "Command that receives copied text, such as \"wl-copy\"; unset means OSC 52 only.",
        read: |c, n| optional(n).map(|v| c.copy_command = v),
        show: |c| shown_optional(c.copy_command.as_deref()),
    },
    Def {
        name: "copy_on_select",
        doc: "Whether selecting with the mouse copies at once.",
        read: |c, n| toggle(n).map(|v| c.copy_on_select = v),
        show: |c| shown(c.copy_on_select),
    },
    Def {
        name: "osc52_read",
        doc: "Whether programs may read the clipboard (OSC 52). They may always write it.",
        read: |c, n| toggle(n).map(|v| c.osc52_read = v),
        show: |c| shown(c.osc52_read),
    },
    Def {
        name: "escape_time",
        doc: "Milliseconds after which a lone escape byte is the Esc key, 0 to 1000.",
        read: |c, n| number(n, 0, 1000).map(|v| c.escape_time_ms = v),
        show: |c| c.escape_time_ms.to_string(),
    },
    Def {
        name: "paste_guard",
        doc: "Whether pasting several lines into a shell that takes them for commands asks first.",
        read: |c, n| toggle(n).map(|v| c.paste_guard = v),
        show: |c| shown(c.paste_guard),
    },
    Def {
        name: "frame_rate",
        doc: "Frames a second at most, 1 to 240. The first change after a pause is always drawn at once.",
        read: |c, n| number(n, 1, 240).map(|v| c.frame_rate = v),
        show: |c| c.frame_rate.to_string(),
    },
    Def {
        name: "update_environment",
        doc: "Variables that new panes get from whoever attached last, so that agents and displays keep working.",
        read: |c, n| names(n, &mut c.update_environment),
        show: |c| {
            c.update_environment
                .iter()
                .map(|w| quote(w))
                .collect::<Vec<_>>()
                .join(" ")
        },
    },
    Def {
        name: "env",
        doc: "Variables set in every new pane.",
        read: |c, n| variables(n, &mut c.env),
        show: |c| shown_variables(&c.env),
    },
];

const HINTS: &[(&str, Hints)] = &[("full", Hints::Full), ("short", Hints::Short), ("off", Hints::Off)];

/// Options of zellij that mean nothing here or not yet: accepted with a warning, so that its files load.
const ELSEWHERE: &[&str] = &[
    "simplified_ui",
    "mirror_session",
    "layout_dir",
    "theme_dir",
    "auto_layout",
    "session_serialization",
    "serialize_pane_viewport",
    "scrollback_lines_to_serialize",
    "serialization_interval",
    "styled_underlines",
    "disable_session_metadata",
    "support_kitty_keyboard_protocol",
    "copy_clipboard",
    "scrollback_editor",
    "session_name",
    "attach_to_session",
    "on_force_close",
    "show_startup_tips",
    "show_release_notes",
    "stacked_resize",
    "advanced_mouse_actions",
    "post_command_discovery_hook",
    "web_server",
    "web_server_ip",
    "web_server_port",
    "web_server_cert",
    "web_server_key",
    "web_sharing",
    "web_client",
    "enforce_https_for_localhost",
    "visual_bell",
    "focus_follows_mouse",
    "mouse_click_through",
    "mouse_hover_effects",
    "osc8_hyperlinks",
    "env_variables",
    "ui",
    "themes",
    "plugins",
    "load_plugins",
];

/// Whether `name` is an option of zellij that has no meaning here.
pub(crate) fn is_elsewhere(name: &str) -> bool {
    ELSEWHERE.contains(&name)
}

/// The options' names and one-line descriptions, in the order of the documentation.
pub fn options() -> impl Iterator<Item = (&'static str, &'static str)> {
    DEFS.iter().map(|d| (d.name, d.doc))
}

/// The only argument of a node that has no block and no properties.
fn single(node: &Node) -> Result<&Entry, Wrong> {
    if let Some((key, entry)) = node.props().next() {
        return Err(Wrong::new(
            &entry.span,
            format!("“{}” has no property “{key}”", node.name),
        ));
    }
    if let Some(child) = node.children.first() {
        return Err(Wrong::new(&child.span, format!("“{}” takes no block", node.name)));
    }
    let mut args = node.args();
    let first = args
        .next()
        .ok_or_else(|| Wrong::new(&node.name_span, format!("“{}” needs a value", node.name)))?;
    match args.next() {
        Some(extra) => Err(Wrong::new(&extra.span, format!("“{}” takes one value", node.name))),
        None => Ok(first),
    }
}

fn text(node: &Node) -> Result<String, Wrong> {
    let entry = single(node)?;
    match &entry.value {
        Value::Text(s) if s.is_empty() => {
            let help = "write text, or leave the option out";
            Err(Wrong::new(&entry.span, format!("“{}” must not be empty", node.name)).help(help))
        }
        Value::Text(s) => Ok(s.clone()),
        _ => Err(Wrong::new(&entry.span, format!("“{}” must be text", node.name)).help("put it in double quotes")),
    }
}

/// Text, or `#null` for unset.
fn optional(node: &Node) -> Result<Option<String>, Wrong> {
    match single(node)?.value {
        Value::Null => Ok(None),
        _ => text(node).map(Some),
    }
}

fn toggle(node: &Node) -> Result<Toggle, Wrong> {
    let entry = single(node)?;
    switch(entry)
        .ok_or_else(|| Wrong::new(&entry.span, format!("“{}” is a switch", node.name)).help("write #true or #false"))
}

/// A value as a switch, if it is one.
pub(crate) fn switch(entry: &Entry) -> Option<Toggle> {
    match &entry.value {
        Value::Bool(true) => Some(Toggle::On),
        Value::Bool(false) => Some(Toggle::Off),
        Value::Text(s) if s == "true" || s == "on" => Some(Toggle::On),
        Value::Text(s) if s == "false" || s == "off" => Some(Toggle::Off),
        _ => None,
    }
}

fn number<N: TryFrom<i128>>(node: &Node, min: i128, max: i128) -> Result<N, Wrong> {
    let entry = single(node)?;
    let wrong = || {
        Wrong::new(
            &entry.span,
            format!("“{}” must be a whole number from {min} to {max}", node.name),
        )
    };
    match entry.value {
        Value::Integer(i) if (min..=max).contains(&i) => N::try_from(i).map_err(|_| wrong()),
        _ => Err(wrong()),
    }
}

fn choice<T: Copy>(node: &Node, known: &[(&str, T)]) -> Result<T, Wrong> {
    let entry = single(node)?;
    let word = entry.value.word();
    let found = known.iter().find(|(name, _)| name.eq_ignore_ascii_case(&word));
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names = || known.iter().map(|(name, _)| *name);
        let wrong = Wrong::new(&entry.span, format!("“{}” cannot be “{word}”", node.name));
        match closest(&word, names()) {
            Some(near) => wrong.help(format!("did you mean “{near}”?")),
            None => wrong.help(format!("write {}", list_of(names()))),
        }
    })
}

/// Units of memory, largest first.
const UNITS: &[(&str, usize)] = &[
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1000),
    ("B", 1),
];

fn bytes(node: &Node) -> Result<usize, Wrong> {
    let entry = single(node)?;
    let read = match &entry.value {
        Value::Integer(i) => usize::try_from(*i).ok(),
        Value::Text(s) => {
            let digits = s.trim_end_matches(|c: char| !c.is_ascii_digit());
            let unit = s[digits.len()..].trim();
            let factor = UNITS
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(unit))
                .map(|(_, f)| *f);
            factor.and_then(|f| digits.parse::<usize>().ok()?.checked_mul(f))
        }
        _ => None,
    };
    read.ok_or_else(|| {
        Wrong::new(&entry.span, format!("“{}” must be a size", node.name)).help("write bytes, or text such as \"8MiB\"")
    })
}

fn names(node: &Node, into: &mut Vec<String>) -> Result<(), Wrong> {
    let mut wrong: Vec<Wrong> = Vec::new();
    for (key, entry) in node.props() {
        wrong.push(Wrong::new(
            &entry.span,
            format!("“{}” has no property “{key}”", node.name),
        ));
    }
    if let Some(child) = node.children.first() {
        wrong.push(Wrong::new(&child.span, format!("“{}” takes no block", node.name)));
    }
    into.clear();
    for entry in node.args() {
        match &entry.value {
            Value::Text(s) if is_variable(s) => into.push(s.clone()),
            _ => wrong.push(Wrong::new(&entry.span, "this is no name of an environment variable")),
        }
    }
    Wrong::all(wrong)
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}

fn variables(node: &Node, into: &mut BTreeMap<String, String>) -> Result<(), Wrong> {
    let mut wrong: Vec<Wrong> = Vec::new();
    if let Some(entry) = node.entries.first() {
        let help = "write them in a block: env { NAME \"value\"; }";
        wrong.push(Wrong::new(&entry.span, "“env” takes no values of its own").help(help));
    }
    for child in &node.children {
        if !is_variable(&child.name) {
            wrong.push(Wrong::new(
                &child.name_span,
                "this is no name of an environment variable",
            ));
            continue;
        }
        match single(child) {
            Ok(entry) if entry.value.word().contains('\0') => {
                wrong.push(Wrong::new(
                    &entry.span,
                    "the value of a variable must not contain a NUL byte",
                ));
            }
            Ok(entry) => drop(into.insert(child.name.clone(), entry.value.word())),
            Err(e) => wrong.push(e),
        }
    }
    Wrong::all(wrong)
}

fn shown(toggle: Toggle) -> String {
    if toggle.is_on() { "#true" } else { "#false" }.to_owned()
}

fn shown_optional(value: Option<&str>) -> String {
    value.map_or_else(|| "#null".to_owned(), quote)
}

fn shown_bytes(bytes: usize) -> String {
    let binary = UNITS
        .iter()
        .take(3)
        .find(|(_, f)| bytes >= *f && bytes.is_multiple_of(*f));
    match binary {
        Some((name, f)) => quote(&format!("{}{name}", bytes / f)),
        None => bytes.to_string(),
    }
}

fn shown_variables(env: &BTreeMap<String, String>) -> String {
    if env.is_empty() {
        return "{}".to_owned();
    }
    let lines: String = env
        .iter()
        .map(|(k, v)| format!("    {} {}\n", quote(k), quote(v)))
        .collect();
    format!("{{\n{lines}}}")
}
