//! The roles a theme gives looks to. This module owns their names and says what each is drawn on; it must never name a
//! colour.

use std::{fmt, str::FromStr};

/// What a role is drawn on when its theme gives it no background of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Surface {
    /// The screen behind the panes: the outer terminal's own background.
    Screen,
    /// The tab bar and the hint bar.
    Bar,
    /// A popup, a prompt or a toast.
    Popup,
}

/// How a role is used, which decides how readable it has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RoleKind {
    /// Words: at least 4.5:1 against what it stands on.
    Text,
    /// Lines and bars that carry no words.
    Line,
    /// A wash laid under words that keep their own foreground.
    Wash,
}

/// A name that is no role's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no role \u{201c}{0}\u{201d}")]
pub struct UnknownRole(pub String);

macro_rules! roles {
    ($($variant:ident $name:literal $surface:ident $kind:ident $doc:literal;)*) => {
        /// A use of colour, named after what it means. Themes map each one to a look.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Role { $(#[doc = $doc] $variant,)* }

        impl Role {
            /// Every role, in the order of the theme files.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name in theme files.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it is for, in a few words.
            #[must_use]
            pub const fn doc(self) -> &'static str {
                match self { $(Self::$variant => $doc,)* }
            }

            /// What it is drawn on.
            #[must_use]
            pub const fn surface(self) -> Surface {
                match self { $(Self::$variant => Surface::$surface,)* }
            }

            /// How it is used.
            #[must_use]
            pub const fn kind(self) -> RoleKind {
                match self { $(Self::$variant => RoleKind::$kind,)* }
            }
        }
    };
}

roles! {
    Background "background" Screen Text "The screen behind everything, and plain words on it";
    Text "text" Screen Text "Plain words";
    TextDim "text.dim" Screen Text "Words that matter less";
    TextError "text.error" Screen Text "Something failed";
    TextWarn "text.warn" Screen Text "Something needs a look";
    TextOk "text.ok" Screen Text "Something went well";
    TextInfo "text.info" Screen Text "Something worth knowing";
    PaneFrame "pane.frame" Screen Line "The frame of a pane";
    PaneFrameFocused "pane.frame.focused" Screen Line "The frame of the pane that has the keys";
    PaneFrameDead "pane.frame.dead" Screen Line "The frame of a pane whose program has ended";
    PaneFrameAlert "pane.frame.alert" Screen Line "The frame of a pane that asks for attention";
    PaneTitle "pane.title" Screen Text "The words in a pane's frame";
    PaneTitleFocused "pane.title.focused" Screen Text "The words in the focused pane's frame";
    PaneTitleDead "pane.title.dead" Screen Text "The words in a dead pane's frame";
    PaneTitleAlert "pane.title.alert" Screen Text "The words in the frame of a pane that asks for attention";
    BarBackground "bar.background" Bar Text "The tab bar and the hint bar";
    BarText "bar.text" Bar Text "Words at a bar's right end";
    BarSession "bar.session" Bar Text "The session's name";
    TabActive "tab.active" Bar Text "The tab that is shown";
    TabInactive "tab.inactive" Bar Text "The other tabs";
    TabBell "tab.bell" Bar Text "The mark of a tab whose bell rang";
    TabActivity "tab.activity" Bar Text "The mark of a tab with new output";
    ModeRaw "mode.raw" Bar Text "The mode word while the program has the keys";
    ModeNav "mode.nav" Bar Text "The mode word in lists and viewers";
    ModeInput "mode.input" Bar Text "The mode word in prompts";
    ModeLeader "mode.leader" Bar Text "The mode word after the leader, and in its menus";
    ModeCopy "mode.copy" Bar Text "The mode word in copy mode";
    ModeResize "mode.resize" Bar Text "The mode word while resizing or moving";
    ModeLock "mode.lock" Bar Text "The mode word while locked";
    HintKey "hint.key" Bar Text "The key of a hint";
    HintLabel "hint.label" Bar Text "What the key does";
    HintDisabled "hint.disabled" Bar Text "A hint that can't be used now";
    PopupBackground "popup.background" Popup Text "A popup, and plain words on it";
    PopupFrame "popup.frame" Popup Line "The frame of a popup";
    PopupTitle "popup.title" Popup Text "The title of a popup";
    PopupButton "popup.button" Popup Text "The button that Enter presses";
    InputPrompt "input.prompt" Popup Text "The words before what is typed";
    InputError "input.error" Popup Text "What is wrong with what was typed";
    ListSelected "list.selected" Popup Wash "The row under the cursor";
    ListMatch "list.match" Popup Text "The characters that match the query";
    ListMarked "list.marked" Popup Text "The mark of a chosen row";
    ListDisabled "list.disabled" Popup Text "A row that can't be chosen now";
    ListKeys "list.keys" Popup Text "The keys that do the same as a row";
    Selection "selection" Screen Wash "Selected text";
    SearchMatch "search.match" Screen Text "What a search found";
    SearchCurrent "search.current" Screen Text "The find that the cursor is at";
    Scrollbar "scrollbar" Screen Line "The track of a scrollbar";
    ScrollbarThumb "scrollbar.thumb" Screen Line "The part of a scrollbar that is in view";
    ScrollbarTick "scrollbar.tick" Screen Line "A mark on a scrollbar";
    ToastInfo "toast.info" Popup Text "A passing word";
    ToastOk "toast.ok" Popup Text "A passing word of success";
    ToastWarn "toast.warn" Popup Text "A passing warning";
    ToastError "toast.error" Popup Text "A passing error";
    LogTrace "log.trace" Screen Text "A trace line";
    LogDebug "log.debug" Screen Text "A debug line";
    LogInfo "log.info" Screen Text "An informational line";
    LogWarn "log.warn" Screen Text "A warning line";
    LogError "log.error" Screen Text "An error line";
    Http2xx "http.2xx" Screen Text "A request that succeeded";
    Http3xx "http.3xx" Screen Text "A redirect";
    Http4xx "http.4xx" Screen Text "A request at fault";
    Http5xx "http.5xx" Screen Text "A server at fault";
    RaftLeader "raft.leader" Screen Text "The leader of a group";
    RaftFollower "raft.follower" Screen Text "A follower in a group";
    DiffAdded "diff.added" Screen Text "A line that came";
    DiffRemoved "diff.removed" Screen Text "A line that went";
    SyntaxComment "syntax.comment" Screen Text "A comment in a program's text";
    SyntaxString "syntax.string" Screen Text "A string in it";
    SyntaxNumber "syntax.number" Screen Text "A number or another constant in it";
    SyntaxKeyword "syntax.keyword" Screen Text "A keyword in it";
    SyntaxFunction "syntax.function" Screen Text "The name of a function in it";
    SyntaxType "syntax.type" Screen Text "The name of a type in it";
}

