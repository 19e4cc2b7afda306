//! The constants: one for each key, and those that follow from them.

use proc_macro2::{Literal, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote_spanned};
use syn::{Expr, Ident};

use super::is_text;
use crate::check::{Value, Values};
use crate::keys::{self, KEYS, Key, Kind};

/// One constant for each key. These are outside the block of implementations, so that a value sees just the
/// names that it sees where it is written.
pub(super) fn constants(
    krate: &TokenStream,
    name: &Ident,
    values: &Values,
    error: Option<TokenStream>,
) -> TokenStream {
    let span = name.span();
    let keys = KEYS.iter().map(|key| constant(krate, key, values, span));
    let error = error.map(|error| {
        quote_spanned! {span=>
            #[doc(hidden)]
            pub const DECLARATION_ERROR: ::core::primitive::usize = #error;
        }
    });
    quote_spanned! {span=>
        impl #name {
            #error
            #(#keys)*
        }
    }
}

/// The constants that follow from the keys.
pub(super) fn derived_constants(name: &Ident) -> TokenStream {
    let span = name.span();
    quote_spanned! {span=>
        impl #name {
            /// The width of a token: its channels and its position encoding.
            pub const INPUT_DIM: __::usize =
                <#name as __::Spec>::POSITION.token_dim(#name::INPUT_AXIS, #name::INPUT_CHANNELS);
            /// The number of trainable parameters.
            pub const PARAMETERS: __::usize = __::Perceiver::<#name, __::f32, __::Cpu>::PARAMETERS;
        }
    }
}

