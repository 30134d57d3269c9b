//! Words into actions. The general part sorts words by the registry's description of the arguments (so every action has
//! the same grammar and the same errors); the [`read`] functions make the action out of what was given. Nothing here
//! looks at the session: whether a pane exists is the model's question.

use std::{collections::BTreeMap, fmt::Display, str::FromStr};

use qd_tty::Chord;

use crate::{
    action::{Action, Change, Extent, Format, Invocation, Target},
    error::ActionError,
    ids::{PaneId, TabId},
    registry::{Arg, ArgForm, ArgKind, Command, Reader, Required, closest, closest_of, command},
    spec::{OnExit, PaneSpec},
};

/// What was given to a command, sorted by its arguments.
pub(crate) struct Given<'a> {
    command: &'static Command,
    /// Flags with their values and switches with none, in order.
    flags: Vec<(&'static str, &'a str)>,
    positional: Vec<&'a str>,
    trailing: Option<&'a [String]>,
}

impl<'a> Given<'a> {
    fn sort(command: &'static Command, words: &'a [String]) -> Result<Self, ActionError> {
        let mut given = Self {
            command,
            flags: Vec::new(),
            positional: Vec::new(),
            trailing: None,
        };
        let has_trailing = command.args.iter().any(|a| a.form == ArgForm::Trailing);
        let mut rest = words;
        while let Some((word, tail)) = rest.split_first() {
            rest = tail;
            if word == "--" {
                if has_trailing {
                    given.trailing = Some(tail);
                } else {
                    given.positional.extend(tail.iter().map(String::as_str));
                }
                break;
            }
            if word.len() < 2 || !word.starts_with('-') {
                given.positional.push(word);
                continue;
            }
            let (name, inline) = match word.split_once('=') {
                Some((n, v)) => (n, Some(v)),
                None => (word.as_str(), None),
            };
            let found = command.args.iter().find(|a| is_flag(a) && is_called(a, name));
            let Some(arg) = found else {
                // A number below zero is a value, not a flag.
                if word.parse::<i64>().is_ok() {
                    given.positional.push(word);
                    continue;
                }
                return Err(given.unknown_flag(word));
            };
            let value = match (arg.form, inline) {
                (ArgForm::Switch, None) => "",
                (ArgForm::Switch, Some(_)) => return Err(given.unknown_flag(word)),
                (_, Some(v)) => v,
                (_, None) => {
                    let (v, tail) = rest.split_first().ok_or_else(|| given.missing(arg))?;
                    rest = tail;
                    v
                }
            };
            given.flags.push((arg.name, value));
        }
        given.check_positional()?;
        Ok(given)
    }

    fn check_positional(&self) -> Result<(), ActionError> {
        let mut left = self.positional.len();
        let by_place = |a: &&Arg| matches!(a.form, ArgForm::Positional | ArgForm::Repeated);
        for arg in self.command.args.iter().filter(by_place) {
            if left == 0 && arg.required == Required::Yes {
                return Err(self.missing(arg));
            }
            let takes_all = arg.form == ArgForm::Repeated || matches!(arg.kind, ArgKind::Text | ArgKind::TabName);
            left = if takes_all { 0 } else { left.saturating_sub(1) };
        }
        match self.positional.get(self.positional.len() - left) {
            None => Ok(()),
            Some(word) => Err(ActionError::Extra {
                action: self.command.name,
                word: (*word).to_owned(),
                usage: self.command.usage(),
            }),
        }
    }

    fn unknown_flag(&self, flag: &str) -> ActionError {
        let known: Vec<String> = self
            .command
            .args
            .iter()
            .filter(|a| is_flag(a))
            .map(|a| format!("--{}", a.name))
            .collect();
        let closest = closest_of(flag, known.iter().map(String::as_str)).map(str::to_owned);
        ActionError::Flag {
            action: self.command.name,
            flag: flag.to_owned(),
            closest,
        }
    }

    fn missing(&self, arg: &Arg) -> ActionError {
        let argument = match arg.form {
            ArgForm::Flag | ArgForm::RepeatedFlag => format!("a value for --{}", arg.name),
            _ => arg.name.to_uppercase(),
        };
        ActionError::Missing {
            action: self.command.name,
            argument,
            usage: self.command.usage(),
        }
    }

    fn bad(&self, argument: &str, value: &str, expected: impl Display) -> ActionError {
        ActionError::Value {
            action: self.command.name,
            argument: argument.to_uppercase(),
            value: value.to_owned(),
            expected: expected.to_string(),
        }
    }