impl Role {
    /// How many roles there are.
    pub const COUNT: usize = Self::ALL.len();

    /// Its place in [`Role::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The role of a mode's word on the hint bar (`RAW`, `leader`, …). Menus look like the leader that opened them.
    #[must_use]
    pub fn for_mode(word: &str) -> Self {
        match word.to_ascii_lowercase().as_str() {
            "nav" => Self::ModeNav,
            "input" => Self::ModeInput,
            "leader" | "window" | "tab" | "new" | "session" => Self::ModeLeader,
            "copy" => Self::ModeCopy,
            "resize" | "move" => Self::ModeResize,
            "lock" => Self::ModeLock,
            _ => Self::ModeRaw,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(s: &str) -> Result<Self, UnknownRole> {
        Self::ALL
            .iter()
            .find(|r| r.name() == s)
            .copied()
            .ok_or_else(|| UnknownRole(s.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_read_back() {
        let mut names: Vec<_> = Role::ALL.iter().map(|r| r.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Role::COUNT);
        for (i, r) in Role::ALL.iter().enumerate() {
            assert_eq!(r.name().parse(), Ok(*r));
            assert_eq!(r.index(), i);
        }
        assert_eq!("pane.fram".parse::<Role>(), Err(UnknownRole("pane.fram".into())));
    }

    #[test]
    fn every_mode_word_has_its_role() {
        assert_eq!(Role::for_mode("RAW"), Role::ModeRaw);
        assert_eq!(Role::for_mode("window"), Role::ModeLeader);
        assert_eq!(Role::for_mode("Move"), Role::ModeResize);
        assert_eq!(Role::for_mode("LOCK"), Role::ModeLock);
    }
}
