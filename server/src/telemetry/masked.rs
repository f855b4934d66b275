//! Text that may carry a secret, as it may be shown: in the log, in an error, in what holds in the end.
//!
//! A secret is looked for where people put one: between `//` and `@` of a URL, in its query and behind it, and behind the
//! `=` of an argument that is written as `env` takes it or as a long option.

/// What stands for a secret.
const MASK: &str = "***";

/// A URL without what may be a secret in it. Anything else is left as it is.
pub(crate) fn url(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(authority);
    let host = authority.rsplit_once('@').map(|(_, host)| format!("{MASK}@{host}"));
    let shown = path.find(['?', '#']).map(|at| format!("{}{MASK}", &path[..=at]));
    let (host, path) = (host.as_deref().unwrap_or(authority), shown.as_deref().unwrap_or(path));
    format!("{scheme}://{host}{path}")
}

/// An argument of a command without the value that it gives to a name.
pub(crate) fn argument(text: &str) -> String {
    let Some((name, _)) = text.split_once('=') else { return url(text) };
    let bare = name.trim_start_matches('-');
    let is_name = bare.chars().all(|character| character.is_ascii_alphanumeric() || "_-".contains(character));
    if bare.is_empty() || !is_name { url(text) } else { format!("{name}={MASK}") }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_url_is_shown_without_its_secrets() {
        for (text, shown) in [
            ("http://collector:4317", "http://collector:4317"),
            ("https://me:hush@collector:4317/v1", "https://***@collector:4317/v1"),
            ("https://hush@collector", "https://***@collector"),
            ("https://a@b@collector/x", "https://***@collector/x"),
            ("https://collector/v1?key=hush&b#hush", "https://collector/v1?***"),
            ("https://collector#hush", "https://collector#***"),
            ("https://collector/a@b", "https://collector/a@b"),
            ("me:hush", "me:hush"),
        ] {
            assert_eq!(super::url(text), shown, "{text}");
        }
    }

    #[test]
    fn an_argument_is_shown_without_the_value_that_it_names() {
        for (text, shown) in [
            ("env", "env"),
            ("TOKEN=hush", "TOKEN=***"),
            ("--api-key=hush=er", "--api-key=***"),
            ("-m", "-m"),
            ("if a == b: pass", "if a == b: pass"),
            ("https://me:hush@host/?a=b", "https://***@host/?***"),
        ] {
            assert_eq!(super::argument(text), shown, "{text}");
        }
    }
}