    /// The last value of a flag.
    fn flag(&self, name: &str) -> Option<&'a str> {
        self.flags.iter().rev().find(|(n, _)| *n == name).map(|(_, v)| *v)
    }

    /// Reads a word by its type, with the argument's own words in the error.
    fn value<T: FromStr>(&self, argument: &str, word: &str) -> Result<T, ActionError> {
        let arg = self.command.args.iter().find(|a| a.name == argument);
        word.parse().map_err(|_| {
            let expected = match arg.map(|a| a.kind) {
                Some(ArgKind::OneOf(words)) => format!("it is one of {}", words.join(", ")),
                Some(ArgKind::Byte) => "it is a byte, 0 to 255".to_owned(),
                Some(ArgKind::Chord) => "it is a key, like a, Enter, Ctrl-c, Alt-x or F12".to_owned(),
                Some(ArgKind::Pane) => "it is a pane's id, as list-panes shows it".to_owned(),
                _ => "it is a whole number".to_owned(),
            };
            self.bad(argument, word, expected)
        })
    }

    /// The value of a flag, by its type.
    fn flag_value<T: FromStr>(&self, name: &str) -> Result<Option<T>, ActionError> {
        self.flag(name).map(|w| self.value(name, w)).transpose()
    }

    /// The argument at a place, by its type.
    fn optional<T: FromStr>(&self, at: usize, name: &str) -> Result<Option<T>, ActionError> {
        self.positional.get(at).map(|w| self.value(name, w)).transpose()
    }

    fn required<T: FromStr>(&self, at: usize, name: &str) -> Result<T, ActionError> {
        // Whether it is there was checked before.
        self.value(name, self.positional.get(at).copied().unwrap_or_default())
    }

    fn all<T: FromStr>(&self, name: &str) -> Result<Vec<T>, ActionError> {
        self.positional.iter().map(|w| self.value(name, w)).collect()
    }

    fn text(&self) -> String {
        self.positional.join(" ")
    }

    fn format(&self) -> Format {
        if self.flag("json").is_some() {
            Format::Json
        } else {
            Format::Text
        }
    }

    /// What a pane shall run, its name aside.
    fn spec(&self) -> Result<PaneSpec, ActionError> {
        let mut args = BTreeMap::new();
        for (_, pair) in self.flags.iter().filter(|(n, _)| *n == "arg") {
            let (k, v) = pair
                .split_once('=')
                .ok_or_else(|| self.bad("arg", pair, "it is written KEY=VALUE"))?;
            args.insert(k.to_owned(), v.to_owned());
        }
        let mut spec = PaneSpec {
            kind: self.flag("kind").unwrap_or(PaneSpec::TERMINAL).to_owned(),
            cwd: self.flag("cwd").map(str::to_owned),
            command: self.trailing.filter(|t| !t.is_empty()).map(<[String]>::to_vec),
            args,
            ..PaneSpec::default()
        };
        if spec.kind.is_empty() {
            return Err(self.bad("kind", "", "it is a kind of pane, like terminal"));
        }
        spec.on_exit = match self.flags.iter().rev().find(|(n, _)| n.ends_with("-on-exit")) {
            Some(("close-on-exit", _)) => OnExit::Close,
            Some(_) => OnExit::Hold,
            None => spec.usual_on_exit(),
        };
        Ok(spec)
    }
}

const fn is_flag(arg: &Arg) -> bool {
    matches!(arg.form, ArgForm::Flag | ArgForm::RepeatedFlag | ArgForm::Switch)
}

fn is_called(arg: &Arg, word: &str) -> bool {
    let short = || {
        word.strip_prefix('-')
            .is_some_and(|w| arg.short.is_some_and(|c| w.chars().eq([c])))
    };
    word.strip_prefix("--") == Some(arg.name) || short()
}

impl Action {
    /// Reads an action from its name and arguments.
    ///
    /// # Errors
    /// A sentence that names the closest action, the flag or the values that would do.
    pub fn parse(name: &str, args: &[String]) -> Result<Self, ActionError> {
        if name.is_empty() {
            return Err(ActionError::Empty);
        }
        let unknown = || ActionError::Unknown {
            name: name.to_owned(),
            closest: closest(name),
        };
        let command = command(name).ok_or_else(unknown)?;
        let mut given = Given::sort(command, args)?;
        match &command.reader {
            Reader::Plain(action) => Ok(action.clone()),
            Reader::With(read) => read(&mut given),
        }
    }
}

impl Invocation {
    /// Reads a whole line: an action's name, its arguments, and among them, before any `--`, `--pane-id N` and
    /// `--tab-id N`. Ids may also be written as zellij does, `terminal_3`.
    ///
    /// # Errors
    /// As [`Action::parse`], and when an id is not a number.
    pub fn parse<S: AsRef<str>>(words: &[S]) -> Result<Self, ActionError> {
        let mut target = Target::default();
        let mut kept: Vec<String> = Vec::with_capacity(words.len());
        let mut words = words.iter().map(AsRef::as_ref);
        while let Some(word) = words.next() {
            if word == "--" {
                kept.push(word.to_owned());
                kept.extend(words.map(str::to_owned));
                break;
            }
            let (name, inline) = word.split_once('=').map_or((word, None), |(n, v)| (n, Some(v)));
            let mut value = || inline.or_else(|| words.next()).unwrap_or_default();
            match name {
                "--pane-id" => target.pane = Some(PaneId(read_id("--pane-id", "list-panes", value())?)),
                "--tab-id" => target.tab = Some(TabId(read_id("--tab-id", "list-tabs", value())?)),
                _ => kept.push(word.to_owned()),
            }
        }
        let (name, args) = kept.split_first().ok_or(ActionError::Empty)?;
        Ok(Self {
            action: Action::parse(name, args)?,
            target,
        })
    }
}

