//! What is in front of the body: `pub struct Name`.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Attribute, Ident, Path, Visibility};

use super::entries::{entries, words};
use super::tokens::{
    attributes, is_group, is_punct, is_type, is_word, name, skip_attributes, unexpected, unraw,
};
use super::{Declaration, declaration, derived, holds_entries, source, unnamed};
use crate::keys;
use crate::report::Report;

/// The traits of the standard library that a model's tensors do not have.
const UNDERIVABLE: [&str; 7] = [
    "Copy",
    "Default",
    "Eq",
    "Hash",
    "Ord",
    "PartialEq",
    "PartialOrd",
];

/// Reads a declaration with a name.
pub fn named(trees: Vec<TokenTree>, report: &mut Report) -> Declaration {
    let trees = without_invisible_groups(trees);
    if let [TokenTree::Group(group)] = &trees[..]
        && group.delimiter() == Delimiter::Brace
    {
        let message = "leave out these braces: those of `perceiver! { .. }` are enough";
        report.push(syn::Error::new(group.span_open(), message));
        let trees = group.stream().into_iter().collect();
        report.lost = true;
        return report.quietly(|report| declaration(trees, report));
    }

    let (mut attrs, trees) = attributes(&trees, report);
    attrs.retain(|attr| can_derive(attr, report));
    let keyword = trees.iter().position(|tree| is_word(tree, "struct"));
    let body = body(trees, keyword.unwrap_or(0));
    let (header, rest) = match body {
        Some(body) => trees.split_at(body + 1),
        None => (trees, &[][..]),
    };
    let name = find_name(header);
    let vis = visibility(header, &attrs, name.as_ref());
    // What is written in another language is not right further down either.
    let is_wrong = vis.is_err();
    let vis = match vis {
        Ok(vis) if rest.is_empty() => vis,
        Ok(vis) => {
            let rest_tokens: TokenStream = rest.iter().cloned().collect();
            let message = "one `perceiver!` declares one model: nothing may follow it";
            report.error(&rest_tokens, message.into());
            report.lost |= rest.iter().any(holds_entries);
            vis
        }
        Err(error) => {
            report.push(error);
            report.lost = true;
            // The less is hidden, the less is said about it where it is used.
            syn::parse_quote!(pub)
        }
    };
    let (entries, words) = match header.last() {
        Some(TokenTree::Group(group)) if body.is_some() => {
            let trees: Vec<_> = group.stream().into_iter().collect();
            let entries = if is_wrong {
                report.quietly(|report| entries(&trees, report))
            } else {
                entries(&trees, report)
            };
            (entries, words(&trees))
        }
        _ => {
            report.lost = true;
            (Vec::new(), Vec::new())
        }
    };
    let name = name.unwrap_or_else(unnamed);
    let place = match header.last() {
        Some(TokenTree::Group(body)) => body.span_open(),
        _ => name.span(),
    };
    let mut behind = Vec::new();
    if rest.iter().any(|tree| is_word(tree, "struct")) {
        let mut next = report.quietly(|report| named(rest.to_vec(), report));
        let others = std::mem::take(&mut next.behind);
        behind = [next].into_iter().chain(others).collect();
        // One of the same name is another error.
        behind.retain(|behind| behind.name != name);
    }
    Declaration {
        attrs,
        vis,
        keyword: keyword.map(|i| trees[i].span()),
        span: name.span(),
        place,
        name,
        entries,
        words,
        is_wrong,
        behind,
    }
}

/// Where the body is: the first braces, or else the first brackets with entries in them.
fn body(trees: &[TokenTree], keyword: usize) -> Option<usize> {
    let braces = |i: &usize| is_group(&trees[*i], Delimiter::Brace);
    let entries = |i: &usize| holds_entries(&trees[*i]);
    let behind = keyword..trees.len();
    behind
        .clone()
        .find(braces)
        .or_else(|| behind.clone().find(entries))
}

/// Reports the traits that no model can derive, which rustc would say once for each of its parts.
fn can_derive(attr: &Attribute, report: &mut Report) -> bool {
    let never = |(_, path): &(_, Path)| UNDERIVABLE.iter().any(|name| path.is_ident(name));
    let underivable: Vec<_> = derived(attr).into_iter().filter(never).collect();
    for (_, path) in &underivable {
        let name = source(path);
        let hint = if name == "Default" {
            ": `build_module` makes a model"
        } else {
            ""
        };
        let message = format!("a model can derive `Clone` and `Debug`, but not `{name}`{hint}");
        report.error(path, message);
    }
    underivable.is_empty()
}

