//! Prints values in messages. What was between two tokens is lost when they are parsed.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use quote::ToTokens;

/// Tokens as they are usually written, on one line.
pub fn source(tokens: &impl ToTokens) -> String {
    let mut printer = Printer::default();
    printer.stream(tokens.to_token_stream());
    printer.text
}

#[derive(Default)]
struct Printer {
    text: String,
    /// Whether there is a space before the next token.
    space: bool,
    /// Whether a value has ended, so that a sign that follows stands between two.
    behind_value: bool,
    /// Whether the last token is a sign that the next one belongs to.
    joint: bool,
    /// How many `<` of generics are open.
    generics: usize,
}

impl Printer {
    fn stream(&mut self, stream: TokenStream) {
        for tree in stream {
            match tree {
                TokenTree::Group(group) => self.group(group.delimiter(), group.stream()),
                TokenTree::Punct(punct) => {
                    self.sign(punct.as_char(), punct.spacing() == Spacing::Joint);
                }
                word => {
                    self.push(&word.to_string(), self.space || self.behind_value);
                    self.behind_value = true;
                    self.joint = false;
                }
            }
        }
    }

    /// Whether the last word is written like a type.
    fn is_behind_type(&self) -> bool {
        let is_letter = |c: char| c.is_alphanumeric() || c == '_';
        let rest = self.text.trim_end_matches(is_letter);
        let word = &self.text[rest.len()..];
        word.starts_with(char::is_uppercase) && word.contains(char::is_lowercase)
    }

    fn push(&mut self, text: &str, space: bool) {
        if space && !self.text.is_empty() {
            self.text.push(' ');
        }
        self.text += text;
        self.space = false;
    }

    fn group(&mut self, delimiter: Delimiter, stream: TokenStream) {
        let (open, close) = match delimiter {
            Delimiter::Parenthesis => ("(", ")"),
            Delimiter::Bracket => ("[", "]"),
            Delimiter::Brace if stream.is_empty() => ("{", "}"),
            Delimiter::Brace => ("{ ", " }"),
            Delimiter::None => ("", ""),
        };
        let is_block = delimiter == Delimiter::Brace && self.behind_value;
        self.push(open, self.space || is_block);
        let mut inner = Self::default();
        inner.stream(stream);
        self.text += &inner.text;
        self.text += close;
        self.behind_value = true;
        self.joint = false;
    }

    fn sign(&mut self, sign: char, joint: bool) {
        let generic = match sign {
            '<' if self.text.ends_with("::") || self.is_behind_type() => {
                self.generics += 1;
                true
            }
            '>' if self.generics > 0 => {
                self.generics -= 1;
                true
            }
            _ => false,
        };
        let is_path = sign == ':' && (joint || self.joint);
        let is_range = sign == '=' && self.text.ends_with("..");
        let is_tight = generic || is_path || is_range || matches!(sign, '.' | '?' | '!' | '\'');
        let is_prefix = !self.behind_value && !matches!(sign, '=' | ',' | ';');
        let is_separator = matches!(sign, ',' | ';' | ':');
        let is_between = !is_tight && !is_prefix && !is_separator;
        self.push(
            sign.encode_utf8(&mut [0; 4]),
            !self.joint && (is_between || self.space && !is_tight && !is_separator),
        );
        self.space = !joint && !is_tight && !is_prefix;
        self.behind_value = sign == '?' || generic && sign == '>';
        self.joint = joint;
    }
}