fn read_id(flag: &'static str, list: &'static str, value: &str) -> Result<u32, ActionError> {
    let number = value.strip_prefix("terminal_").unwrap_or(value);
    number.parse().map_err(|_| ActionError::Target {
        flag,
        list,
        value: value.to_owned(),
    })
}

/// One function for each action with arguments.
pub(crate) mod read {
    use super::{Action, ActionError, Change, Chord, Extent, Given, PaneId, PaneSpec, read_id};

    type Read = Result<Action, ActionError>;

    pub(crate) fn new_pane(g: &mut Given<'_>) -> Read {
        let spec = PaneSpec {
            name: g.flag("name").map(str::to_owned),
            ..g.spec()?
        };
        Ok(Action::NewPane {
            spec,
            direction: g.flag_value("direction")?,
        })
    }

    pub(crate) fn new_tab(g: &mut Given<'_>) -> Read {
        let mut spec = g.spec()?;
        let cwd = spec.cwd.take();
        spec.name = g.flag("pane-name").map(str::to_owned);
        let name = g.flag("name").map(str::to_owned);
        Ok(Action::NewTab {
            name,
            cwd,
            spec: Some(spec).filter(|s| *s != PaneSpec::default()),
        })
    }

    pub(crate) fn resize(g: &mut Given<'_>) -> Read {
        let change = match g.positional.first().copied().unwrap_or_default() {
            "increase" => Change::Increase,
            "decrease" => Change::Decrease,
            other => return Err(g.bad("change", other, "it is increase or decrease")),
        };
        Ok(Action::Resize {
            change,
            direction: g.optional(1, "direction")?,
        })
    }

    pub(crate) fn focus_pane(g: &mut Given<'_>) -> Read {
        let word = g.positional.first().copied().unwrap_or_default();
        let id = read_id("", "", word).map_err(|_| g.bad("pane", word, "it is a pane's id, as list-panes shows it"))?;
        Ok(Action::FocusPane(PaneId(id)))
    }

    pub(crate) fn go_to_tab(g: &mut Given<'_>) -> Read {
        match g.required(0, "index")? {
            0 => Err(g.bad("index", "0", "tabs are numbered from 1")),
            n => Ok(Action::GoToTab(n)),
        }
    }

    pub(crate) fn go_to_line(g: &mut Given<'_>) -> Read {
        match g.required(0, "line")? {
            0 => Err(g.bad("line", "0", "lines are numbered from 1")),
            n => Ok(Action::GoToLine(n)),
        }
    }

    pub(crate) fn search(g: &mut Given<'_>) -> Read {
        let text = g.text();
        if text.is_empty() {
            return Err(g.bad("text", "", "it is the text to search for"));
        }
        Ok(Action::SearchScrollback(text))
    }

    pub(crate) fn send_keys(g: &mut Given<'_>) -> Read {
        Ok(Action::SendKeys(g.all::<Chord>("key")?))
    }

    pub(crate) fn dump_screen(g: &mut Given<'_>) -> Read {
        let full = if g.flag("full").is_some() {
            Extent::Full
        } else {
            Extent::Screen
        };
        Ok(Action::DumpScreen {
            path: g.positional.first().map(|p| (*p).to_owned()),
            full,
        })
    }

    macro_rules! readers {
        ($($name:ident = |$g:ident| $action:expr;)*) => {
            $(pub(crate) fn $name($g: &mut Given<'_>) -> Read { Ok($action) })*
        };
    }

    readers! {
        rename_pane = |g| Action::RenamePane(g.text());
        rename_tab = |g| Action::RenameTab(g.text());
        move_pane = |g| Action::MovePane(g.optional(0, "direction")?);
        move_focus = |g| Action::MoveFocus(g.required(0, "direction")?);
        move_focus_or_tab = |g| Action::MoveFocusOrTab(g.required(0, "direction")?);
        go_to_tab_name = |g| Action::GoToTabName(g.text());
        move_tab = |g| Action::MoveTab(g.required(0, "side")?);
        switch_mode = |g| Action::SwitchMode(g.required(0, "mode")?);
        write = |g| Action::Write(g.all("byte")?);
        write_chars = |g| Action::WriteChars(g.text());
        paste = |g| Action::Paste(g.text());
        set_theme = |g| Action::SetTheme(g.required(0, "theme")?);
        list_panes = |g| Action::ListPanes(g.format());
        list_tabs = |g| Action::ListTabs(g.format());
        list_clients = |g| Action::ListClients(g.format());
        list_commands = |g| Action::ListCommands(g.format());
    }
}
