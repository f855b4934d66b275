//! As much of Markdown as the rules need: fenced blocks, code spans, links and headings, each with its line.

/// A fenced block; `line` is that of its first line of content.
#[derive(Debug)]
pub(crate) struct Fence<'a> {
    pub(crate) line: usize,
    pub(crate) language: &'a str,
    pub(crate) lines: Vec<&'a str>,
}

/// A document taken apart. Lines count from 1.
#[derive(Debug, Default)]
pub(crate) struct Document<'a> {
    pub(crate) fences: Vec<Fence<'a>>,
    pub(crate) prose: Vec<(usize, &'a str)>,
}

impl<'a> Document<'a> {
    pub(crate) fn parse(text: &'a str) -> Self {
        let mut document = Self::default();
        let mut open: Option<(usize, Fence<'a>)> = None;
        for (line, number) in text.lines().zip(1..) {
            let content = line.trim_start();
            let indent = line.len() - content.len();
            open = match open {
                Some((_, fence)) if content.trim_end() == "```" => {
                    document.fences.push(fence);
                    None
                }
                Some((indent, mut fence)) => {
                    fence.lines.push(line.get(indent..).unwrap_or(content));
                    Some((indent, fence))
                }
                None => begin(content, number).map(|fence| (indent, fence)),
            };
            if open.is_none() && !content.starts_with("```") {
                document.prose.push((number, line));
            }
        }
        document
    }

    /// The fragments that GitHub makes of the headings.
    pub(crate) fn anchors(&self) -> Vec<String> {
        let headings = self.prose.iter().filter_map(|(_, line)| line.strip_prefix('#'));
        headings.map(|heading| anchor(heading.trim_start_matches('#').trim())).collect()
    }
}

fn begin(content: &str, number: usize) -> Option<Fence<'_>> {
    let info = content.strip_prefix("```")?;
    let language = info.split_whitespace().next().unwrap_or_default();
    Some(Fence { line: number + 1, language, lines: Vec::new() })
}

fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).flat_map(char::to_lowercase).collect()
}

/// What stands between backticks.
pub(crate) fn code_spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The targets of `[text](target)`.
pub(crate) fn link_targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next())
}

#[test]
fn a_document_comes_apart() {
    let document =
        Document::parse("# A B\n\n  ```sh now\n  ls\n    x\n  ```\nsee `a b` and `c`, [d](e.md#f)\n");
    let fence = &document.fences[0];
    assert_eq!((fence.line, fence.language, fence.lines.as_slice()), (4, "sh", ["ls", "  x"].as_slice()));
    let (number, line) = document.prose[2];
    assert_eq!(number, 7);
    assert_eq!(code_spans(line).collect::<Vec<_>>(), ["a b", "c"]);
    assert_eq!(link_targets(line).collect::<Vec<_>>(), ["e.md#f"]);
    assert_eq!(document.anchors(), ["a-b"]);
}
