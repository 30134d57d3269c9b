//! Text in lines of a width.

/// The paragraphs of `text`, each line behind `indent` blanks and at most `width` wide with them. A paragraph that is
/// indented itself is kept as it is.
pub(super) fn paragraphs(text: &str, indent: usize, width: usize) -> String {
    let blanks = " ".repeat(indent);
    let mut out = Vec::new();
    for paragraph in text.split("\n\n") {
        if paragraph.starts_with("    ") {
            let kept: Vec<String> = paragraph.lines().map(|l| format!("{blanks}{l}")).collect();
            out.push(kept.join("\n"));
        } else {
            out.push(fill(paragraph, &blanks, width));
        }
    }
    out.join("\n\n")
}

fn fill(paragraph: &str, blanks: &str, width: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in paragraph.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("{blanks}{word}")),
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_whole_and_examples_stay_as_they_are() {
        let got = paragraphs("one two three four\n\n    rg  foo\n\nfive", 2, 11);
        assert_eq!(got, "  one two\n  three\n  four\n\n      rg  foo\n\n  five");
        assert_eq!(paragraphs("unbreakable", 0, 4), "unbreakable");
    }
}