/// Reads a header with its body, of which it gives the visibility. An error is about the first thing that is
/// wrong, which is also the only one: what is not written like a struct is one mistake.
fn visibility(
    header: &[TokenTree],
    attrs: &[Attribute],
    recovered: Option<&Ident>,
) -> syn::Result<Visibility> {
    let end = match header.last() {
        Some(last) => last.to_token_stream(),
        None => attrs.last().to_token_stream(),
    };
    let shown = recovered.map_or_else(|| "Name".into(), Ident::to_string);

    let (vis, rest) = read_visibility(header)?;
    let rest = match rest {
        [keyword, rest @ ..] if is_word(keyword, "struct") => rest,
        _ => {
            let expected = format!("`struct {shown} {{ key: value, .. }}`");
            return Err(unexpected(&expected, rest, &end));
        }
    };
    let rest = match rest {
        [word @ TokenTree::Ident(_), rest @ ..] if name(word).is_some() => rest,
        _ => return Err(unexpected("the model's name after `struct`", rest, &end)),
    };
    if rest.first().is_some_and(|tree| is_punct(tree, '<')) {
        let close = rest.iter().rposition(|tree| is_punct(tree, '>'));
        let generics: TokenStream = rest[..=close.unwrap_or(0)].iter().cloned().collect();
        let message =
            format!("`{shown}` is given its generics, `<E = f32, D = Cpu>`: leave them out");
        return Err(syn::Error::new_spanned(generics, message));
    }
    match rest {
        [body] if is_group(body, Delimiter::Brace) => Ok(vis),
        _ => {
            let expected = format!("`{{ key: value, .. }}` after `{shown}`");
            Err(unexpected(&expected, rest, &end))
        }
    }
}

/// `pub`, `pub(..)` or nothing, and what is behind it.
fn read_visibility(trees: &[TokenTree]) -> syn::Result<(Visibility, &[TokenTree])> {
    let len = match trees {
        [keyword, scope, ..]
            if is_word(keyword, "pub") && is_group(scope, Delimiter::Parenthesis) =>
        {
            2
        }
        [keyword, ..] if is_word(keyword, "pub") => 1,
        _ => 0,
    };
    let (vis, rest) = trees.split_at(len);
    let vis: TokenStream = vis.iter().cloned().collect();
    let shown = source(&vis);
    let vis = syn::parse2(vis.clone()).map_err(|_| {
        let message = format!(
            "expected `pub`, `pub(crate)`, `pub(super)` or `pub(in path)`, found `{shown}`"
        );
        syn::Error::new_spanned(vis, message)
    })?;
    Ok((vis, rest))
}

/// The name in a header that may be wrong: what looks like one behind `struct`; or else what is written like the
/// name of a type, right in front of the body or anywhere, or the last of the words that it begins with, as in
/// `class model`.
fn find_name(header: &[TokenTree]) -> Option<Ident> {
    let mut parts: Vec<_> = header.split(|tree| is_word(tree, "struct")).collect();
    let in_front = parts.remove(0);
    let mut behind = parts.into_iter().rev();
    // The one on the left of a `=`, or the one that the body belongs to.
    let equals = in_front.iter().position(|tree| is_punct(tree, '='));
    let left = equals.and_then(|i| in_front[..i].last());
    let right = match in_front {
        [.., tree, TokenTree::Group(_)] => Some(tree),
        _ => None,
    };
    let last = || {
        [left, right]
            .into_iter()
            .flatten()
            .filter_map(name)
            .find(is_type)
    };
    behind
        .find_map(|part| names(part).into_iter().next())
        .or_else(last)
        .or_else(|| in_front.iter().filter_map(name).find(is_type))
        .or_else(|| {
            names(in_front)
                .pop()
                .filter(|name| keys::find(&unraw(name)).is_none())
        })
}

/// The first names in `trees` that nothing is between. Of a path, the last one counts.
fn names(trees: &[TokenTree]) -> Vec<Ident> {
    let mut names = Vec::new();
    let mut trees = skip_attributes(trees);
    while let [tree, rest @ ..] = trees {
        trees = rest;
        match (name(tree), tree) {
            (Some(_), _) if matches!(rest, [a, b, ..] if is_punct(a, ':') && is_punct(b, ':')) => {}
            (Some(name), _) => names.push(name),
            (None, TokenTree::Group(group))
                if names.is_empty() && group.delimiter() != Delimiter::Brace =>
            {
                let inner: Vec<_> = group.stream().into_iter().collect();
                names = self::names(&inner);
            }
            _ if names.is_empty() => {}
            _ => break,
        }
    }
    names
}

/// `trees` with the contents of groups that a macro's metavariables make, like `$vis`.
fn without_invisible_groups(trees: Vec<TokenTree>) -> Vec<TokenTree> {
    let mut flat = Vec::new();
    for tree in trees {
        match tree {
            TokenTree::Group(group) if group.delimiter() == Delimiter::None => {
                flat.extend(without_invisible_groups(
                    group.stream().into_iter().collect(),
                ));
            }
            tree => flat.push(tree),
        }
    }
    flat
}
