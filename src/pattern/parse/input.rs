//! What the parsers read: tokens, as an input that nom's combinators understand, and the mistakes found on the way.

use std::cell::{Cell, RefCell};
use std::iter::Enumerate;
use std::slice::Iter;

use nom::error::{ErrorKind, ParseError};
use nom::{Err, IResult, Input, Needed, Parser};

use super::token::{Kind, Token};
use crate::diagnostic::similar;
use crate::pattern::code;
use crate::pattern::diagnostic::{Diagnostic, Diagnostics, Span};

/// The tokens that are left. Never empty: [`Kind::End`] stays.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tokens<'a> {
    rest: &'a [Token],
    context: &'a Context<'a>,
}

/// What all parsers of one text share.
#[derive(Debug)]
pub(super) struct Context<'a> {
    /// The text itself.
    text: &'a str,
    /// All of its tokens.
    tokens: &'a [Token],
    /// How deep parentheses may nest.
    depth_limit: usize,
    depth: Cell<usize>,
    diagnostics: RefCell<Diagnostics>,
    /// Up to where mistakes have been reported; another one before that would be about the same.
    reported: Cell<u32>,
    /// The number of a token, and the word that it was most likely meant for: asked several times in a row.
    meant: Cell<Option<(usize, Option<&'static str>)>>,
    /// Whether there was something to report in the pattern being read.
    wrong: Cell<bool>,
    /// Whether a part of the pattern being read had to be left out, so that its rules cannot be checked.
    torn: Cell<bool>,
}

/// What a token parser gives. `Error` means "not this, and nothing was taken"; `Failure` is a mistake that its maker
/// committed to, which recovery reports.
pub(super) type Parse<'a, T> = IResult<Tokens<'a>, T, Mistake>;

/// A mistake, with its diagnostic where it is a failure.
#[derive(Debug)]
pub(super) struct Mistake(pub(super) Option<Box<Diagnostic>>);

impl<'a> ParseError<Tokens<'a>> for Mistake {
    fn from_error_kind(_: Tokens<'a>, _: ErrorKind) -> Mistake {
        Mistake(None)
    }

    fn append(_: Tokens<'a>, _: ErrorKind, other: Mistake) -> Mistake {
        other
    }
}

/// "Not this."
pub(super) fn absent<T>() -> Result<T, Err<Mistake>> {
    Err(Err::Error(Mistake(None)))
}

/// A mistake that cannot be mended here.
pub(super) fn fail<T>(diagnostic: Diagnostic) -> Result<T, Err<Mistake>> {
    Err(Err::Failure(Mistake(Some(Box::new(diagnostic)))))
}

impl<'a> Context<'a> {
    pub(super) fn new(
        text: &'a str,
        tokens: &'a [Token],
        depth_limit: usize,
        diagnostics: Diagnostics,
    ) -> Context<'a> {
        Context {
            text,
            tokens,
            depth_limit,
            depth: Cell::new(0),
            diagnostics: RefCell::new(diagnostics),
            reported: Cell::new(0),
            meant: Cell::new(None),
            wrong: Cell::new(false),
            torn: Cell::new(false),
        }
    }

    /// The diagnostics, once parsing is over.
    pub(super) fn into_diagnostics(self) -> Diagnostics {
        self.diagnostics.into_inner()
    }
}

