//! What can be done now, and why not. A [`Context`] is a small picture of the session; [`enabled`] judges an action's
//! name by it, for menus and the palette, which show what cannot be done with the reason. It decides nothing: whether an
//! action is carried out is the model's own check.

use crate::mode::Mode;

/// What there is, as far as it decides what can be done. The model fills in what it knows; `scrolled`, `has_selection`,
/// `has_search` and `clients` are the session's to set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Context {
    /// Panes in the active tab.
    pub panes: usize,
    /// Tabs.
    pub tabs: usize,
    /// The kind of the focused pane.
    pub focused_kind: Option<String>,
    /// The focused pane's program has ended.
    pub focused_dead: bool,
    /// The focused pane fills the tab.
    pub fullscreen: bool,
    /// Another pane of the tab had the focus before.
    pub has_last_pane: bool,
    /// Another tab was active before.
    pub has_last_tab: bool,
    /// The mode.
    pub mode: Mode,
    /// The focused pane shows its scrollback.
    pub scrolled: bool,
    /// Something is selected.
    pub has_selection: bool,
    /// A search has been made.
    pub has_search: bool,
}

/// Whether an action can be done now, or the reason why not. A name that is no action is not judged.
///
/// # Errors
/// The reason, as a clause that can follow “cannot: ”.
pub fn enabled(action_name: &str, context: &Context) -> Result<(), &'static str> {
    let deny = |no: bool, why: &'static str| if no { Err(why) } else { Ok(()) };
    let no_pane = || deny(context.focused_kind.is_none(), "there is no pane");
    match action_name {
        "rerun-pane" => {
            no_pane()?;
            deny(!context.focused_dead, "the pane is still running")
        }
        "write" | "write-chars" | "send-keys" | "paste" | "send-leader" => {
            no_pane()?;
            deny(context.focused_dead, "the pane's program has ended")
        }
        "move-focus"
        | "focus-next-pane"
        | "focus-previous-pane"
        | "resize"
        | "equalize-panes"
        | "move-pane"
        | "break-pane" => {
            no_pane()?;
            deny(context.panes < 2, "there is only one pane in this tab")
        }
        "focus-last-pane" => {
            no_pane()?;
            deny(context.panes < 2, "there is only one pane in this tab")?;
            deny(!context.has_last_pane, "no other pane had the focus before")
        }
        "move-focus-or-tab" => {
            no_pane()?;
            deny(context.panes < 2 && context.tabs < 2, "there is only one pane")
        }
        "break-pane-left" | "break-pane-right" => {
            no_pane()?;
            deny(context.tabs < 2, "there is only one tab")
        }
        "go-to-next-tab" | "go-to-previous-tab" | "move-tab" => deny(context.tabs < 2, "there is only one tab"),
        "toggle-tab" => {
            deny(context.tabs < 2, "there is only one tab")?;
            deny(!context.has_last_tab, "no other tab was active before")
        }
        "close-tab" | "rename-tab" | "rename-tab-prompt" | "go-to-tab" | "go-to-tab-name" | "tab-picker" => {
            deny(context.tabs == 0, "there is no tab")
        }
        "close-pane" | "rename-pane" | "rename-pane-prompt" | "toggle-fullscreen" | "focus-pane-id" | "pane-picker"
        | "dump-screen" | "clear" | "search" | "go-to-line" => no_pane(),
        "scroll-down" | "page-scroll-down" | "half-page-scroll-down" | "scroll-to-bottom" => {
            no_pane()?;
            deny(!context.scrolled, "the pane shows its newest lines already")
        }
        "scroll-up" | "page-scroll-up" | "half-page-scroll-up" | "scroll-to-top" => no_pane(),
        "copy-yank" | "copy-swap-ends" => {
            no_pane()?;
            deny(context.mode != Mode::Copy, "only in the copy mode")?;
            deny(!context.has_selection, "nothing is selected")
        }
        "copy-search-next" | "copy-search-previous" => {
            no_pane()?;
            deny(context.mode != Mode::Copy, "only in the copy mode")?;
            deny(!context.has_search, "nothing has been searched for")
        }
        name if name.starts_with("copy-") => {
            no_pane()?;
            deny(context.mode != Mode::Copy, "only in the copy mode")
        }
        _ => Ok(()),
    }
}
