//! Errors are collected, so that one compilation shows all of them.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};

/// The errors found so far.
#[derive(Default)]
pub struct Report {
    errors: Vec<syn::Error>,
    /// Whether a part could not be read in which any key may have been given, so that none can be said
    /// to be missing.
    pub lost: bool,
}

impl Report {
    /// Adds an error that points at `tokens`.
    pub fn error(&mut self, tokens: &impl ToTokens, message: String) {
        self.push(syn::Error::new_spanned(tokens, message));
    }

    /// Adds an error, or those that are combined in it.
    pub fn push(&mut self, error: syn::Error) {
        self.errors.extend(error);
    }

    /// Does what has no errors of its own: those that it finds follow from one that has been reported.
    pub fn quietly<T>(&mut self, repeat: impl FnOnce(&mut Self) -> T) -> T {
        let (errors, lost) = (self.errors.len(), self.lost);
        let result = repeat(self);
        self.errors.truncate(errors);
        self.lost = lost;
        result
    }

    /// Whether nothing is wrong so far.
    pub fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    /// The last error as an expression, if there is any. An expression that is an error makes one of every
    /// type it is part of, and rustc has nothing more to say about those.
    pub fn last_as_expression(&self) -> Option<TokenStream> {
        self.errors.last().map(syn::Error::to_compile_error)
    }

    /// All errors but the last, as items with attributes: rustc comes to them first.
    pub fn others_as_items(&self, attrs: &TokenStream) -> TokenStream {
        let errors = self.errors.iter().rev().skip(1).rev();
        let errors = errors.map(syn::Error::to_compile_error);
        quote!(#(#attrs #errors)*)
    }
}
