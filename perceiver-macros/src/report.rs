//! Errors are collected, so that one compilation shows all of them.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};

/// The errors found in a declaration so far.
#[derive(Default)]
pub struct Report {
    errors: Vec<syn::Error>,
    /// The mistakes that [`once`](Self::once) has reported.
    reported: Vec<&'static str>,
    /// Whether a part could not be read in which any key may have been given, so that none is known to be missing.
    pub lost: bool,
}

impl Report {
    /// Adds an error that points at `tokens`.
    pub fn error(&mut self, tokens: &impl ToTokens, message: String) {
        self.push(syn::Error::new_spanned(tokens, message));
    }

    /// Adds an error.
    pub fn push(&mut self, error: syn::Error) {
        self.errors.push(error);
    }

    /// Adds an error unless `mistake` has been reported: one that is made throughout, or not at all.
    pub fn once(&mut self, mistake: &'static str, error: syn::Error) {
        if !self.reported.contains(&mistake) {
            self.reported.push(mistake);
            self.push(error);
        }
    }

    /// The last error as an expression, if there is any. An expression that is an error makes one of every
    /// type it is part of, and rustc has nothing more to say about those.
    pub fn last_as_expression(&self) -> Option<TokenStream> {
        self.errors.last().map(syn::Error::to_compile_error)
    }

    /// All errors but the last, as items with attributes: rustc comes to them first.
    pub fn others_as_items(&self, attrs: &TokenStream) -> TokenStream {
        let others = self.errors.split_last().map_or(&[][..], |(_, others)| others);
        let others = others.iter().map(syn::Error::to_compile_error);
        quote!(#(#attrs #others)*)
    }

    /// All errors, as items.
    pub fn as_items(&self) -> TokenStream {
        self.errors.iter().map(syn::Error::to_compile_error).collect()
    }
}
