//! A mistake in a list and how it is told: place, what stands there, nearest valid word; a value only where it can be no secret.

mod words;

pub use words::{limits_of, public};

use super::Source;
use crate::check::Type;
use crate::model::text;
use crate::plan::Plan;
use schemars::Schema;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::rc::Rc;

/// The strings of a table, none of which a message may show.
pub type Strings<'l> = Rc<Vec<Cow<'l, str>>>;

/// A place in a list.
pub type Place<'l> = (&'l Source, Range<usize>);

/// A mistake as it is found. There may be ten thousand, of which few are told: whatever costs more than a few
/// words waits until it is clear which.
pub struct Found<'l> {
    source: &'l Source,
    span: Range<usize>,
    what: What<'l>,
    at: At,
    help: Option<Cow<'static, str>>,
}

/// What is wrong.
pub enum What<'l> {
    /// The text is no TOML; the parser's words.
    Syntax(String),
    /// In words that hold nothing of the list.
    Said(Cow<'static, str>),
    /// A value is refused, in words that may hold something of its table.
    Refused(String, Strings<'l>),
    UnknownTable(Box<str>),
    UnknownKey(Box<str>, Keys),
    /// A code under `grade`, of a type or of any.
    UnknownFinding(Box<str>, Option<&'static Type>),
    UnknownType(Box<str>),
    /// A word that means no check, group or tag.
    UnknownName(Box<str>),
    /// A name that was taken before.
    SameName(Place<'l>),
    /// A name that becomes a label that was taken before.
    SameLabel(Place<'l>),
}

/// Whose keys they are.
#[derive(Clone, Copy)]
pub enum Keys {
    OfType(&'static Type),
    OfTable(&'static str, &'static [&'static str]),
}

/// What stands at the place, and so what of it can be shown.
pub enum At {
    /// The file as a whole.
    File,
    /// Something of which nothing is known.
    Anything,
    /// A table.
    Table(&'static str),
    /// A key, below a key.
    Key(&'static str),
    /// The value of a key, whose schema tells what kind it has, and the keys within that value.
    Value(fn() -> Schema, Vec<Box<str>>),
}

impl<'l> Found<'l> {
    pub fn new(source: &'l Source, span: Range<usize>, what: What<'l>, at: At) -> Found<'l> {
        Found {
            source,
            span,
            what,
            at,
            help: None,
        }
    }

    /// A mistake in words that hold nothing of the list.
    pub fn said(
        source: &'l Source,
        span: Range<usize>,
        text: impl Into<Cow<'static, str>>,
        at: At,
    ) -> Found<'l> {
        Found::new(source, span, What::Said(text.into()), at)
    }

    pub fn help(self, help: impl Into<Cow<'static, str>>) -> Found<'l> {
        Found {
            help: Some(help.into()),
            ..self
        }
    }

    /// The known key that an unknown one was probably meant to be.
    pub fn meant(&self) -> Option<&'static str> {
        match &self.what {
            What::UnknownKey(word, keys) => words::nearest_key(word, *keys),
            _ => None,
        }
    }

    /// The key that is missing, in the words of serde.
    pub fn missing(&self) -> Option<&str> {
        match &self.what {
            What::Refused(message, _) => words::missing(message),
            _ => None,
        }
    }

    /// Dresses it for whoever reads it.
    fn tell(self, plan: &Plan) -> Mistake {
        let (line, column) = position(self.source, self.span.start);
        let schema = match &self.at {
            At::Value(schema, path) => Some(words::Field::of(&schema().to_value(), path)),
            _ => None,
        };
        let closed = schema.as_ref().is_some_and(|it| it.closed)
            || matches!(self.what, What::UnknownType(_));
        let raw = self.source.text.get(self.span.clone()).unwrap_or_default();
        let value = words::shown(raw).filter(|_| closed);
        let (message, help) = words::tell(&self.what, schema.as_ref(), value.is_some(), plan);
        let message = match &self.at {
            At::Value(_, path)
                if matches!(self.what, What::Refused(..) | What::UnknownName(_))
                    && !message.contains(&format!("`{}`", path[0])) =>
            {
                format!("{}: {message}", path[0])
            }
            _ => message,
        };
        let message = match &self.what {
            What::SameName(first) | What::SameLabel(first) => {
                format!("{message}, at {}", placed(first.0, first.1.start))
            }
            _ => message,
        };
        let help = match self.help {
            Some(help) => Some(help.into_owned()),
            None => match &self.what {
                What::Syntax(_) => words::syntax_help(&self.source.text, &self.span),
                _ => help,
            },
        };
        let excerpt = match &self.at {
            At::File | At::Anything => None,
            // Of an ad-hoc command, the first two lines are not the user's.
            _ if self.source.words.is_some() && line <= 2 => None,
            At::Table(word) => Some(Excerpt::new("", word, "")),
            At::Key(parent) => {
                let parent = match parent.is_empty() {
                    true => String::new(),
                    false => format!("{parent}."),
                };
                Some(Excerpt::new(&parent, &words::key(raw, &self.what), " = …"))
            }
            At::Value(_, _) => {
                let path = schema.map(|it| it.path).unwrap_or_default();
                Some(Excerpt::new(
                    &format!("{path} = "),
                    value.unwrap_or("…"),
                    "",
                ))
            }
        };
        Mistake {
            file: text::clean(&self.source.name),
            at: (!matches!(self.at, At::File)).then_some((line, column)),
            of_words: self.source.words.is_some(),
            message: text::without_userinfo(&text::clean(&message)),
            excerpt,
            help: help.map(|it| text::clean(&it)),
        }
    }
}

/// Line and column of a byte, counted from 1, in characters.
fn position(source: &Source, at: usize) -> (usize, usize) {
    let text = source.text.as_str();
    let start = text.floor_char_boundary(at.min(text.len()));
    let line_start = text[..start].rfind('\n').map_or(0, |it| it + 1);
    let line = text[..line_start].bytes().filter(|it| *it == b'\n').count() + 1;
    let column = text[line_start..start].chars().count() + 1;
    (line, column)
}

/// A place as messages name it.
pub fn placed(source: &Source, at: usize) -> String {
    let mistake = Mistake {
        at: Some(position(source, at)),
        of_words: source.words.is_some(),
        ..Mistake::of(&source.name, "")
    };
    mistake.place()
}

/// One mistake as it is told.
#[derive(Debug)]
pub struct Mistake {
    file: String,
    /// Line and column, counted from 1, in characters; `None` where the file itself is the mistake.
    at: Option<(usize, usize)>,
    /// Whether a line stands for a word of the command line.
    of_words: bool,
    message: String,
    excerpt: Option<Excerpt>,
    help: Option<String>,
}

/// What stands at the place of a mistake, with the faulty part of it.
#[derive(Debug)]
struct Excerpt {
    line: String,
    /// Where the faulty part begins and how long it is, in columns.
    start: usize,
    width: usize,
}

impl Excerpt {
    fn new(before: &str, faulty: &str, after: &str) -> Excerpt {
        let width = |text: &str| unicode_width::UnicodeWidthStr::width(text);
        Excerpt {
            line: format!("{before}{faulty}{after}"),
            start: width(before),
            width: width(faulty).max(1),
        }
    }
}

impl Mistake {
    /// A mistake of the file as a whole.
    pub fn of(file: &str, message: &str) -> Mistake {
        Mistake {
            file: text::clean(file),
            at: None,
            of_words: false,
            message: text::clean(message),
            excerpt: None,
            help: None,
        }
    }

    /// A mistake at a byte of a file that could not be read as text.
    pub fn at(source: &Source, byte: usize, message: &str) -> Mistake {
        Mistake {
            at: Some(position(source, byte)),
            ..Mistake::of(&source.name, message)
        }
    }

    /// `file:line:column`, or the word of the command line.
    fn place(&self) -> String {
        match self.at {
            None => self.file.clone(),
            // The first two lines are the header and the type, which no word stands for.
            Some((line, _)) if self.of_words && line > 2 => {
                format!("{}, word {}", self.file, line - 2)
            }
            Some(_) if self.of_words => self.file.clone(),
            Some((line, column)) => format!("{}:{line}:{column}", self.file),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        writeln!(to, "{}: {}", self.place(), self.message)?;
        if let (Some(excerpt), Some((line, _))) = (&self.excerpt, self.at) {
            let number = match self.of_words {
                true => String::new(),
                false => line.to_string(),
            };
            let gutter = " ".repeat(number.len());
            let under = "^".repeat(excerpt.width);
            writeln!(to, "{gutter} :")?;
            writeln!(to, "{number} : {}", excerpt.line)?;
            writeln!(to, "{gutter} : {}{under}", " ".repeat(excerpt.start))?;
        }
        match &self.help {
            Some(help) => writeln!(to, "  = help: {help}"),
            None => Ok(()),
        }
    }
}

/// All mistakes of a list, told together.
#[derive(Debug)]
pub struct Mistakes {
    told: Vec<Mistake>,
    /// How many there are besides.
    more: usize,
}

impl Mistakes {
    /// The most mistakes that are told one by one.
    const MOST: usize = 20;

    /// Mistakes of whole files.
    pub fn of(mut told: Vec<Mistake>) -> Mistakes {
        let more = told.len().saturating_sub(Mistakes::MOST);
        told.truncate(Mistakes::MOST);
        Mistakes { told, more }
    }

    /// What was found in lists, in the order of the lists, and each once.
    pub fn found(mut found: Vec<Found>, sources: &[Source], plan: &Plan) -> Mistakes {
        let order: HashMap<*const Source, usize> = sources
            .iter()
            .enumerate()
            .map(|(number, it)| (std::ptr::from_ref(it), number))
            .collect();
        let place = |it: &Found| {
            (
                order.get(&std::ptr::from_ref(it.source)).copied(),
                it.span.start,
            )
        };
        found.sort_by_key(place);
        let more = found.len().saturating_sub(Mistakes::MOST);
        let told = found.into_iter().take(Mistakes::MOST);
        Mistakes {
            told: told.map(|it| it.tell(plan)).collect(),
            more,
        }
    }

    /// The first mistake and the number of others, on one line.
    pub fn headline(&self) -> String {
        let Some(first) = self.told.first() else {
            return "the list has a mistake".to_owned();
        };
        let help = first.help.as_ref().map(|it| format!(" ({it})"));
        let help = help.unwrap_or_default();
        let text = format!("{}: {}{help}", first.place(), first.message);
        match self.told.len() - 1 + self.more {
            0 => text,
            1 => format!("{text}; 1 more mistake"),
            more => format!("{text}; {more} more mistakes"),
        }
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        for mistake in &self.told {
            write!(to, "{mistake}")?;
        }
        match self.more {
            0 => Ok(()),
            1 => writeln!(to, "and 1 more mistake"),
            more => writeln!(to, "and {more} more mistakes"),
        }
    }
}
