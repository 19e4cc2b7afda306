//! The structs of several inputs and outputs.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote_spanned};
use syn::Attribute;
use syn::ext::IdentExt;

use super::returns::shown;
use super::takes::input_doc;
use super::{cfgs, is_text};
use crate::grammar::Declaration;
use crate::model::{Extent, Model, Output, OutputModality, OutputQueries, Scalar};

/// `NameInput` and `NameOutput`, where the model `Name` has several.
pub fn structures(declaration: &Declaration, name: &Ident, model: &Model) -> TokenStream {
    let mut structures = TokenStream::new();
    if let Extent::Modalities { list, .. } = &model.input.extent {
        let fields = list.iter().map(|modality| {
            let doc = input_doc(&modality.input, false);
            (&modality.name, &modality.docs[..], doc)
        });
        let doc = format!(
            " The inputs of [`{name}`], each a tensor or a pair of a tensor and a mask: what its `forward` takes."
        );
        structures.extend(structure(declaration, name, "Input", &doc, fields));
    }
    if let Output::Modalities { list, .. } = &model.output {
        let fields = list.iter().map(|output| {
            let shown = |size: &Scalar| shown(size, &size.tokens.to_string());
            let axes: Vec<_> = match &output.queries {
                OutputQueries::Learned { count, .. } => vec![shown(count)],
                OutputQueries::Grid(grid) => grid.sizes.iter().map(shown).collect(),
            };
            let dim = output.project.as_ref().map_or_else(|| format!("{name}::OUTPUT_DIM"), shown);
            (
                &output.name,
                &output.docs[..],
                format!("a tensor `(batch, {}, {dim})`", axes.join(", ")),
            )
        });
        let doc = format!(" The outputs of [`{name}`]: what its `forward` returns.");
        structures.extend(structure(declaration, name, "Output", &doc, fields));
        structures.extend(points(declaration, name, list));
    }
    structures
}

fn structure<'a>(
    declaration: &Declaration,
    name: &Ident,
    suffix: &str,
    doc: &str,
    fields: impl Iterator<Item = (&'a Ident, &'a [Attribute], String)>,
) -> TokenStream {
    let (span, vis, cfgs) = (name.span(), &declaration.vis, cfgs(declaration));
    let structure = format_ident!("{}{suffix}", name.unraw(), span = span);
    let (mut types, mut members) = (Vec::new(), Vec::new());
    for (index, (field, docs, what)) in fields.enumerate() {
        let mut ty = format_ident!("{}", camel_case(&field.unraw().to_string()), span = span);
        if types.contains(&ty) {
            ty = format_ident!("{ty}{index}");
        }
        let mut what = what;
        if let Some(first) = what.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        let what = format!(" {what}.");
        let doc = (!docs.iter().any(is_text)).then(|| quote_spanned!(span=> #[doc = #what]));
        members.push(quote_spanned!(span=> #doc #(#docs)* pub #field: #ty));
        types.push(ty);
    }
    quote_spanned! {span=>
        #[doc = #doc]
        #cfgs
        #[derive(::core::clone::Clone, ::core::fmt::Debug)]
        #vis struct #structure<#(#types),*> {
            #(#members,)*
        }
    }
}

/// `NamePoints`, if there are outputs whose queries are grids.
fn points(declaration: &Declaration, name: &Ident, list: &[OutputModality]) -> Option<TokenStream> {
    let (span, vis, cfgs) = (name.span(), &declaration.vis, cfgs(declaration));
    let fields: Vec<_> = list
        .iter()
        .filter_map(|output| match &output.queries {
            OutputQueries::Learned { .. } => None,
            OutputQueries::Grid(grid) => Some((&output.name, grid.sizes.len())),
        })
        .map(|(field, axes)| {
            let doc = format!(
                " Points of `{}`, each the index of a position along each axis.",
                field.unraw()
            );
            quote_spanned!(span=> #[doc = #doc] pub #field: &'a [[::core::primitive::usize; #axes]])
        })
        .collect();
    if fields.is_empty() {
        return None;
    }
    let structure = format_ident!("{}Points", name.unraw(), span = span);
    let doc = format!(" The positions at which `forward_at` computes the outputs of [`{name}`].");
    Some(quote_spanned! {span=>
        #[doc = #doc]
        #cfgs
        #[derive(::core::clone::Clone, ::core::marker::Copy, ::core::fmt::Debug)]
        #vis struct #structure<'a> {
            #(#fields,)*
        }
    })
}

/// `left_eye` as `LeftEye`.
fn camel_case(name: &str) -> String {
    let mut camel = String::new();
    let mut is_start = true;
    for letter in name.chars() {
        if letter == '_' {
            is_start = true;
        } else if is_start {
            camel.extend(letter.to_uppercase());
            is_start = false;
        } else {
            camel.push(letter);
        }
    }
    match camel.starts_with(|first: char| first.is_alphabetic()) {
        true => camel,
        false => format!("T{camel}"),
    }
}

/// A type for each of several inputs, by which messages name it.
pub fn markers(name: &Ident, model: &Model) -> TokenStream {
    let span = name.span();
    let Extent::Modalities { list, .. } = &model.input.extent else {
        return TokenStream::new();
    };
    let names = list.iter().map(|modality| &modality.name);
    quote_spanned!(span=> #(#[doc(hidden)] #[allow(non_camel_case_types)] pub enum #names {})*)
}
