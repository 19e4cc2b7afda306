//! The keys as the fields that they look like, for rust-analyzer alone, which completes and explains them from here,
//! also one that is only half written.

use proc_macro2::{Ident, TokenStream};
use quote::quote;

use crate::grammar::{Declaration, Entry, Value};

/// One struct literal for each level. rust-analyzer finds its way back by position, so nothing may stand before this that
/// depends on what is written, an error least of all.
pub fn completion(krate: &TokenStream, declaration: &Declaration) -> TokenStream {
    let mut levels = Vec::new();
    level(&quote!(#krate::__private::ide::Keys), &declaration.entries, &mut levels, krate);
    quote! {
        #[allow(unexpected_cfgs)]
        const _: () = {
            #(#[cfg(rust_analyzer)] #levels)*
        };
    }
}

fn level(ty: &TokenStream, entries: &[Entry], levels: &mut Vec<TokenStream>, krate: &TokenStream) {
    let mut keys: Vec<&Ident> = Vec::new();
    for entry in entries {
        if !keys.contains(&&entry.key) {
            keys.push(&entry.key);
        }
    }
    levels.push(quote!(const _: #ty = #ty { #(#keys: (),)* ..#ty::NONE };));
    for entry in entries {
        if let Some(Value::Struct(name, entries, _)) = &entry.value {
            level(&quote!(#krate::__private::ide::#name), entries, levels, krate);
        }
    }
}
