//! What is wrong with a configuration, and how it is shown.

use std::fmt;
use std::sync::Arc;

use annotate_snippets::{Annotation, AnnotationKind, Element, Level, Origin, Renderer, Snippet};

use super::source::{Place, Source};

/// So many problems are drawn; the rest is counted.
const MOST_DRAWN: usize = 100;
/// A longer line is drawn in part.
const LONGEST_LINE: usize = 2_000;

/// How bad a [`Problem`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can, but not all of it has an effect.
    Warning,
}

/// One mistake: what it is, where it is, and what to do about it.
///
/// `Display` shows it as the command line does, without colour.
#[derive(Clone, Debug)]
pub struct Problem {
    source: Arc<Source>,
    severity: Severity,
    place: Option<Place>,
    message: String,
    help: Option<String>,
    /// A second place that belongs to it, and what is there.
    other: Option<(Place, String)>,
}

/// A [`Problem`] that does not keep the configuration from being used.
pub type Warning = Problem;

impl Problem {
    pub(super) fn new(
        source: Arc<Source>,
        severity: Severity,
        place: Option<Place>,
        message: impl Into<String>,
    ) -> Self {
        Self { source, severity, place, message: message.into(), help: None, other: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help(help);
        self
    }

    pub(super) fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(help.into());
        self
    }

    pub(super) fn and_at(&mut self, place: Place, label: &str) -> &mut Self {
        self.other = Some((place, label.to_owned()));
        self
    }

    pub(super) fn show_as(&mut self, source: &Arc<Source>) {
        self.source = Arc::clone(source);
    }

    /// Whether it is an error or a warning.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// What is wrong, in one line without the place.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it.
    #[must_use]
    pub fn advice(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// The file, as it was named on loading.
    #[must_use]
    pub fn file(&self) -> &str {
        self.source.name()
    }

    /// Where it is; `None` where the file could not be read at all.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// The message, the source line with a caret, and the advice; with ANSI colours where `colour` says so.
    ///
    /// Secrets that stand in the file are hidden.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let origin = Origin::path(self.source.name());
        let mut group = level.primary_title(&self.message).elements(Vec::<Element<'_>>::new());
        group = match &self.place {
            None => group.element(origin),
            Some(place) => {
                let (snippet, is_whole) = self.snippet(place);
                if is_whole {
                    group.element(snippet.path(self.source.name()))
                } else {
                    group
                        .element(origin.line(place.line).char_column(place.column))
                        .element(snippet)
                }
            }
        };
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help));
        }
        renderer.render(&[group])
    }

    /// The lines to show, and whether they are whole.
    fn snippet(&self, place: &Place) -> (Snippet<'_, Annotation<'_>>, bool) {
        let (first, last) = match &self.other {
            Some((other, _)) => (other.line.min(place.line), other.line.max(place.line)),
            None => (place.line, place.line),
        };
        let mut shown = self.source.lines(first, last);
        let whole_line = self.source.lines(place.line, place.line);
        let mut from = first;
        let is_whole = whole_line.len() <= LONGEST_LINE;
        if !is_whole {
            let begin = place.bytes.start.saturating_sub(LONGEST_LINE / 2).max(whole_line.start);
            let end = (place.bytes.start + LONGEST_LINE / 2).min(whole_line.end);
            shown = self.source.floor(begin)..self.source.floor(end).max(place.bytes.start);
            from = place.line;
        }
        let within = |place: &Place| {
            let start = place.bytes.start.checked_sub(shown.start)?;
            (place.bytes.start <= shown.end)
                .then(|| start..place.bytes.end.min(shown.end) - shown.start)
        };
        let mut snippet = Snippet::source(&self.source.text()[shown.clone()]).line_start(from);
        if let Some(span) = within(place) {
            snippet = snippet.annotation(AnnotationKind::Primary.span(span));
        }
        if let Some((other, label)) = &self.other
            && let Some(span) = within(other)
        {
            snippet = snippet.annotation(AnnotationKind::Context.span(span).label(label));
        }
        (snippet, is_whole)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

/// Everything that is wrong with a configuration that cannot be used: never without an error, and with the
/// warnings among them, in the order of the file.
///
/// `Display` shows them all as the command line does, without colour.
#[derive(Clone, Debug)]
pub struct ConfigErrors {
    problems: Vec<Problem>,
}

impl ConfigErrors {
    /// Gathers problems that were found later, as by [`Config::error_at`](super::Config::error_at).
    #[must_use]
    pub fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.place.as_ref().map(|place| place.bytes.start));
        Self { problems }
    }

    /// The problems, warnings included, in the order of the file.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The problems themselves.
    #[must_use]
    pub fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// All of them drawn one after the other, with a count at the end.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let mut text = String::new();
        for problem in self.problems.iter().take(MOST_DRAWN) {
            text.push_str(&problem.render(colour));
            text.push_str("\n\n");
        }
        if let Some(more) = self.problems.len().checked_sub(MOST_DRAWN + 1) {
            text.push_str(&format!("and {} more\n", more + 1));
        }
        let errors =
            self.problems.iter().filter(|problem| problem.severity == Severity::Error).count();
        text.push_str(&count(errors, "error"));
        let warnings = self.problems.len() - errors;
        if warnings > 0 {
            text.push_str(&format!(", {}", count(warnings, "warning")));
        }
        if let Some(problem) = self.problems.first() {
            text.push_str(&format!(" in {}", problem.file()));
        }
        text
    }
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for ConfigErrors {}
