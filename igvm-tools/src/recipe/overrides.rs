//! `--set KEY=VALUE`: what the command line says in place of the recipe.

use std::path::{Path, PathBuf};

use super::{Amount, Blame, Entries, Recipe, RecipeError, Source};

/// A value that is the contents themselves.
const TEXT: &str = "text:";

/// A value that is a path.
const FILE: &str = "file:";

/// Applies one override. Keys: `debug`, `mitigations`, `shortcuts`, `kernel`, `files.NAME`, `payload.NAME`,
/// `layout.FIELD`. For a file the value is what the recipe's entry is, contents or else a path, relative to
/// the current directory; `text:` and `file:` in front of it say which; nothing takes the file out of the
/// image.
pub fn apply(recipe: &mut Recipe, blame: &mut Blame, assignment: &str) -> Result<(), RecipeError> {
    let wrong =
        |message: &str| RecipeError { place: format!("--set {assignment}"), message: message.to_owned() };
    let (key, value) = assignment.split_once('=').ok_or_else(|| wrong("it has to be KEY=VALUE"))?;
    match key.split_once('.') {
        None if key == "debug" => {
            recipe.debug = value.parse().map_err(|_| wrong("debug is true or false"))?;
        }
        None if key == "shortcuts" => {
            recipe.shortcuts = value.parse().map_err(|_| wrong("shortcuts is true or false"))?;
        }
        None if key == "mitigations" => {
            recipe.mitigations = value.parse().map_err(|_| wrong("mitigations is true or false"))?;
        }
        None if key == "kernel" => recipe.kernel = absolute(value),
        Some(("files", name)) => set_entry(&mut recipe.files, name, value),
        Some(("payload", name)) => set_entry(&mut recipe.payload, name, value),
        Some(("layout", field)) => {
            let place = match field {
                "window_base" => &mut recipe.layout.window_base,
                "window_bytes" => &mut recipe.layout.window_bytes,
                "payload_base" => &mut recipe.layout.payload_base,
                _ => return Err(wrong("layout has window_base, window_bytes and payload_base")),
            };
            *place = Some(Amount::parse(value).ok_or_else(|| wrong("an amount is like 0x08000000 or 32M"))?);
        }
        _ => {
            return Err(wrong(
                "the key is one of debug, mitigations, shortcuts, kernel, files.NAME, payload.NAME, \
                 layout.FIELD",
            ));
        }
    }
    // What is found wrong later is the command line's fault, not the recipe's.
    blame.overridden(key);
    Ok(())
}

/// Replaces an entry in its place, or adds one at the end.
fn set_entry(entries: &mut Entries, name: &str, value: &str) {
    // An empty file can still be said: `text:`.
    if value.is_empty() {
        entries.0.retain(|(other, _)| other != name);
        return;
    }
    let old = entries.0.iter_mut().find(|(other, _)| other == name).map(|(_, old)| old);
    // Said by the prefix, or else the kind that the recipe has; a new name is a file.
    let source = match (value.strip_prefix(TEXT), value.strip_prefix(FILE), &old) {
        (Some(text), ..) => Source::Text(text.to_owned()),
        (_, Some(path), _) => Source::File(absolute(path)),
        (_, _, Some(Source::Text(_))) => Source::Text(value.to_owned()),
        _ => Source::File(absolute(value)),
    };
    match old {
        // In its place: the image has its files in the recipe's order.
        Some(old) => *old = source,
        None => entries.0.push((name.to_owned(), source)),
    }
}

/// A path of the command line is relative to where the command was given, not to the recipe.
fn absolute(path: &str) -> PathBuf {
    std::path::absolute(Path::new(path)).unwrap_or_else(|_| path.into())
}
