//! Entry points for fuzzing: any bytes in, no panic and no long wait, and the promises that hold for any input.

use crate::{dump, layout, parse_bytes};

/// Reads any bytes as a configuration; what is printed of the result must read back as the same.
pub fn config(bytes: &[u8]) {
    let loaded = parse_bytes(bytes, "fuzz");
    let shown = loaded.render();
    assert_eq!(
        shown.is_empty(),
        loaded.diagnostics.is_empty(),
        "a finding that shows nothing"
    );
    let again = parse_bytes(dump(&loaded.config, &loaded.keymap).as_bytes(), "dump");
    assert!(again.diagnostics.is_empty(), "{}", again.render());
    assert_eq!(
        (&again.config, &again.keymap),
        (&loaded.config, &loaded.keymap),
        "a dump reads back otherwise"
    );
}

/// Reads any bytes as a layout; what is printed of the result must read back as the same.
pub fn layout(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let loaded = layout::load_layout(&text, "fuzz");
    for finding in &loaded.diagnostics {
        assert!(!finding.render(&text).is_empty(), "a finding that shows nothing");
    }
    if let Some(first) = loaded.layout {
        let written = layout::write_layout(&first);
        match layout::parse_layout(&written, "written") {
            Ok(second) => assert_eq!(first, second, "a layout reads back otherwise"),
            Err(findings) => assert!(findings.is_empty(), "{written}: {findings:?}"),
        }
    }
}