impl<'a> Tokens<'a> {
    pub(super) fn new(context: &'a Context<'a>) -> Tokens<'a> {
        Tokens { rest: context.tokens, context }
    }

    /// The next token.
    pub(super) fn first(&self) -> &'a Token {
        self.nth(0)
    }

    /// The token after `n` others; the end of the text beyond that.
    pub(super) fn nth(&self, n: usize) -> &'a Token {
        &self.rest[n.min(self.rest.len() - 1)]
    }

    /// What is left after the next `n` tokens; the end stays.
    pub(super) fn skip(self, n: usize) -> Tokens<'a> {
        Tokens { rest: &self.rest[n.min(self.rest.len() - 1)..], ..self }
    }

    /// Where the next token stands.
    pub(super) fn span(&self) -> Span {
        self.first().span
    }

    /// The number of tokens that stand before these.
    pub(super) fn index(&self) -> usize {
        self.context.tokens.len() - self.rest.len()
    }

    /// The last token taken, or the first one of all.
    pub(super) fn previous(&self) -> &'a Token {
        &self.context.tokens[self.index().saturating_sub(1)]
    }

    /// What stands between the last token taken and the next one.
    pub(super) fn gap(&self) -> &'a str {
        self.text(Span { start: self.previous().span.end, end: self.span().start })
    }

    /// From a start to the end of the last token taken.
    pub(super) fn since(&self, start: Span) -> Span {
        start.to(self.previous().span)
    }

    pub(super) fn is_end(&self) -> bool {
        self.first().kind == Kind::End
    }

    /// Whether the next token is this keyword.
    pub(super) fn at_keyword(&self, keyword: &str) -> bool {
        matches!(self.first().kind, Kind::Keyword(found) if found == keyword)
    }

    /// Whether the next token is this sign.
    pub(super) fn at_symbol(&self, symbol: &str) -> bool {
        matches!(self.first().kind, Kind::Symbol(found) if found == symbol)
    }

    /// The text of a span.
    pub(super) fn text(&self, span: Span) -> &'a str {
        self.context.text.get(span.range()).unwrap_or_default()
    }

    /// The next token in words, for messages.
    pub(super) fn found(&self) -> String {
        let text = self.text(self.span());
        let shown: String = text.chars().take(24).collect();
        let more = if shown.len() < text.len() { "…" } else { "" };
        match self.first().kind {
            Kind::End => "the end of the text".to_owned(),
            Kind::Str(_) => format!("the string {shown}{more}"),
            Kind::Keyword(_) => format!("the keyword `{shown}`"),
            Kind::Name(_) if text.starts_with('`') => format!("the name {shown}{more}"),
            _ => format!("`{shown}{more}`"),
        }
    }

    /// Reports a mistake that was mended, or left behind. A mistake in a place that was reported already, or at a
    /// token that the lexer reported, is a consequence of that one.
    pub(super) fn report(&self, diagnostic: Diagnostic) {
        let start = diagnostic.span.start;
        self.context.wrong.set(true);
        if start < self.context.reported.get() || self.is_invalid(start) {
            return;
        }
        self.context.reported.set(diagnostic.span.end.max(start + 1));
        self.context.diagnostics.borrow_mut().push(diagnostic);
    }

    fn is_invalid(&self, start: u32) -> bool {
        let tokens = self.context.tokens;
        let at = tokens.partition_point(|token| token.span.start < start);
        tokens.get(at).is_some_and(|token| token.kind == Kind::Invalid && token.span.start == start)
    }

    /// Which of some words the next token was most likely meant for; asked of a token with always the same words.
    pub(super) fn meant(&self, name: &str, words: &[&'static str]) -> Option<&'static str> {
        let index = self.index();
        if let Some((known, word)) = self.context.meant.get()
            && known == index
        {
            return word;
        }
        let word = similar(name, words.iter().copied());
        self.context.meant.set(Some((index, word)));
        word
    }

    /// Notes that a part of the pattern had to be left out.
    pub(super) fn tear(&self) {
        self.context.torn.set(true);
    }

    /// Whether something was reported since this was asked last.
    pub(super) fn take_reported(&self) -> bool {
        self.context.wrong.replace(false)
    }

    /// Whether a part had to be left out since this was asked last.
    pub(super) fn take_torn(&self) -> bool {
        self.context.torn.replace(false)
    }

    /// How deep parentheses may nest, and how many steps a path may have.
    pub(super) fn depth_limit(self) -> usize {
        self.context.depth_limit
    }

    /// Runs a parser one level of nesting deeper, unless that is too deep.
    pub(super) fn deeper<T>(self, parser: impl FnOnce(Tokens<'a>) -> Parse<'a, T>) -> Parse<'a, T> {
        let depth = &self.context.depth;
        if depth.get() >= self.context.depth_limit {
            let message = format!("nested more than {} levels deep", self.context.depth_limit);
            return fail(Diagnostic::new(code::TOO_DEEP, self.span(), message));
        }
        depth.set(depth.get() + 1);
        let result = parser(self);
        depth.set(depth.get() - 1);
        result
    }
}

/// A keyword, giving its span.
pub(super) fn keyword<'a>(keyword: &'static str) -> impl Fn(Tokens<'a>) -> Parse<'a, Span> + Clone {
    move |input: Tokens<'a>| {
        if input.at_keyword(keyword) { Ok((input.skip(1), input.span())) } else { absent() }
    }
}

/// A sign, giving its span.
pub(super) fn symbol<'a>(symbol: &'static str) -> impl Fn(Tokens<'a>) -> Parse<'a, Span> + Clone {
    move |input: Tokens<'a>| {
        if input.at_symbol(symbol) { Ok((input.skip(1), input.span())) } else { absent() }
    }
}

/// A parser that must succeed here: where it does not, that is a mistake, told as what was expected.
pub(super) fn expect<'a, P>(what: &'static str, parser: P) -> impl FnMut(Tokens<'a>) -> Parse<'a, P::Output>
where
    P: Parser<Tokens<'a>, Error = Mistake>,
{
    let mut parser = parser;
    move |input| match parser.parse(input) {
        Err(Err::Error(_)) => fail(unexpected(input, what)),
        other => other,
    }
}

/// "Expected this, found that."
pub(super) fn unexpected(input: Tokens<'_>, what: &str) -> Diagnostic {
    Diagnostic::new(code::UNEXPECTED, input.span(), format!("expected {what}, found {}", input.found()))
}

impl<'a> Input for Tokens<'a> {
    type Item = &'a Token;
    type Iter = Iter<'a, Token>;
    type IterIndices = Enumerate<Self::Iter>;

    fn input_len(&self) -> usize {
        self.rest.len()
    }

    fn take(&self, count: usize) -> Self {
        Tokens { rest: &self.rest[..count], ..*self }
    }

    fn take_from(&self, count: usize) -> Self {
        Tokens { rest: &self.rest[count..], ..*self }
    }

    fn take_split(&self, count: usize) -> (Self, Self) {
        (self.take_from(count), self.take(count))
    }

    fn position<P: Fn(Self::Item) -> bool>(&self, predicate: P) -> Option<usize> {
        self.rest.iter().position(predicate)
    }

    fn iter_elements(&self) -> Self::Iter {
        self.rest.iter()
    }

    fn iter_indices(&self) -> Self::IterIndices {
        self.rest.iter().enumerate()
    }

    fn slice_index(&self, count: usize) -> Result<usize, Needed> {
        if count <= self.rest.len() { Ok(count) } else { Err(Needed::new(count - self.rest.len())) }
    }
}