fn constant(krate: &TokenStream, key: &Key, values: &Values, span: Span) -> TokenStream {
    let value = values.get(key.name);
    let ty = match key.kind {
        Kind::Shape => {
            let len = values.axes().map_or_else(
                || quote_spanned!(span=> Self::INPUT_AXIS + 1),
                |axes| Literal::usize_unsuffixed(axes + 1).to_token_stream(),
            );
            quote_spanned!(span=> ::core::option::Option<[::core::primitive::usize; #len]>)
        }
        kind => scalar(kind, span),
    };
    let is_lost = values.poisoned && matches!(key.kind, Kind::Count { .. });
    let tokens = match (key.name, values.axes()) {
        _ if is_lost => quote_spanned!(span=> Self::DECLARATION_ERROR),
        ("input_axis", Some(axes)) => Literal::usize_unsuffixed(axes).to_token_stream(),
        ("input_channels", Some(axes)) => values.size(axes).unwrap_or_else(
            || quote_spanned!(span=> #krate::__private::size_at(Self::INPUT_SHAPE, #axes)),
        ),
        _ if value.is_opaque() => checked(krate, key, value, span),
        _ => value.tokens.clone(),
    };
    let constant = format_ident!("{}", key.constant(), span = span);
    let docs = &value.docs;
    let doc = format!(" {}", key.sentence());
    let doc = (!docs.iter().any(is_text)).then(|| quote_spanned!(span=> #[doc = #doc]));
    // Its own errors are told with the others, though nothing has this value.
    let as_written = (is_lost && !values.doubtful && value.is_opaque()).then(|| {
        let constant = format_ident!("{constant}_AS_WRITTEN");
        let tokens = checked(krate, key, value, span);
        quote_spanned!(span=> #[doc(hidden)] pub const #constant: #ty = #tokens;)
    });
    quote_spanned!(span=> #doc #(#docs)* pub const #constant: #ty = #tokens; #as_written)
}

/// The type of a number or flag.
fn scalar(kind: Kind, span: Span) -> TokenStream {
    match kind {
        Kind::Count { .. } | Kind::Shape => quote_spanned!(span=> ::core::primitive::usize),
        Kind::Positive | Kind::Probability => quote_spanned!(span=> ::core::primitive::f64),
        Kind::Base => quote_spanned!(span=> ::core::option::Option<::core::primitive::f64>),
        Kind::Flag => quote_spanned!(span=> ::core::primitive::bool),
    }
}

/// The value of a key that the macro could not read.
fn checked(krate: &TokenStream, key: &Key, value: &Value, span: Span) -> TokenStream {
    match key.kind {
        Kind::Shape => {
            let sizes = value.shape.iter().map(|size| match size {
                Expr::Lit(_) => size.to_token_stream(),
                _ => in_range(krate, key, keys::WIDTH, &size.to_token_stream(), span),
            });
            quote_spanned!(span=> ::core::option::Option::Some([#(#sizes),*]))
        }
        Kind::Base => {
            let value = in_range(krate, key, key.kind, &value.written, span);
            quote_spanned!(span=> ::core::option::Option::Some(#value))
        }
        kind => in_range(krate, key, kind, &value.written, span),
    }
}

/// `value`, in a block that has an error if it is out of range or cannot be computed. Both are errors of types: the
/// value is in one, and a trait does not hold of one. To an error of a constant, rustc would add a note wherever that
/// is used, and it would not look for one in a constant that only generic code uses.
fn in_range(
    krate: &TokenStream,
    key: &Key,
    kind: Kind,
    value: &TokenStream,
    span: Span,
) -> TokenStream {
    // rustc points at types, from their first token to their last: those of the value are the ends of the type that
    // says whether it is in range. The rest is elsewhere, where rust-analyzer does not take it for the value.
    let (begin, end) = ends(value);
    let in_range = |holds: TokenStream| {
        let (open, close) = (quote_spanned!(begin=> &), quote_spanned!(end=> >));
        quote_spanned!(span=> #open __ranges::InRange<{ #holds } #close)
    };
    let range = |which| format_ident!("{which}{}", key.range(), span = span);
    // As a field it has to be of one type, and rustc says so of the value alone.
    let ty = match kind {
        Kind::Base => scalar(Kind::Positive, span),
        kind => scalar(kind, span),
    };
    let given = quote_spanned!(span=> __ranges::Given::<#ty> { value: #value }.value);
    // A macro may give a literal of another type, of which rustc would have more to say than of any other value.
    let argument = if is_macro(value) { &given } else { value };
    let (wrapper, argument, holds) = match kind {
        Kind::Count { max } => {
            let max = Literal::u64_unsuffixed(max);
            let in_range = in_range(quote_spanned!(span=> __ranges::count(__Value::VALUE, #max)));
            let range = range("");
            let holds = quote_spanned!(span=> let () = <#in_range as __ranges::#range<{ __Value::VALUE }>>::HOLDS;);
            ("Count", argument.clone(), holds)
        }
        Kind::Positive | Kind::Base | Kind::Probability => {
            let number = match kind {
                Kind::Positive => quote_spanned!(span=> positive),
                Kind::Base => quote_spanned!(span=> base),
                _ => quote_spanned!(span=> probability),
            };
            let digits = quote_spanned! {span=>
                { __FOUND.whole }, { __FOUND.tenths }, { __FOUND.hundredths }, { __FOUND.thousandths }
            };
            let ranges = ["Positive", "Negative", "Endless"].map(|found| {
                let kind = Ident::new(found, span);
                let in_range =
                    in_range(quote_spanned!(span=> __FOUND.is_not(__ranges::Found::#kind)));
                let range = range(found.trim_start_matches("Positive"));
                let digits = (found != "Endless").then_some(&digits);
                quote_spanned!(span=> let () = <#in_range as __ranges::#range<#digits>>::HOLDS;)
            });
            let holds = quote_spanned! {span=>
                const __FOUND: __ranges::Number = __ranges::#number(__Value::VALUE);
                #(#ranges)*
            };
            let bits = quote_spanned!(span=> #given.to_bits());
            ("Bits", bits, holds)
        }
        Kind::Flag => ("Flag", argument.clone(), TokenStream::new()),
        Kind::Shape => return value.clone(),
    };
    let wrapper = Ident::new(wrapper, span);
    // `todo!()` gives no value, which is no reason to say so of what is behind it.
    let allow = is_macro(value).then(|| quote_spanned!(span=> #[allow(unreachable_code)]));
    quote_spanned! {span=> {
        use #krate::__private::ranges as __ranges;
        #allow
        type __Value = __ranges::#wrapper<{ #argument }>;
        #holds
        __Value::VALUE
    }}
}

/// Whether `tokens` are a call of a macro.
fn is_macro(tokens: &TokenStream) -> bool {
    let is_sign = |tree: TokenTree| matches!(tree, TokenTree::Punct(sign) if sign.as_char() == '!');
    tokens.clone().into_iter().nth(1).is_some_and(is_sign)
}

/// Where `tokens` begin and end, but without making what is there the user's code that lints look at.
fn ends(tokens: &TokenStream) -> (Span, Span) {
    let trees: Vec<_> = tokens.clone().into_iter().collect();
    let begin = match trees.first() {
        Some(TokenTree::Group(group)) => group.span_open(),
        Some(tree) => tree.span(),
        None => Span::call_site(),
    };
    let end = match trees.last() {
        Some(TokenTree::Group(group)) => group.span_close(),
        Some(tree) => tree.span(),
        None => begin,
    };
    let shown = |span| Span::call_site().located_at(span);
    (shown(begin), shown(end))
}
