//! Completions for PowerShell.

use crate::flags::all;

/// The script.
pub(super) fn script(name: &str) -> String {
    let (program, word) = super::program(name);
    let only = word.map(|w| format!("  if (\"$($command.CommandElements[1])\" -ne '{w}') {{ return }}\n"));
    let only = only.unwrap_or_default();
    let mut flags = String::new();
    for flag in all() {
        let brief = flag.brief.replace('\'', "''");
        for given in super::names(flag) {
            flags.push_str(&format!(
                "    [System.Management.Automation.CompletionResult]::new('{given}', '{given}', 'ParameterName', '{brief}')\n"
            ));
        }
    }
    format!(
        "Register-ArgumentCompleter -Native -CommandName '{program}' -ScriptBlock {{\n  param($word, $command, $position)\n\
         {only}  $flags = @(\n{flags}  )\n  $flags | Where-Object {{ $_.CompletionText -clike \"$word*\" }} |\n    \
         Sort-Object -Property CompletionText\n}}\n"
    )
}
